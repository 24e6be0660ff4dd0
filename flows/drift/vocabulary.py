"""The words of both sides, counted once: for the TF-IDF channels and for saying which words moved."""

from functools import cached_property
from typing import Any

import numpy as np

from flows.drift.period import Period

_COLUMNS = ("query", "document")
_WORD = r"(?u)\b[^\W\d_]\w+\b"


class Vocabulary:
    """Words that `min_queries` queries use, of the two sides together."""

    def __init__(self, reference: Period, current: Period, *, min_queries: int = 5, max_words: int = 20_000) -> None:
        """Count the words of every query and document; texts that repeat are read once."""
        from scipy.sparse import csr_array, vstack
        from sklearn.feature_extraction.text import CountVectorizer

        self.sides = (reference, current)
        self._present = [(c, s) for c in _COLUMNS for s in (0, 1) if all(p.has(c) for p in self.sides)]
        vectorizer = CountVectorizer(token_pattern=_WORD, dtype=np.float64)
        texts = {key: self.sides[key[1]].texts(key[0]) for key in self._present}
        counted: dict[tuple[str, int], Any] = {}
        try:
            matrix = vectorizer.fit_transform([text for distinct, _ in texts.values() for text in distinct])
            self.words = vectorizer.get_feature_names_out()
        except ValueError:  # scikit-learn's way to say that no text has a word
            matrix = csr_array((sum(len(distinct) for distinct, _ in texts.values()), 0))
            self.words = np.array([], dtype=object)
        start = 0
        for key, (distinct, index) in texts.items():
            counted[key] = csr_array(matrix[start : start + len(distinct)])[index]
            start += len(distinct)
        self._counts = counted
        if counted:
            used = vstack([self._by_query(key, (c > 0).astype(np.float64)) for key, c in counted.items()])
            frequency = np.asarray((used > 0).sum(axis=0)).ravel()
            kept = np.argsort(-frequency, kind="stable")[:max_words]
            kept = np.sort(kept[frequency[kept] >= min_queries])
            self.words = self.words[kept]
            self._counts = {key: c[:, kept] for key, c in counted.items()}

    def tfidf(self, column: str) -> tuple[Any, Any]:
        """Return the mean TF-IDF vector of each query's texts, (queries, words), for both sides.

        Rows have length 1 before the mean. Inverse document frequencies come from both sides: those of the
        reference alone would overrate whatever it happens to lack, and measured on shuffled real text that raised
        ten times as many false alarms as stated.
        """
        from scipy.sparse import vstack
        from sklearn.feature_extraction.text import TfidfTransformer

        counts = [self._counts[column, side] for side in (0, 1)]
        transformer = TfidfTransformer(sublinear_tf=True).fit(vstack(counts))
        vectors = [transformer.transform(side) for side in counts]
        return self._by_query((column, 0), vectors[0]), self._by_query((column, 1), vectors[1])

    @cached_property
    def shares(self) -> dict[str, tuple[Any, Any]]:
        """For each column, the share of each query's texts that have the word: (queries, words), both sides."""
        present = {key: self._by_query(key, (c > 0).astype(np.float64)) for key, c in self._counts.items()}
        return {column: (present[column, 0], present[column, 1]) for column, side in self._present if side == 0}

    def _by_query(self, key: tuple[str, int], vectors: Any) -> Any:
        from scipy.sparse import csr_array

        period = self.sides[key[1]]
        rows = np.arange(len(period.query))
        mean = csr_array((period.weight, (period.query, rows)), shape=(period.queries, len(rows)))
        return csr_array(mean @ csr_array(vectors))
