"""What is ordinary: each channel's statistic in quiet windows drawn from the reference.

A quiet window is a random group of queries, as many as the real window has, held against the rest of the
reference (without replacement, so no query stands on both sides). That is what chance alone does; but real
history is no lottery: weeks differ. So each channel is also measured in contiguous stretches of the reference
of the same size. Where these differ more on average, the quiet distribution is stretched by that ratio, as a
dispersion factor stretches a chi-square (McCullagh and Nelder 1989, sec. 4.5).

What this cannot know: a reference of few windows says little about its own weeks. And a stretch inside the
history has neighbours on both sides, the newest window on one: where the text moves steadily for years, windows
go red more often than the stated rate. The report says how many windows there were and what the factors were.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flows.drift.channels import STATISTICS, Channel
from flows.drift.period import Floats

_CHUNK = 64
_MIN_STRETCHES = 3
_NOTHING = 1e-12


@dataclass(frozen=True)
class Quiet:
    """A channel's statistic in quiet times."""

    statistics: Floats
    """Of each quiet window, stretched, in descending order; shape (windows,)."""
    dispersion: float
    """How much more contiguous stretches differ than random groups; 1 at least."""

    def p_value(self, statistic: float) -> float:
        """Return the share of quiet windows, this one counted among them, that differ at least as much."""
        return float((1 + (self.statistics >= statistic).sum()) / (1 + len(self.statistics)))

    def threshold(self, level: float) -> float:
        """Return the value that a statistic must pass to have a p value of `level` at most."""
        rank = int(np.floor(level * (1 + len(self.statistics)) + 1e-9)) - 1
        return float(self.statistics[rank])


def calibrate(channels: Sequence[Channel], windows: int, seed: int, progress: Callable[[float], None]) -> list[Quiet]:
    """Draw `windows` quiet windows and return what each channel did in them; `progress` gets the share done."""
    n, m = channels[0].reference.shape[0], channels[0].current.shape[0]
    size = min(m, n // _MIN_STRETCHES)
    contiguous = _distances(channels, _contiguous(n, size))
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, windows, _CHUNK):
        drawn.append(_distances(channels, _random(n, size, min(_CHUNK, windows - start), rng)))
        progress(min(1.0, (start + _CHUNK) / windows))
    random = np.concatenate(drawn, axis=1)
    # The real window stands against the whole reference, a quiet one against the rest of it.
    noise = (1 / n + 1 / m) / (1 / size + 1 / (n - size))
    quiet = []
    for channel, ordinary, stretches in zip(channels, random, contiguous, strict=True):
        mean = ordinary.mean()
        dispersion = max(1.0, float(stretches.mean() / mean)) if mean > _NOTHING else 1.0
        scale = dispersion * noise ** STATISTICS[channel.test].order
        quiet.append(Quiet(np.sort(np.round(scale * ordinary, 12))[::-1], dispersion))
    return quiet


def holm(p_values: Sequence[float], rate: float) -> float:
    """Return the level at which Holm's step-down procedure (1979) stops: drifted is whoever is at or below it."""
    ordered = sorted(p_values)
    for step, p in enumerate(ordered):
        level = rate / (len(ordered) - step)
        if p > level:
            return level
    return rate


def _random(queries: int, size: int, windows: int, rng: np.random.Generator) -> Floats:
    """Return one row a window: 1 for each of `size` queries drawn without replacement, else 0."""
    chosen = np.zeros((windows, queries))
    np.put_along_axis(chosen, rng.random((windows, queries)).argpartition(size, axis=1)[:, :size], 1, axis=1)
    return chosen


def _contiguous(queries: int, size: int) -> Floats:
    """Return the same for stretches of the reference, each a quarter of a window after the one before."""
    starts = np.unique(np.linspace(0, queries - size, 4 * (queries // size)).astype(np.int64))
    number = np.arange(queries)
    return ((number >= starts[:, None]) & (number < starts[:, None] + size)).astype(np.float64)


def _distances(channels: Sequence[Channel], chosen: Floats) -> Floats:
    """Return the distance between chosen queries of the reference and its rest; shape (channels, windows)."""
    size = int(chosen[0].sum())
    rest = chosen.shape[1] - size
    distances = []
    for channel in channels:
        window = (channel.reference.T @ chosen.T).T
        history = channel.reference.sum(axis=0) - window
        distances.append(STATISTICS[channel.test].distance(history / rest, window / size, rest, size))
    return np.array(distances)
