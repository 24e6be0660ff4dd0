"""Whatever text is sent to a running service: every document comes back once, in order, with its own score."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_shared = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def http(service_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service_url, timeout=30, trust_env=False) as http:
        yield http


def rerank(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = http.post("/v1/rerank", json=body)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
words = st.lists(st.sampled_from(["sort", "cat", "list", "ü", "12"]), max_size=70).map(" ".join)


@_shared
@given(
    query=st.one_of(texts, words).filter(lambda text: text.strip()),
    documents=st.lists(st.one_of(texts, words), min_size=1, max_size=12),
)
def test_any_texts_come_back_as_an_ordered_permutation(http: httpx.Client, query: str, documents: list[str]) -> None:
    results = rerank(http, query=query, documents=documents)
    scores = [result["relevance_score"] for result in results]
    assert sorted(result["index"] for result in results) == list(range(len(documents)))
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    (alone,) = rerank(http, query=query, documents=[documents[results[0]["index"]]])
    assert alone["relevance_score"] == pytest.approx(scores[0], abs=1e-5)


@_shared
@given(documents=st.lists(words, min_size=1, max_size=12), raw=st.booleans())
def test_all_shapes_agree(http: httpx.Client, documents: list[str], raw: bool) -> None:
    body = {"query": "sort", "raw_scores": raw}
    answers = [
        http.post(path, json=body | {field: documents}).json()
        for path, field in [
            ("/v1/rerank", "documents"),
            ("/v2/rerank", "documents"),
            ("/rerank", "documents"),
            ("/rerank", "texts"),
        ]
    ]
    orders = [
        [(entry["index"], entry.get("relevance_score", entry.get("score"))) for entry in results]
        for results in (answer if isinstance(answer, list) else answer["results"] for answer in answers)
    ]
    for order in orders[1:]:
        assert order == [(index, pytest.approx(score, abs=1e-5)) for index, score in orders[0]]


def test_equal_documents_keep_their_order(http: httpx.Client) -> None:
    documents = ["the cat", "numpy", "the cat", "sort", "the cat", "sort a list in python", "mean of an array"]
    results = rerank(http, query="mean", documents=documents)
    cats = [result for result in results if documents[result["index"]] == "the cat"]
    assert [result["index"] for result in cats] == [0, 2, 4]
    assert len({result["relevance_score"] for result in cats}) == 1


def test_a_document_of_a_megabyte_costs_no_more_than_a_long_one(http: httpx.Client) -> None:
    huge = "sort a list " * (2**20 // 12)
    start = time.monotonic()
    results = rerank(http, query="sort", documents=[huge, huge[:5_000], "sort"])
    assert time.monotonic() - start < 5
    by_index = {result["index"]: result for result in results}
    assert by_index[0]["relevance_score"] == pytest.approx(by_index[1]["relevance_score"], abs=1e-6)
    assert [by_index[index].get("truncated", False) for index in range(3)] == [True, True, False]


def test_tokens_are_those_that_the_model_read(http: httpx.Client) -> None:
    def tokens(**body: Any) -> int:
        used: int = http.post("/v1/rerank", json={"query": "sort", **body}).json()["usage"]["total_tokens"]
        return used

    one, other = tokens(documents=["sort a list"]), tokens(documents=["the cat sat on the mat"])
    assert tokens(documents=["sort a list", "the cat sat on the mat"], top_n=1) == one + other
    assert tokens(documents=["the cat sat on the mat"], max_tokens_per_doc=2) < other
