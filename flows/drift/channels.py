"""What is compared: eight channels, each a vector for every query and a distance between two mean vectors.

Because every statistic is a function of the mean vectors of two groups of queries, thousands of quiet windows
are one matrix product (see `flows.drift.calibration`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.drift.period import Floats, Integers, Period
from flows.drift.vocabulary import Vocabulary

Distance = Callable[[Floats, Floats, float, float], Floats]
"""(mean vectors of the reference (k, d), of the window (k, d), queries behind each) -> statistics (k,)."""

_BINS = 256
_MANY = 5


@dataclass(frozen=True)
class Channel:
    """One thing that can drift."""

    name: str
    test: str
    """The statistic, as people call it: a key of STATISTICS."""
    reference: Any
    """CSR matrix (queries of the reference, d)."""
    current: Any
    """CSR matrix (queries of the window, d)."""
    shown: tuple[Any, Any]
    """One plain value for each query of both sides, for a chart: numbers, or categories as text."""
    labels: tuple[str, ...] = ()
    """Names of the d columns, where they have any."""

    def statistic(self) -> float:
        """Return the distance between the two sides."""
        before, now = (np.asarray(side.mean(axis=0)).reshape(1, -1) for side in (self.reference, self.current))
        distance = STATISTICS[self.test].distance
        return round(float(distance(before, now, self.reference.shape[0], self.current.shape[0])[0]), 12)


def kolmogorov_smirnov(reference: Floats, current: Floats, n: float, m: float) -> Floats:
    """Return the largest gap between two cumulative distributions over ordered bins, 0..1."""
    gap: Floats = np.abs(np.cumsum(reference - current, axis=1)).max(axis=1)
    return gap


def chi_square(reference: Floats, current: Floats, n: float, m: float) -> Floats:
    """Return Pearson's two-sample chi-square of shares p, q of n and m queries: nm/(n+m) sum (p-q)^2 / pooled.

    A category that only one side knows has a pooled share above zero, so nothing is divided by zero.
    """
    pooled = (n * reference + m * current) / (n + m)
    squares = np.divide((reference - current) ** 2, pooled, out=np.zeros_like(pooled), where=pooled > 0)
    statistic: Floats = n * m / (n + m) * squares.sum(axis=1)
    return statistic


def cosine_distance(reference: Floats, current: Floats, n: float, m: float) -> Floats:
    """Return 1 - cosine of two TF-IDF centroids; 0 where neither side has a known word, 1 where one has none."""
    lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(current, axis=1)
    cosine = np.divide((reference * current).sum(axis=1), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    silent = ~reference.any(axis=1) & ~current.any(axis=1)
    distance: Floats = np.where(silent, 0.0, np.clip(1 - cosine, 0, 1))
    return distance


@dataclass(frozen=True)
class Statistic:
    """A distance, and how it grows with the noise of its two means."""

    distance: Distance
    order: float
    """In quiet times it is proportional to (1/n + 1/m) ** order for means of n and m queries."""


STATISTICS = {
    "Kolmogorov-Smirnov": Statistic(kolmogorov_smirnov, order=0.5),
    "chi-square": Statistic(chi_square, order=0),
    "TF-IDF cosine distance": Statistic(cosine_distance, order=1),
}

NAMES = {
    **{f"{c} {what}": "Kolmogorov-Smirnov" for c in ("query", "document") for what in ("length", "words")},
    **{f"{c} text": "TF-IDF cosine distance" for c in ("query", "document")},
    "relevant documents": "chi-square",
    "source": "chi-square",
}
"""Every channel and its statistic."""


def channels(reference: Period, current: Period, vocabulary: Vocabulary) -> Iterator[Channel]:
    """Yield every channel whose column holds something on both sides; NAMES has them all."""
    sides = (reference, current)
    for column in ("query", "document"):
        if all(side.has(column) for side in sides):
            yield _ordered(f"{column} length", sides, [_measured(side, column, len) for side in sides])
            yield _ordered(f"{column} words", sides, [_measured(side, column, _count_words) for side in sides])
            yield _text(f"{column} text", vocabulary.tfidf(column))
    if all(side.has("relevance") for side in sides):
        counts = [np.minimum(relevant_documents(side), _MANY)[side.query] for side in sides]
        labels = (*map(str, range(_MANY)), f"{_MANY} or more")
        yield _categories("relevant documents", sides, counts, labels)
    if all(side.has("source") for side in sides):
        texts = [side.texts("source") for side in sides]
        labels = tuple(sorted({*texts[0][0], *texts[1][0]}))
        number = {label: i for i, label in enumerate(labels)}
        codes = [np.array([number[name] for name in names], np.int64)[index] for names, index in texts]
        yield _categories("source", sides, codes, labels)


def relevant_documents(period: Period) -> Integers:
    """Return how many relevant documents each query has; shape (queries,).

    Unlike the share of relevant rows, this number stays when negatives are undersampled.
    """
    relevant = period.rows["relevance"].fill_null(0).to_numpy() > 0
    return np.bincount(period.query, weights=relevant, minlength=period.queries).astype(np.int64)


def _measured(period: Period, column: str, measure: Callable[[str], int]) -> Integers:
    texts, index = period.texts(column)
    return np.array([measure(text) for text in texts], np.int64)[index]


def _count_words(text: str) -> int:
    return len(text.split())


def _ordered(name: str, sides: tuple[Period, Period], values: list[Integers]) -> Channel:
    knots = np.unique(np.quantile(values[0], np.linspace(0, 1, _BINS), method="nearest"))
    # Two codes a knot, for "between" and "equal": no value beside a knot hides in its bin.
    codes = [np.searchsorted(knots, v, "left") + np.searchsorted(knots, v, "right") for v in values]
    matrices = _indicators(sides, codes, 2 * len(knots) + 1)
    shown = tuple(
        np.bincount(side.query, weights=side.weight * v, minlength=side.queries)
        for side, v in zip(sides, values, strict=True)
    )
    return Channel(name, NAMES[name], *matrices, (shown[0], shown[1]))


def _categories(name: str, sides: tuple[Period, Period], codes: list[Integers], labels: tuple[str, ...]) -> Channel:
    matrices = _indicators(sides, codes, len(labels))
    named = np.array(labels, dtype=object)
    shown = [named[code[side.first_rows()]] for side, code in zip(sides, codes, strict=True)]
    return Channel(name, NAMES[name], *matrices, (shown[0], shown[1]), labels)


def _text(name: str, vectors: tuple[Any, Any]) -> Channel:
    centroid = np.asarray(vectors[0].mean(axis=0)).ravel()
    length = np.linalg.norm(centroid) or 1.0
    shown = [side @ centroid / length for side in vectors]
    return Channel(name, NAMES[name], *vectors, (shown[0], shown[1]))


def _indicators(sides: tuple[Period, Period], codes: list[Integers], width: int) -> tuple[Any, Any]:
    from scipy.sparse import csr_array

    matrices = [
        csr_array((side.weight, (side.query, code)), shape=(side.queries, width))
        for side, code in zip(sides, codes, strict=True)
    ]
    return matrices[0], matrices[1]
