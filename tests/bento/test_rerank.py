"""POST /v1/rerank through the whole application: what it answers, and how it refuses."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bento.engine import OnnxEngine
from tests.bento.conftest import MAX_BODY_BYTES, MAX_DOCUMENTS

DOCUMENTS = ["sort a list in python", "the cat sat on the mat", "mean of an array", "numpy"]

_shared = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def rerank(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/rerank", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_answers_best_first_with_the_engines_scores(client: TestClient, engine: OnnxEngine) -> None:
    query = "how do i sort a list"
    answer = rerank(client, query=query, documents=DOCUMENTS)
    expected = engine.score([(query, document) for document in DOCUMENTS])
    assert [result["index"] for result in answer["results"]] == sorted(range(4), key=lambda i: -expected[i])
    for result in answer["results"]:
        assert result["relevance_score"] == pytest.approx(expected[result["index"]], abs=1e-6)
    assert answer["model"] == "reranker:1"


def test_names_the_request_and_the_model(client: TestClient) -> None:
    body = {"query": "a", "documents": ["b"]}
    answer = client.post("/v1/rerank", json=body, headers={"x-request-id": "mine-7"})
    assert answer.headers["x-request-id"] == answer.json()["id"] == "mine-7"
    assert answer.headers["x-model-version"] == "1"
    other = client.post("/v1/rerank", json=body, headers={"x-request-id": "not one\tword"})
    assert other.headers["x-request-id"] == other.json()["id"] != "not one\tword"


def test_documents_may_be_objects(client: TestClient) -> None:
    objects = [{"text": DOCUMENTS[0], "id": 7}, DOCUMENTS[1], *({"text": text} for text in DOCUMENTS[2:])]
    plain, mixed = (rerank(client, query="numpy", documents=documents) for documents in (DOCUMENTS, objects))
    assert plain["results"] == mixed["results"]


def test_top_n_returns_the_best_and_may_exceed_the_documents(client: TestClient) -> None:
    everything = rerank(client, query="numpy", documents=DOCUMENTS)["results"]
    assert rerank(client, query="numpy", documents=DOCUMENTS, top_n=2)["results"] == everything[:2]
    assert rerank(client, query="numpy", documents=DOCUMENTS, top_n=99)["results"] == everything


def test_equal_documents_keep_their_order(client: TestClient) -> None:
    documents = ["the cat", "numpy", "the cat", "sort", "the cat", *DOCUMENTS]
    order = [result["index"] for result in rerank(client, query="mean", documents=documents)["results"]]
    assert [index for index in order if documents[index] == "the cat"] == [0, 2, 4]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
words = st.lists(st.sampled_from(["sort", "cat", "list", "ü", "12"]), max_size=70).map(" ".join)


@_shared
@given(
    query=st.one_of(texts, words).filter(lambda text: text.strip()),
    documents=st.lists(st.one_of(texts, words), min_size=1, max_size=12),
)
def test_any_texts_come_back_as_an_ordered_permutation(client: TestClient, query: str, documents: list[str]) -> None:
    answer = client.post("/v1/rerank", json={"query": query, "documents": documents})
    if answer.status_code == 422:  # Python counts some characters as visible that a regular expression does not
        assert not query.strip("\x1c\x1d\x1e\x1f\x85").strip()
        return
    results = answer.json()["results"]
    scores = [result["relevance_score"] for result in results]
    assert sorted(result["index"] for result in results) == list(range(len(documents)))
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    alone = rerank(client, query=query, documents=[documents[results[0]["index"]]])["results"][0]["relevance_score"]
    assert alone == pytest.approx(scores[0], abs=1e-5)


REFUSED = {
    "no body": (b"", 400, "invalid_json", "JSON"),
    "not json": (b"{query: a}", 400, "invalid_json", "JSON"),
    "broken utf-8": (b'{"query": "\xff\xfe", "documents": ["a"]}', 400, "invalid_json", "UTF-8"),
    "lone surrogate": (rb'{"query": "\ud800", "documents": ["a"]}', 400, "invalid_json", "JSON"),
    "too deep": (b"[" * 100_000, 400, "invalid_json", "JSON"),
    "a list": (b"[]", 422, "invalid_request", "object"),
    "no query": (b'{"documents": ["a"]}', 422, "invalid_request", "`query`"),
    "blank query": (b'{"query": " \\n", "documents": ["a"]}', 422, "invalid_request", "`query`"),
    "query is a number": (b'{"query": 1, "documents": ["a"]}', 422, "invalid_request", "`query`"),
    "no documents": (b'{"query": "a"}', 422, "invalid_request", "`documents`"),
    "empty documents": (b'{"query": "a", "documents": []}', 422, "invalid_request", "`documents`"),
    "documents is a text": (b'{"query": "a", "documents": "b"}', 422, "invalid_request", "`documents`"),
    "a number among them": (b'{"query": "a", "documents": ["b", 3]}', 422, "invalid_request", "`documents[1]`"),
    "an object without text": (b'{"query": "a", "documents": [{}]}', 422, "invalid_request", "`documents[0]`"),
    "null text": (b'{"query": "a", "documents": [{"text": null}]}', 422, "invalid_request", "`documents[0]`"),
    "top_n zero": (b'{"query": "a", "documents": ["b"], "top_n": 0}', 422, "invalid_request", "`top_n`"),
    "top_n as text": (b'{"query": "a", "documents": ["b"], "top_n": "1"}', 422, "invalid_request", "`top_n`"),
    "top_n true": (b'{"query": "a", "documents": ["b"], "top_n": true}', 422, "invalid_request", "`top_n`"),
}


@pytest.mark.parametrize(("body", "status", "kind", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_bad_input_and_says_what_to_do(
    client: TestClient, body: bytes, status: int, kind: str, word: str
) -> None:
    answer = client.post("/v1/rerank", content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, kind)
    assert word in error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]


def test_refuses_too_many_documents(client: TestClient) -> None:
    rerank(client, query="a", documents=["b"] * MAX_DOCUMENTS)
    answer = client.post("/v1/rerank", json={"query": "a", "documents": ["b"] * (MAX_DOCUMENTS + 1)})
    assert answer.status_code == 422
    assert str(MAX_DOCUMENTS) in answer.json()["error"]["message"]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["/v1/rerank", "/score"])
def test_refuses_a_body_that_is_too_large(client: TestClient, path: str, declared: bool) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)

    def chunks() -> Iterator[bytes]:
        yield from (body[start : start + 65_536] for start in range(0, len(body), 65_536))

    answer = client.post(path, content=body if declared else chunks())
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "too_large"


def test_a_document_of_a_megabyte_costs_no_more_than_a_long_one(client: TestClient) -> None:
    huge = "sort a list " * (2**20 // 12)
    start = time.process_time()
    answer = rerank(client, query="sort", documents=[huge, huge[:5_000], "sort"])
    assert time.process_time() - start < 2
    by_index = {result["index"]: result["relevance_score"] for result in answer["results"]}
    assert by_index[0] == pytest.approx(by_index[1], abs=1e-6)


def test_wrong_path_and_method_are_refused_in_the_same_shape(client: TestClient) -> None:
    wrong_path, wrong_method = client.post("/v1/unknown", json={}), client.get("/v1/rerank")
    assert (wrong_path.status_code, wrong_path.json()["error"]["type"]) == (404, "not_found")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")


@_shared
@given(body=st.binary(max_size=200))
def test_no_bytes_break_it(client: TestClient, body: bytes) -> None:
    assert client.post("/v1/rerank", content=body).json()["error"]["type"] in {"invalid_json", "invalid_request"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "id"]), inner, max_size=2),
    max_leaves=6,
)


@_shared
@given(body=st.fixed_dictionaries({}, optional={"query": values, "documents": values, "top_n": values}))
def test_no_json_breaks_it(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/v1/rerank", content=json.dumps(body))
    assert answer.status_code in {200, 400, 422}
    assert ("results" in answer.json()) == (answer.status_code == 200)
