"""What is ordinary: each channel's statistics in quiet windows drawn from the reference.

A quiet window is a random group of short blocks of time, together as many queries as the real window has, held
against the rest of the reference (without replacement, so no query stands on both sides). That is what chance alone
does to text that comes in bursts; but real history is no lottery either: weeks differ, and text moves. So each
statistic is also measured as the watch itself does it, a contiguous stretch against all that came before it. Where
these differ more on average, the quiet distribution is stretched by that ratio, as a dispersion factor stretches a
chi-square (McCullagh and Nelder 1989, sec. 4.5).

What this cannot know: a reference of few windows says little about its own weeks. The report says how many windows
there were and what the factors were.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flows.drift.period import Floats, Integers
from flows.drift.statistics import STATISTICS, measure

_CHUNK = 128
_MIN_STRETCHES = 3
_BLOCKS = 8
"""A quiet window is made of about so many blocks."""
_NOTHING = 1e-12


@dataclass(frozen=True)
class Quiet:
    """A channel's statistics in quiet times."""

    tests: tuple[str, ...]
    statistics: Floats
    """Of each quiet window, stretched, each test in descending order; shape (tests, windows)."""
    rarest: Integers
    """Of each quiet window, the rank of that of its statistics that is rarest: how many of that test are at least as
    large, itself among them; ascending, shape (windows,)."""
    dispersion: float
    """How much more contiguous stretches differ than random groups; 1 at least."""

    def p_value(self, statistics: Sequence[float]) -> float:
        """Return the share of quiet windows, this one counted among them, that differ at least as much.

        A channel with several tests differs by the one that is rarest; quiet windows are counted in the same way.
        """
        as_large = [_as_large(row, np.array([s]))[0] for row, s in zip(self.statistics, statistics, strict=True)]
        return float((1 + np.searchsorted(self.rarest, 1 + min(as_large), "right")) / (1 + len(self.rarest)))

    def thresholds(self, level: float) -> list[float]:
        """Return the value that each test's statistic must pass for a p value of `level` at most."""
        rarer = int(np.floor(level * (1 + len(self.rarest)) + 1e-9)) - 1  # quiet windows that may be as rare
        rank = int(self.rarest[rarer]) - 1 if rarer < len(self.rarest) else len(self.rarest)
        return [float(row[max(rank, 1) - 1]) for row in self.statistics]


def calibrate(sums: Mapping[str, Floats], counts: Integers, window: int, windows: int, seed: int) -> Quiet:
    """Draw `windows` quiet windows of the size of a real one and return what a channel did in them.

    Args:
        sums: For each test, the sum of the vectors of each block of the reference, in order of time; (blocks, d).
        counts: Queries of each block; (blocks,).
        window: Queries of the real window.
        windows: How many to draw.
        seed: Of the drawing.
    """
    n = int(counts.sum())
    size = max(1, min(window, n // _MIN_STRETCHES))
    every = max(1, round(size / _BLOCKS * len(counts) / n))
    starts = np.arange(0, len(counts), every)
    counts = np.add.reduceat(counts, starts)
    blocks = max(1, round(size * len(counts) / n))
    drawn = _draw(len(counts), min(blocks, len(counts) - 1), windows, np.random.default_rng(seed))
    rows, dispersions = [], []
    for test, fine in sums.items():
        vectors = np.add.reduceat(fine, starts, axis=0)
        if STATISTICS[test].turnable and vectors.shape[1] > len(vectors):
            vectors = _turned(vectors)
        level = _level(test, vectors, counts)
        relative = _drawn_statistics(test, vectors, counts, drawn, level)
        dispersion = _dispersion(test, vectors, counts, blocks, level, float(relative.mean()))
        expected = level(np.array([float(n)]), np.array([float(window)]))[0]
        rows.append(np.round(dispersion * expected * relative, 9))
        dispersions.append(dispersion)
    descending = np.sort(np.stack(rows), axis=1)[:, ::-1]
    ranks = np.stack([_as_large(ordered, row) for ordered, row in zip(descending, rows, strict=True)])
    return Quiet(tuple(sums), descending, np.sort(ranks.min(axis=0)), max(dispersions))


def holm(p_values: Sequence[float], rate: float) -> float:
    """Return the level at which Holm's step-down procedure (1979) stops: drifted is whoever is at or below it."""
    ordered = sorted(p_values)
    for step, p in enumerate(ordered):
        level = rate / (len(ordered) - step)
        if p > level:
            return level
    return rate


def _as_large(descending: Floats, statistics: Floats) -> Integers:
    """Return how many of one test's quiet windows are at least as large as each statistic."""
    count: Integers = len(descending) - np.searchsorted(descending[::-1], statistics, "left")
    return count


def _draw(blocks: int, chosen: int, windows: int, rng: np.random.Generator) -> Floats:
    """Return one row a window: 1 for each of `chosen` blocks drawn without replacement, else 0."""
    drawn = np.zeros((windows, blocks))
    np.put_along_axis(drawn, rng.random((windows, blocks)).argpartition(chosen - 1, axis=1)[:, :chosen], 1, axis=1)
    return drawn


def _turned(vectors: Floats) -> Floats:
    """Return the same vectors in an orthonormal basis of what they span; shape (k, k)."""
    _, coordinates = np.linalg.qr(vectors.T)
    turned: Floats = np.asarray(coordinates).T
    return turned


def _level(test: str, vectors: Floats, counts: Integers) -> Callable[[Floats, Floats], Floats]:
    """Return what chance alone comes to for means of n and m queries, times a constant."""
    noise = _noise(vectors, counts)
    return lambda n, m: STATISTICS[test].level(n, m, noise)


def _noise(vectors: Floats, counts: Integers) -> float:
    """Return the variance of one query's vector against the squared length of the mean, from blocks of queries."""
    queries = float(counts.sum())
    total = float((vectors.sum(axis=0) ** 2).sum()) / queries**2
    blocks = float(((vectors**2).sum(axis=1) / counts**2).mean())
    # E |mean of c|^2 = signal + variance / c, for all queries and for a block.
    variance = max(blocks - total, 0.0) / (float((1 / counts).mean()) - 1 / queries)
    signal = total - variance / queries
    return min(variance / max(signal, _NOTHING), 1 / _NOTHING)


def _drawn_statistics(
    test: str, vectors: Floats, counts: Integers, drawn: Floats, level: Callable[[Floats, Floats], Floats]
) -> Floats:
    """Return the statistic of each drawn window against the rest, over its level by chance; shape (windows,)."""
    total, queries = vectors.sum(axis=0), counts.sum()
    found = []
    for start in range(0, len(drawn), _CHUNK):
        chosen = drawn[start : start + _CHUNK]
        size = chosen @ counts
        window = chosen @ vectors
        rest = queries - size
        statistic = measure(test, (total - window) / rest[:, None], window / size[:, None], rest, size)
        found.append(_over(statistic, level(rest, size)))
    return np.concatenate(found)


def _dispersion(
    test: str, vectors: Floats, counts: Integers, blocks: int, level: Callable[[Floats, Floats], Floats], usual: float
) -> float:
    """Return how much more contiguous stretches differ from their past than drawn windows from the rest; at least 1.

    A stretch counts when it has as much of a past as it is long.
    """
    summed, size = np.cumsum(vectors, axis=0), np.cumsum(counts).astype(np.float64)
    ends = np.arange(2 * blocks, len(counts) + 1)
    if usual <= _NOTHING or not len(ends):
        return 1.0
    past, n = summed[ends - blocks - 1], size[ends - blocks - 1]
    m = size[ends - 1] - n
    statistic = measure(test, past / n[:, None], (summed[ends - 1] - past) / m[:, None], n, m)
    return max(1.0, float(_over(statistic, level(n, m)).mean()) / usual)


def _over(statistic: Floats, level: Floats) -> Floats:
    """Return the ratio; 0 where chance does nothing, for then nothing varies."""
    return np.divide(statistic, level, out=np.zeros_like(statistic), where=level > _NOTHING)
