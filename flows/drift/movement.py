"""Which sources and words moved, so that a person understands an alarm."""

from typing import Any

import numpy as np
import numpy.typing as npt

from flows.drift.channels import Channel
from flows.drift.period import Floats
from flows.drift.report import Shift
from flows.drift.vocabulary import Vocabulary

_WORDS = 12
_SOURCES = 20


def moved_sources(channel: Channel, rate: float) -> tuple[Shift, ...]:
    """Return the sources whose share of the queries moved by more than chance: new ones first, then by their move."""
    before, now, certain = _compare(channel.reference, channel.current, rate)
    order = [i for i in np.lexsort((-np.abs(now - before), before > 0)) if certain[i]]
    return tuple(Shift(kind="source", name=channel.labels[i], before=before[i], now=now[i]) for i in order[:_SOURCES])


def moved_words(vocabulary: Vocabulary, rate: float) -> tuple[Shift, ...]:
    """Return the words that moved by more than chance, the most telling first."""
    found: list[tuple[float, Shift]] = []
    for column, (reference, current) in vocabulary.shares.items():
        before, now, certain = _compare(reference, current, rate)
        # A word's part of the symmetric Kullback-Leibler divergence: large and lopsided moves come first.
        floor = 0.5 / (reference.shape[0] + current.shape[0])
        telling = np.where(certain, (now - before) * np.log((now + floor) / (before + floor)), 0)
        for i in np.argsort(-telling, kind="stable")[:_WORDS]:
            if certain[i]:
                name = str(vocabulary.words[i])
                found.append((telling[i], Shift(kind=f"{column} word", name=name, before=before[i], now=now[i])))
    found.sort(key=lambda pair: -pair[0])
    first: dict[str, Shift] = {}
    for _, shift in found:
        first.setdefault(shift.name, shift)
    return tuple(first.values())[:_WORDS]


def _compare(reference: Any, current: Any, rate: float) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return both mean shares of each column, and where they differ by a z test, Bonferroni over the columns."""
    from scipy.stats import norm

    n, m = reference.shape[0], current.shape[0]
    before, now = np.asarray(reference.mean(axis=0)).ravel(), np.asarray(current.mean(axis=0)).ravel()
    pooled = (n * before + m * now) / (n + m)
    squares = (reference.power(2).sum(axis=0) + current.power(2).sum(axis=0)) / (n + m)
    error = np.sqrt(np.maximum(squares - pooled**2, 0) * (1 / n + 1 / m))
    certain = np.abs(now - before) > norm.isf(rate / 2 / max(1, len(before))) * error
    return before, now, certain & (np.abs(now - before) > 1e-9)
