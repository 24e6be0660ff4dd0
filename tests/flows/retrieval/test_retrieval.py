"""Retrievers: what they find, and that they score pairs as they find them."""

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.retrieval import RetrievalError, Retriever, open_retriever
from flows.settings import RetrievalSettings

DOCUMENTS = [
    "Sort an array along an axis and return a copy",
    "Open a connection to the database server",
    "Compute the mean of an array, ignoring missing values",
    "Close the database connection and roll back",
]


@pytest.fixture(params=["bm25", pytest.param("bi-encoder", marks=pytest.mark.slow)], scope="module")
def retriever(request: pytest.FixtureRequest) -> Retriever:
    found = open_retriever(RetrievalSettings(kind=request.param))
    found.index(DOCUMENTS)
    return found


def test_the_best_document_comes_first(retriever: Retriever) -> None:
    positions, scores = retriever.search(["sort an array", "open the database connection"], top_k=3)

    assert positions.shape == scores.shape == (2, 3)
    assert positions[:, 0].tolist() == [0, 1]
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_pair_has_the_score_with_which_it_is_found(retriever: Retriever) -> None:
    queries = ["mean of an array", "roll back the database", "array array array"]
    positions, scores = retriever.search(queries, top_k=len(DOCUMENTS))
    pairs = [(query, DOCUMENTS[i]) for query, row in zip(queries, positions, strict=True) for i in row]

    given_scores = retriever.score([query for query, _ in pairs], [document for _, document in pairs])

    np.testing.assert_allclose(given_scores, scores.ravel(), atol=1e-5 if retriever.name == "bm25" else 1e-2)


def test_no_more_is_found_than_there_is(retriever: Retriever) -> None:
    positions, _ = retriever.search(["array"], top_k=100)
    assert sorted(positions[0].tolist()) == list(range(len(DOCUMENTS)))


def test_nothing_asked_gives_nothing(retriever: Retriever) -> None:
    assert retriever.score([], []).shape == (0,)
    assert retriever.search([], top_k=2)[0].shape == (0, 2)


def test_indexing_again_replaces_the_corpus() -> None:
    retriever = open_retriever(RetrievalSettings(kind="bm25"))
    retriever.index(DOCUMENTS)
    retriever.index(DOCUMENTS[:1])

    assert retriever.search(["database"], top_k=5)[0].tolist() == [[0]]
    with pytest.raises(RetrievalError, match="1 of 2 documents"):
        retriever.score(["array", "array"], DOCUMENTS[:2])


@pytest.mark.parametrize("corpus", [[], ["", "the of and"]])
def test_a_corpus_without_words_is_refused(corpus: list[str]) -> None:
    with pytest.raises(RetrievalError, match="hold no words"):
        open_retriever(RetrievalSettings(kind="bm25")).index(corpus)


def test_searching_before_indexing_says_what_to_do() -> None:
    retriever = open_retriever(RetrievalSettings(kind="bm25"))
    with pytest.raises(RetrievalError, match="call index"):
        retriever.search(["array"], top_k=1)
    with pytest.raises(RetrievalError, match="index every document"):
        retriever.score(["array"], ["a document"])


def test_unknown_weights_are_named() -> None:
    with pytest.raises(RetrievalError, match="carried:unknown"):
        open_retriever(RetrievalSettings(kind="bi-encoder", bi_encoder="carried:unknown"))


_words = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"])
_texts = st.lists(_words, min_size=1, max_size=8).map(" ".join)


@given(st.lists(_texts, min_size=1, max_size=12, unique=True), st.lists(_texts, min_size=1, max_size=4))
def test_bm25_scores_are_those_of_the_library(documents: list[str], queries: list[str]) -> None:
    """Pair scores are read from the sparse index; the library computes them by scanning the corpus."""
    retriever = open_retriever(RetrievalSettings(kind="bm25"))
    retriever.index(documents)
    engine = bm25s.BM25(method="lucene")
    engine.index([document.split() for document in documents], show_progress=False)
    expected = np.stack([engine.get_scores(query.split()) for query in queries])

    pairs = [(query, document) for query in queries for document in documents]
    scores = retriever.score([query for query, _ in pairs], [document for _, document in pairs])

    np.testing.assert_allclose(scores.reshape(expected.shape), expected, atol=1e-5)
