"""How sure a difference is: paired permutation tests and BCa bootstrap intervals over queries."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict

from flows.settings import GateSettings

SEED = 13
_BATCH_VALUES = 2_000_000  # held in memory at once, whatever the number of queries
_ROUNDING = 1e-12

Values = npt.NDArray[np.float64]


class Evidence(BaseModel):
    """What chance could do to one metric's mean difference."""

    model_config = ConfigDict(frozen=True)

    metric: str
    difference: float
    low: float
    """Lower end of the BCa bootstrap interval over queries."""
    high: float
    p_value: float
    """Two-sided paired permutation test: how often random signs give a difference at least as large."""
    better: int
    """Queries where the challenger scored higher."""
    worse: int


def evidence(differences: pd.DataFrame, settings: GateSettings) -> tuple[Evidence, ...]:
    """Return interval and p-value of the mean of each column (one row a query, challenger less incumbent).

    Seeded: the same differences give the same evidence.
    """
    values = differences.to_numpy(dtype=np.float64)
    p_values, (low, high) = _p_values(values, settings), _intervals(values, settings)
    return tuple(
        Evidence(
            metric=str(metric),
            difference=float(values[:, i].mean()),
            low=float(low[i]),
            high=float(high[i]),
            p_value=float(p_values[i]),
            better=int((values[:, i] > 0).sum()),
            worse=int((values[:, i] < 0).sum()),
        )
        for i, metric in enumerate(differences.columns)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number, so that the smallest below 0.05 is by chance in 5 % at most.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
    """
    corrected, floor = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = corrected[i] = max(floor, min(1.0, (len(p_values) - rank) * p_values[i]))
    return corrected


def signs(count: int, resamples: int) -> Iterator[Values]:
    """Yield rows of random signs for `count` queries, in batches: so many `resamples`, or all where there are fewer.

    Under the null hypothesis of a paired test the two sides of a query may be swapped, which turns the sign of its
    difference.
    """
    if 2**count <= resamples:
        yield (1 - 2 * (np.arange(2**count)[:, np.newaxis] >> np.arange(count) & 1)).astype(np.float64)
        return
    rng = np.random.default_rng(SEED)
    rows = max(1, _BATCH_VALUES // count)
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), count)
        yield (1 - 2 * rng.integers(0, 2, shape, dtype=np.int8)).astype(np.float64)


def p_value(as_large: Values, count: int, resamples: int) -> Values:
    """Return the p-values where so many rows of `signs(count, resamples)` are as large as what was observed."""
    return as_large / 2**count if 2**count <= resamples else (as_large + 1) / (resamples + 1)


def _p_values(values: Values, settings: GateSettings) -> Values:
    observed = np.abs(values.sum(axis=0)) - _ROUNDING * len(values)
    as_large = np.zeros(values.shape[1])
    for batch in signs(len(values), settings.resamples):
        as_large += (np.abs(batch @ values) >= observed).sum(axis=0)
    return p_value(as_large, len(values), settings.resamples)


def _intervals(values: Values, settings: GateSettings) -> tuple[Values, Values]:
    """Return both ends of the bias-corrected accelerated interval of each column's mean.

    Efron, "Better bootstrap confidence intervals", JASA 82 (1987).
    """
    from scipy.stats import bootstrap

    low, high = values.mean(axis=0), values.mean(axis=0)
    spread = np.ptp(values, axis=0) > _ROUNDING  # equal but for rounding: BCa is undefined, and the mean is certain
    if spread.any():
        found = bootstrap(
            (values[:, spread],),
            np.mean,
            axis=0,
            n_resamples=settings.resamples,
            batch=max(1, _BATCH_VALUES // values.size),
            confidence_level=settings.confidence,
            rng=SEED,
        ).confidence_interval
        low[spread], high[spread] = found.low, found.high
    return low, high
