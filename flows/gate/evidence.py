"""How sure a difference is: a paired bootstrap interval and a paired permutation test."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

RESAMPLES = 5_000
CONFIDENCE = 0.95
SEED = 13
_BATCH_VALUES = 2_000_000  # held in memory at once, whatever the number of queries


class Evidence(BaseModel):
    """What chance could do to one metric's mean difference."""

    model_config = ConfigDict(frozen=True)

    metric: str
    difference: float
    low: float
    """Lower end of the 95 % BCa bootstrap interval over queries."""
    high: float
    p_value: float
    """Two-sided paired permutation test: how often random signs give a difference at least as large."""
    better: int
    """Queries where the challenger scored higher."""
    worse: int


def evidence(metric: str, differences: npt.NDArray[np.float64]) -> Evidence:
    """Return interval and p-value of the mean of `differences` (one a query, challenger less incumbent).

    Bias-corrected accelerated bootstrap: Efron, "Better bootstrap confidence intervals", JASA 82 (1987).
    Seeded: the same differences give the same evidence.
    """
    mean = float(differences.mean())
    low, high = _interval(differences)
    return Evidence(
        metric=metric,
        difference=mean,
        low=low,
        high=high,
        p_value=_p_value(differences),
        better=int((differences > 0).sum()),
        worse=int((differences < 0).sum()),
    )


def _interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import bootstrap

    if np.ptp(differences) < 1e-12:  # equal but for rounding: resampling has no spread, and BCa is undefined
        return float(differences.mean()), float(differences.mean())
    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_batch(differences),
        confidence_level=CONFIDENCE,
        rng=SEED,
    ).confidence_interval
    return float(found.low), float(found.high)


def _p_value(differences: npt.NDArray[np.float64]) -> float:
    from scipy.stats import permutation_test

    if len(differences) == 1 or not differences.any():
        return 1.0  # either sign is as large
    # With one sample, "samples" flips signs: under the null hypothesis the two scorers' values may be swapped.
    found = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        batch=_batch(differences),
        rng=SEED,
    )
    return float(found.pvalue)


def _batch(differences: npt.NDArray[np.float64]) -> int:
    return max(1, _BATCH_VALUES // len(differences))
