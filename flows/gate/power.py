"""How many test queries it takes to see a gain."""

import math

import numpy as np

from flows.gate.evidence import Values
from flows.settings import GateSettings


def queries_needed(differences: Values, settings: GateSettings, challengers: int = 1) -> int:
    """Return with how many queries a true gain of `detectable_gain` is promoted with probability `power`.

    The two-sided paired test asks for ((z(1 - a/2) + z(power)) s / d)^2 queries and the least gain for
    (z(power) s / (d - least))^2, with s the standard deviation of the per-query differences, d the true gain and a
    the level, which Holm divides by the number of challengers in the worst case. Sakai, "Topic set size design",
    Information Retrieval Journal 19 (2016), section 3.

    Args:
        differences: Of NDCG@10, one a query.
        settings: Level, gains, power and the fewest queries.
        challengers: Judged together.
    """
    from scipy.stats import norm

    if len(differences) < 2:
        return settings.min_queries
    spread = float(np.std(differences, ddof=1))
    power, level = float(norm.ppf(settings.power)), float(norm.isf(settings.max_p_value / challengers / 2))
    seen = (level + power) * spread / settings.detectable_gain
    enough = power * spread / (settings.detectable_gain - settings.min_ndcg_gain)
    return max(settings.min_queries, math.ceil(max(seen, enough) ** 2))
