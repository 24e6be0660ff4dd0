"""Which sources and words moved, so that a person understands an alarm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from flows.drift.period import Floats, Integers, Period
from flows.drift.report import Shift
from flows.drift.words import WORD

Names = npt.NDArray[np.str_]

_COLUMNS = ("query", "document")
_MIN_QUERIES = 2
_MAX_WORDS = 50_000
_MOST_WORDS = 12
_MOST_SOURCES = 20


@dataclass(frozen=True)
class WordShares:
    """In which share of each query's texts each word stands: what is kept of a side to say which words moved."""

    queries: Integers
    """How many were counted; one number."""
    query_words: Names
    query_means: Floats
    """Mean share over the queries, of each word."""
    query_squares: Floats
    """Mean of the squared shares."""
    document_words: Names
    document_means: Floats
    document_squares: Floats

    @classmethod
    def of(cls, period: Period) -> Self:
        """Count the words that two queries use at least."""
        counted: dict[str, Any] = {"queries": np.array(period.queries)}
        for column in _COLUMNS:
            words, means, squares = _count(period, column)
            counted |= {f"{column}_words": words, f"{column}_means": means, f"{column}_squares": squares}
        return cls(**counted)

    def arrays(self) -> Mapping[str, Any]:
        """Return what `WordShares(**arrays)` takes."""
        return vars(self)

    def column(self, column: str) -> dict[str, tuple[float, float]]:
        """Return mean share and mean square of each word of `column`."""
        words, means, squares = (getattr(self, f"{column}_{part}") for part in ("words", "means", "squares"))
        return dict(zip(words.tolist(), zip(means.tolist(), squares.tolist(), strict=True), strict=True))


def moved_sources(known: Names, reference: Floats, n: int, window: Period, rate: float) -> tuple[Shift, ...]:
    """Return the sources whose share of the queries moved by more than chance: new ones first, then by their move.

    Args:
        known: The reference's sources.
        reference: Their shares.
        n: Queries of the reference.
        window: The other side.
        rate: Of false names, over all sources.
    """
    names, index = window.texts("source")
    shares = np.asarray(window.indicators(index, len(names)).mean(axis=0)).ravel()
    now = dict(zip(names, shares.tolist(), strict=True))
    before = dict(zip(known.tolist(), reference.tolist(), strict=True))
    labels = sorted({*before, *now})
    p, q = (np.array([side.get(label, 0.0) for label in labels]) for side in (before, now))
    certain = _certain(p, q, p, q, n, window.queries, rate)  # a share of whole queries is its own square
    order = [i for i in np.lexsort((-np.abs(q - p), p > 0)) if certain[i]]
    return tuple(Shift(kind="source", name=labels[i], before=p[i], now=q[i]) for i in order[:_MOST_SOURCES])


def moved_words(reference: WordShares, window: Period, rate: float) -> tuple[Shift, ...]:
    """Return the words that moved by more than chance, the most telling first."""
    current, n, m = WordShares.of(window), int(reference.queries), window.queries
    found: list[tuple[float, Shift]] = []
    for column in _COLUMNS:
        if not (len(getattr(current, f"{column}_words")) and len(getattr(reference, f"{column}_words"))):
            continue
        before, now = reference.column(column), current.column(column)
        words = sorted({*before, *now})
        p, p_square, q, q_square = (
            np.array([side.get(word, (0.0, 0.0))[part] for word in words])
            for side in (before, now)
            for part in (0, 1)
        )
        certain = _certain(p, q, p_square, q_square, n, m, rate)
        # A word's part of the symmetric Kullback-Leibler divergence: large and lopsided moves come first.
        floor = 0.5 / (n + m)
        telling = np.where(certain, (q - p) * np.log((q + floor) / (p + floor)), 0)
        for i in np.argsort(-telling, kind="stable")[:_MOST_WORDS]:
            if certain[i]:
                found.append((telling[i], Shift(kind=f"{column} word", name=words[i], before=p[i], now=q[i])))
    found.sort(key=lambda pair: -pair[0])
    first: dict[str, Shift] = {}
    for _, shift in found:
        first.setdefault(shift.name, shift)
    return tuple(first.values())[:_MOST_WORDS]


def _count(period: Period, column: str) -> tuple[Names, Floats, Floats]:
    from sklearn.feature_extraction.text import CountVectorizer

    nothing = np.array([], str), np.zeros(0), np.zeros(0)
    if not (period.queries and period.has(column)):
        return nothing
    distinct, index = period.texts(column)
    vectorizer = CountVectorizer(token_pattern=WORD, dtype=np.float64, binary=True)
    try:
        present = vectorizer.fit_transform(distinct)
    except ValueError:  # scikit-learn's way to say that no text has a word
        return nothing
    shares = period.means(present, index)
    using = np.asarray((shares > 0).sum(axis=0)).ravel()
    kept = np.sort(np.argsort(-using, kind="stable")[:_MAX_WORDS])
    kept = kept[using[kept] >= _MIN_QUERIES]
    words = vectorizer.get_feature_names_out()[kept].astype(str)
    means, squares = (np.asarray(power.mean(axis=0)).ravel()[kept] for power in (shares, shares.power(2)))
    return words, means, squares


def _certain(p: Floats, q: Floats, p_square: Floats, q_square: Floats, n: int, m: int, rate: float) -> Any:
    """Return where two mean shares differ by a z test, Bonferroni over them all."""
    from scipy.stats import norm

    pooled = (n * p + m * q) / (n + m)
    variance = np.maximum((n * p_square + m * q_square) / (n + m) - pooled**2, 0)
    apart = np.abs(q - p)
    return (apart > norm.isf(rate / 2 / max(1, len(p))) * np.sqrt(variance * (1 / n + 1 / m))) & (apart > 1e-9)
