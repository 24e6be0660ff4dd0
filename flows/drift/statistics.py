"""Distances between two groups of queries, each a function of the two mean vectors.

So thousands of quiet windows are one matrix product (see `flows.drift.calibration`). All are vectorised: means have
shape (k, d) or (1, d), sizes are queries behind each mean, and the result has shape (k,).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flows.drift.period import Floats

_LEAST_EXPECTED = 1.0

Distance = Callable[[Floats, Floats, Floats, Floats], Floats]
"""(mean vectors of the reference, of the window, queries behind the first, behind the second) -> statistics."""


def kolmogorov_smirnov(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return the largest gap between two cumulative distributions over ordered bins, 0..1."""
    gap: Floats = np.abs(np.cumsum(reference - window, axis=1)).max(axis=1)
    return gap


def population_stability(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return the population stability index, sum (q - p) ln(q / p) over bins: 0 for equal shares, without a limit.

    It is smoothed, so that an empty bin is no infinity.
    """
    p, q = _both_smoothed(reference, window, n, m)
    index: Floats = _divergence(p, q) + _divergence(q, p)
    return index


def kullback_leibler(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return the divergence of the window's shares q from the reference's p, sum q ln(q / p), in nats; smoothed."""
    return _divergence(*_both_smoothed(reference, window, n, m))


def chi_square(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return Pearson's two-sample chi-square of shares p, q of n and m queries: nm/(n+m) sum (p-q)^2 / pooled.

    No category counts as rarer than one query of the window (Cochran 1954 asks for one to five), else a single
    query from a new source would outweigh all others.
    """
    pooled = np.maximum(_pooled(reference, window, n, m), (_LEAST_EXPECTED / m)[:, None])
    statistic: Floats = n * m / (n + m) * ((reference - window) ** 2 / pooled).sum(axis=1)
    return statistic


def cosine_distance(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return 1 - cosine of two centroids; 0 where neither side has a word, 1 where one has none."""
    lengths = np.linalg.norm(reference, axis=1) * np.linalg.norm(window, axis=1)
    cosine = np.divide((reference * window).sum(axis=1), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    silent = ~reference.any(axis=1) & ~window.any(axis=1)
    distance: Floats = np.where(silent, 0.0, np.clip(1 - cosine, 0, 1))
    return distance


def squared_mean_distance(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return the squared distance of two means: of random Fourier features, the (biased) squared MMD.

    Gretton et al. 2012 for the statistic, Rahimi and Recht 2007 for the features.
    """
    distance: Floats = ((reference - window) ** 2).sum(axis=1)
    return distance


def rise(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    """Return by how much a share rose, 0..1; 0 where it fell, for nobody minds familiar text."""
    risen: Floats = np.maximum(window - reference, 0).sum(axis=1)
    return risen


Level = Callable[[Floats, Floats, float], Floats]
"""(queries behind each mean: n, m; noise of one query against the signal) -> what chance alone comes to, times a
constant."""


def _power(order: float) -> Level:
    """Return the level of a distance that grows with the variance 1/n + 1/m to the power of `order`."""

    def level(n: Floats, m: Floats, noise: float) -> Floats:
        grown: Floats = (1 / n + 1 / m) ** order
        return grown

    return level


def _cosine_level(n: Floats, m: Floats, noise: float) -> Floats:
    """Return 1 - cosine of two means that share one signal: noise adds to their lengths, not to their product."""
    level: Floats = 1 - 1 / np.sqrt((1 + noise / n) * (1 + noise / m))
    return level


@dataclass(frozen=True)
class Statistic:
    """A distance, and how chance makes it depend on the sizes of the two sides."""

    distance: Distance
    level: Level
    bounded: bool = True
    """Whether a fixed threshold such as 0.25 is commonly put to it."""
    turnable: bool = False
    """Whether it is the same in any other orthonormal basis, so that few vectors need few dimensions."""


STATISTICS = {
    "Kolmogorov-Smirnov": Statistic(kolmogorov_smirnov, _power(0.5)),
    "PSI": Statistic(population_stability, _power(1)),
    "chi-square": Statistic(chi_square, _power(0), bounded=False),
    "KL divergence": Statistic(kullback_leibler, _power(1)),
    "TF-IDF cosine distance": Statistic(cosine_distance, _cosine_level, turnable=True),
    "MMD": Statistic(squared_mean_distance, _power(1), bounded=False, turnable=True),
    "rise of the share": Statistic(rise, _power(0.5)),
}
"""By the name that people call them."""


def measure(test: str, reference: Floats, window: Floats, n: Floats | float, m: Floats | float) -> Floats:
    """Return the statistic of each pair of rows, without the noise of adding up a million shares; shape (k,)."""
    rows = max(len(reference), len(window))
    sizes = (np.broadcast_to(np.asarray(size, np.float64), rows) for size in (n, m))
    return np.round(STATISTICS[test].distance(reference, window, *sizes), 9)


def _pooled(reference: Floats, window: Floats, n: Floats, m: Floats) -> Floats:
    pooled: Floats = (n[:, None] * reference + m[:, None] * window) / (n + m)[:, None]
    return pooled


def _both_smoothed(reference: Floats, window: Floats, n: Floats, m: Floats) -> tuple[Floats, Floats]:
    """Return both sides with one query of their pool added: equal shares stay equal, and no bin of one is empty."""
    pooled = _pooled(reference, window, n, m)
    p, q = ((shares * size[:, None] + pooled) / (size[:, None] + 1) for shares, size in ((reference, n), (window, m)))
    return p, q


def _divergence(p: Floats, q: Floats) -> Floats:
    """Return sum q ln(q / p) over the bins that anybody has; shape (k,)."""
    ratio = np.divide(q, p, out=np.ones_like(q), where=p > 0)
    divergence: Floats = (q * np.log(ratio)).sum(axis=1)
    return divergence
