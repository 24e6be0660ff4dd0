"""What each shape answers, held against the response models that its documentation shows."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from bento.api.cohere import RerankResponse, RerankV2Response
from bento.api.infinity import InfinityResponse
from bento.api.ranker import sigmoid
from bento.api.text_embeddings_inference import RankedText
from tests.bento.api.conftest import MAX_LENGTH, Ask, WordScorer

QUERY = "sort list"
DOCUMENTS = ["the cat sat", "sort a list", "zzz sort", "word " * (MAX_LENGTH + 4)]
ORDER = [1, 2, 0, 3]
RESPONSES: dict[str, TypeAdapter[Any]] = {
    "/v1/rerank": TypeAdapter(RerankResponse),
    "/v2/rerank": TypeAdapter(RerankV2Response),
    "/rerank": TypeAdapter(InfinityResponse | list[RankedText]),
}


def logits() -> list[float]:
    return [WordScorer.scored(QUERY, document).logit for document in DOCUMENTS]


def answered(ask: Ask, path: str, **body: Any) -> Any:
    reply = ask(path, body)
    assert (reply.status, reply.media_type) == (200, "application/json")
    RESPONSES[path].validate_json(reply.body, strict=True)
    return json.loads(reply.body)


@pytest.mark.parametrize("path", RESPONSES)
def test_best_first_with_flags_only_where_they_are_true(ask: Ask, path: str) -> None:
    results = answered(ask, path, query=QUERY, documents=DOCUMENTS)["results"]
    assert [result["index"] for result in results] == ORDER
    expected = logits()
    assert [result["relevance_score"] for result in results] == [sigmoid(expected[index]) for index in ORDER]
    assert [set(result) - {"index", "relevance_score"} for result in results] == [
        set(),
        {"unusual"},
        set(),
        {"truncated"},
    ]


@pytest.mark.parametrize("path", RESPONSES)
def test_logits_when_asked_and_the_scale_is_named(ask: Ask, path: str) -> None:
    raw = answered(ask, path, query=QUERY, documents=DOCUMENTS, raw_scores=True)
    expected = logits()
    assert [result["relevance_score"] for result in raw["results"]] == [expected[index] for index in ORDER]
    plain = answered(ask, path, query=QUERY, documents=DOCUMENTS, raw_scores=False)
    named = [answer.get("score_scale") or answer["meta"]["score_scale"] for answer in (raw, plain)]
    assert named == ["logit", "0..1"]


@pytest.mark.parametrize("path", RESPONSES)
def test_names_the_request_and_the_model(ask: Ask, path: str) -> None:
    answer = answered(ask, path, query=QUERY, documents=DOCUMENTS)
    assert (answer["id"], answer["model"]) == ("request-1", "reranker:3")


@pytest.mark.parametrize("path", RESPONSES)
def test_top_n_limits_the_results_and_not_the_counts(ask: Ask, path: str) -> None:
    everything = answered(ask, path, query=QUERY, documents=DOCUMENTS)
    best = answered(ask, path, query=QUERY, documents=DOCUMENTS, top_n=2)
    assert best["results"] == everything["results"][:2]
    assert answered(ask, path, query=QUERY, documents=DOCUMENTS, top_n=99)["results"] == everything["results"]
    counts = best["usage"] if path == "/rerank" else best["meta"]
    assert (counts["truncated_documents"], counts["unusual_documents"]) == (1, 1)
    tokens = sum(WordScorer.scored(QUERY, document).tokens for document in DOCUMENTS)
    if path == "/v2/rerank":
        assert best["meta"]["tokens"] == {"input_tokens": tokens}
    else:
        assert best["usage"].items() >= {"prompt_tokens": tokens, "total_tokens": tokens}.items()


def test_whole_numbers_may_be_written_with_a_point(ask: Ask) -> None:
    documents = [{"text": "the cat", "id": 7.0}, "sort"]
    (result,) = answered(ask, "/v1/rerank", query="cat", documents=documents, top_n=1.0)["results"]
    assert json.dumps(result["id"]) == "7"


@pytest.mark.parametrize("path", RESPONSES)
def test_documents_may_be_objects(ask: Ask, path: str) -> None:
    objects = [{"text": DOCUMENTS[0], "title": "a cat"}, *DOCUMENTS[1:]]
    mixed, plain = (answered(ask, path, query=QUERY, documents=documents) for documents in (objects, DOCUMENTS))
    assert mixed["results"] == plain["results"]


@pytest.mark.parametrize("path", RESPONSES)
def test_unknown_and_empty_fields_are_no_error(ask: Ask, path: str) -> None:
    extra = {
        "model": "rerank-v3.5",
        "rank_fields": ["text"],
        "priority": 0,
        "max_chunks_per_doc": 3,
        "user": {"a": 1},
    }
    nothing = dict.fromkeys(("top_n", "raw_scores", "max_tokens_per_doc", "return_documents"))
    answer = answered(ask, path, query=QUERY, documents=DOCUMENTS, **extra, **nothing)
    assert [result["index"] for result in answer["results"]] == ORDER


@pytest.mark.parametrize("path", RESPONSES)
def test_max_tokens_per_doc_reaches_the_scorer(ask: Ask, scorer: WordScorer, path: str) -> None:
    results = answered(ask, path, query=QUERY, documents=DOCUMENTS, max_tokens_per_doc=2)["results"]
    assert scorer.calls[0]["max_document_tokens"] == 2
    assert {result["index"] for result in results if "truncated" in result} == {0, 1, 3}


def test_cohere_v1_returns_ids_and_documents_as_they_were_sent(ask: Ask) -> None:
    documents = [
        {"text": "the cat", "id": 0},
        {"text": "sort", "id": "s-1", "title": "t"},
        {"text": "mat", "id": None},
    ]
    documents.append("list of 🐈")  # type: ignore[arg-type]
    with_ids = answered(ask, "/v1/rerank", query=QUERY, documents=documents)["results"]
    assert {result["index"]: result.get("id") for result in with_ids} == {0: 0, 1: "s-1", 2: None, 3: None}
    assert all("document" not in result for result in with_ids)
    returned = answered(ask, "/v1/rerank", query=QUERY, documents=documents, return_documents=True)["results"]
    assert {result["index"]: result["document"] for result in returned} == {
        0: {"text": "the cat", "id": 0},
        1: {"text": "sort", "id": "s-1"},
        2: {"text": "mat"},
        3: {"text": "list of 🐈"},
    }


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2)])
def test_cohere_counts_search_units(ask: Ask, documents: int, units: int) -> None:
    meta = answered(ask, "/v1/rerank", query="a", documents=["b"] * documents)["meta"]
    assert meta["billed_units"] == {"search_units": units}
    assert meta["api_version"] == {"version": "1"}


def test_infinity_returns_documents_as_texts(ask: Ask) -> None:
    answer = answered(
        ask, "/rerank", query=QUERY, documents=[{"text": "the cat"}, "sort"], return_documents=True, model="m"
    )
    assert answer["object"] == "rerank"
    assert [result["document"] for result in answer["results"]] == ["sort", "the cat"]
    assert answer["created"] > 1_700_000_000


def test_text_embeddings_inference_answers_a_bare_list(ask: Ask) -> None:
    results = answered(ask, "/rerank", query=QUERY, texts=DOCUMENTS)
    expected = logits()
    assert results == [
        {"index": 1, "score": sigmoid(expected[1])},
        {"index": 2, "score": sigmoid(expected[2]), "unusual": True},
        {"index": 0, "score": sigmoid(expected[0])},
        {"index": 3, "score": sigmoid(expected[3]), "truncated": True},
    ]
    raw = answered(ask, "/rerank", query=QUERY, texts=DOCUMENTS, raw_scores=True, return_text=True)
    assert [(result["score"], result["text"]) for result in raw] == [(expected[i], DOCUMENTS[i]) for i in ORDER]


def test_text_embeddings_inference_tells_the_rest_in_headers(ask: Ask) -> None:
    reply = ask("/rerank", {"query": QUERY, "texts": DOCUMENTS, "raw_scores": True})
    tokens = sum(WordScorer.scored(QUERY, document).tokens for document in DOCUMENTS)
    assert reply.headers == {
        "x-compute-tokens": str(tokens),
        "x-score-scale": "logit",
        "x-truncated-documents": "1",
        "x-unusual-documents": "1",
    }


@pytest.mark.parametrize("truncate", [True, False, None])
def test_a_text_that_is_too_long_is_cut_whatever_truncate_says(ask: Ask, truncate: bool | None) -> None:
    (result,) = answered(
        ask, "/rerank", query="a", texts=["b " * 99], truncate=truncate, truncation_direction="Right"
    )
    assert result["truncated"] is True


def test_models_tell_what_answers(ask: Ask) -> None:
    listed = json.loads(ask("/v1/models").body)
    assert listed["object"] == "list"
    (card,) = listed["data"]
    assert card == json.loads(ask("/v1/models/reranker:3").body)
    assert card["id"] == "reranker:3"
    assert (card["object"], card["max_length"], card["score_scale"]) == ("model", MAX_LENGTH, "0..1")
    assert card["engine"] == "openvino-int8"
    assert (card["measurements"][0]["engine"], card["measurements"][0]["ndcg"]) == ("openvino-int8", 0.71)
