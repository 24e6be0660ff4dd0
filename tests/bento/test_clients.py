"""Clients that others wrote, against a running service."""

from typing import Any

import bentoml
import cohere
import httpx
import pytest
from cohere.errors import UnprocessableEntityError
from langchain_cohere import CohereRerank
from langchain_core.documents import Document

QUERY = "how do i sort a list"
DOCUMENTS = ["the cat sat on the mat", "sort a list in python", "mean of an array", "numpy"]


@pytest.fixture(scope="module")
def expected(service_url: str) -> dict[int, float]:
    """The score of each document by its position, best first."""
    answer = httpx.post(
        f"{service_url}/v1/rerank", json={"query": QUERY, "documents": DOCUMENTS}, trust_env=False
    ).raise_for_status()
    scores = {result["index"]: result["relevance_score"] for result in answer.json()["results"]}
    assert sorted(scores) == [0, 1, 2, 3]
    assert len(set(scores.values())) == 4
    return scores


def scores(results: Any) -> dict[int, float]:
    return {result.index: result.relevance_score for result in results}


def best(expected: dict[int, float], count: int) -> list[tuple[int, Any]]:
    return [(index, pytest.approx(score, abs=1e-6)) for index, score in expected.items()][:count]


def test_cohere_v2(service_url: str, expected: dict[int, float]) -> None:
    client = cohere.ClientV2("some-key", base_url=service_url)
    answer = client.rerank(
        model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=3, max_tokens_per_doc=512, priority=0
    )
    assert list(scores(answer.results).items()) == best(expected, 3)
    assert answer.meta is not None
    assert answer.meta.api_version is not None
    assert answer.meta.api_version.version == "2"
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.search_units == 1
    assert answer.meta.tokens is not None
    assert (answer.meta.tokens.input_tokens or 0) > 4 * len(QUERY.split())


def test_cohere_v1_with_objects(service_url: str, expected: dict[int, float]) -> None:
    client = cohere.Client("some-key", base_url=service_url)
    documents: list[Any] = [{"text": text, "id": str(number)} for number, text in enumerate(DOCUMENTS)]
    answer = client.rerank(query=QUERY, documents=documents, rank_fields=["text"], return_documents=True)
    assert list(scores(answer.results).items()) == best(expected, 4)
    for result in answer.results:
        assert result.document is not None
        assert result.document.text == DOCUMENTS[result.index]
        assert result.id == str(result.index)  # type: ignore[attr-defined]  # one that we add


def test_cohere_shows_why_it_was_refused(service_url: str) -> None:
    with pytest.raises(UnprocessableEntityError) as refused:
        cohere.ClientV2("some-key", base_url=service_url).rerank(model="m", query=QUERY, documents=[])
    assert "`documents`" in refused.value.body["error"]["message"]


@pytest.mark.anyio
async def test_cohere_asynchronous(service_url: str, expected: dict[int, float]) -> None:
    client = cohere.AsyncClientV2("some-key", base_url=service_url)
    answer = await client.rerank(model="m", query=QUERY, documents=DOCUMENTS)
    assert list(scores(answer.results).items()) == best(expected, 4)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_langchain_compresses_what_a_retriever_found(service_url: str, expected: dict[int, float]) -> None:
    found = [Document(text, metadata={"source": f"{number}.md"}) for number, text in enumerate(DOCUMENTS)]
    compressor = CohereRerank(cohere_api_key="some-key", base_url=service_url, model="reranker", top_n=2)
    kept = compressor.compress_documents(found, QUERY)
    assert [(int(document.metadata["source"][0]), document.metadata["relevance_score"]) for document in kept] == best(
        expected, 2
    )
    assert [document.page_content for document in kept] == [DOCUMENTS[index] for index in list(expected)[:2]]


def test_bentoml_scores_pairs(service_url: str, expected: dict[int, float]) -> None:
    with bentoml.SyncHTTPClient(service_url) as client:
        given = client.score(pairs=[{"query": QUERY, "document": document} for document in DOCUMENTS])
    assert given == [pytest.approx(expected[index], abs=1e-6) for index in range(4)]


def test_bentoml_shows_why_it_was_refused(service_url: str) -> None:
    with bentoml.SyncHTTPClient(service_url) as client, pytest.raises(bentoml.exceptions.BentoMLException) as refused:
        client.score(pairs=[{"query": " ", "document": "b"}])
    assert "`pairs[0]`" in str(refused.value)
