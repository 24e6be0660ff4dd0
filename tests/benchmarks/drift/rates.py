"""Rates with intervals of 95 %."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, chi2

LEVEL = 0.05


@dataclass(frozen=True)
class Rate:
    """So many of so many, and what the true rate may be."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The measured rate, 0..1; for a count of years, alarms a year."""
        return self.count / self.of

    def __str__(self) -> str:
        value, low, high = (_short(100 * rate) for rate in (self.value, self.low, self.high))
        return f"{value} ({low}..{high})"


def _short(percent: float) -> str:
    return f"{percent:.0f}" if percent >= 10 or percent == 0 else f"{percent:.1f}"


def share(clusters: Sequence[Sequence[bool]]) -> Rate:
    """Return the share of true values where those of one cluster (windows with one reference) are not independent.

    Clopper and Pearson's interval on the effective number of values (Korn and Graubard 1998): their number over the
    design effect, which is the variance of the cluster sums beside that of independent values. Where all values are
    alike nothing can be known of that effect, so only clusters count.
    """
    counts = np.array([sum(cluster) for cluster in clusters], float)
    sizes = np.array([len(cluster) for cluster in clusters], float)
    total, of, groups = counts.sum(), sizes.sum(), len(clusters)
    mean = total / of
    effective = float(groups)
    if 0 < total < of and groups > 1:
        variance = groups / (groups - 1) * ((counts - mean * sizes) ** 2).sum() / of**2
        effect = variance / (mean * (1 - mean) / of)
        effective = float(np.clip(of / max(effect, 1.0), min(groups, of), of))
    low, high = clopper_pearson(mean * effective, effective)
    return Rate(int(total), int(of), low, high)


def clopper_pearson(count: float, of: float) -> tuple[float, float]:
    """Return the exact interval of a share; neither number need be whole."""
    low = 0.0 if count <= 0 else float(beta.ppf(LEVEL / 2, count, of - count + 1))
    high = 1.0 if count >= of else float(beta.ppf(1 - LEVEL / 2, count + 1, of - count))
    return low, high


def per_year(alarms: int, years: int) -> Rate:
    """Return alarms a year with the exact interval of a Poisson count (Garwood 1936)."""
    low = 0.0 if not alarms else float(chi2.ppf(LEVEL / 2, 2 * alarms) / 2)
    high = float(chi2.ppf(1 - LEVEL / 2, 2 * alarms + 2) / 2)
    return Rate(alarms, years, low / years, high / years)
