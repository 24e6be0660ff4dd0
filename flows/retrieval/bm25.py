"""BM25 in memory."""

from collections.abc import Sequence

import bm25s
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import csc_matrix, csr_matrix

from flows.retrieval.retriever import OnProgress, RetrievalError, quiet


class Bm25:
    """Lucene's variant of BM25 (k1 1.5, b 0.75) over lower-cased words without English stop words.

    The scores of a pair depend on the corpus through idf and mean length, so `score` takes documents of the index.
    """

    name = "bm25"

    def __init__(self) -> None:
        self._engine: bm25s.BM25 | None = None
        self._rows: dict[str, int] = {}
        self._weights = csr_matrix((0, 0), dtype=np.float32)  # (documents, words): what a query's word adds

    def index(
        self, documents: Sequence[str], provenance: pa.Table | None = None, on_progress: OnProgress = quiet
    ) -> None:
        """Take `documents` as the corpus; RetrievalError when they hold no words."""
        words = _words(documents)
        if not any(words):
            raise RetrievalError(f"BM25 has nothing to index: {len(documents)} documents hold no words.")
        self._engine = bm25s.BM25(method="lucene")
        self._engine.index(words, show_progress=False)
        self._rows = {document: row for row, document in enumerate(documents)}
        scores = self._engine.scores
        shape = (len(documents), len(scores["indptr"]) - 1)
        self._weights = csc_matrix((scores["data"], scores["indices"], scores["indptr"]), shape=shape).tocsr()
        on_progress(len(documents), len(documents))

    def search(self, queries: Sequence[str], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return positions in the corpus and scores, best first; each of shape (queries, min(top_k, documents))."""
        if self._engine is None:
            raise RetrievalError("BM25 was searched before it was given documents: call index() first.")
        top_k = min(top_k, self._weights.shape[0])
        if not queries:
            return np.empty((0, top_k), np.int64), np.empty((0, top_k), np.float32)
        found = self._engine.retrieve(_words(queries), k=top_k, show_progress=False)
        return found.documents.astype(np.int64), found.scores.astype(np.float32)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the BM25 score of each pair, shape (n,); RetrievalError for a document outside the index."""
        try:
            rows = [self._rows[document] for document in documents]
        except KeyError:
            unknown = sum(document not in self._rows for document in documents)
            raise RetrievalError(
                f"BM25 cannot score {unknown} of {len(documents)} documents, for they are not in its index: "
                "index every document of the snapshot first."
            ) from None
        distinct = {query: row for row, query in enumerate(dict.fromkeys(queries))}
        counts = self._word_counts(list(distinct))
        products = self._weights[rows].multiply(counts[[distinct[query] for query in queries]])
        return np.asarray(products.sum(axis=1), dtype=np.float32).ravel()

    def close(self) -> None:
        """Drop the index."""
        self._engine, self._rows = None, {}

    def _word_counts(self, queries: Sequence[str]) -> csr_matrix:
        """Return how often each word of the corpus occurs in each query, shape (queries, words)."""
        assert self._engine is not None
        columns: list[int] = []
        starts = [0]
        for words in _words(queries):
            columns += [self._engine.vocab_dict[word] for word in words if word in self._engine.vocab_dict]
            starts.append(len(columns))
        ones = np.ones(len(columns), np.float32)
        matrix = csr_matrix((ones, columns, starts), shape=(len(queries), self._weights.shape[1]))
        matrix.sum_duplicates()
        return matrix


def _words(texts: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
    return words
