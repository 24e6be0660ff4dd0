"""How many test queries it takes to see a gain."""

import math

import numpy as np

from flows.gate.contender import GateError
from flows.gate.evidence import Values
from flows.gate.seeds import limit
from flows.settings import GateSettings

_SURE = 0.8


def queries_needed(differences: Values, settings: GateSettings, challengers: int = 1) -> int:
    """Return with how many queries a true gain of `detectable_gain` is promoted with probability `power`.

    The two-sided paired test asks for ((z(1 - a/2) + z(power)) s / d)^2 queries and the least gain for
    (z(power) s / (d - least))^2, with s the standard deviation of the per-query differences, d the true gain and a
    the level, which Holm divides by the number of challengers in the worst case; what seeds explain
    (`flows.gate.seeds`) must be z(power) s / sqrt(n) below d. Sakai, "Topic set size design",
    Information Retrieval Journal 19 (2016), section 3. The spread is known from these queries alone, so the upper end
    of its one-sided 80 % interval stands for it (Browne, "On the use of a pilot sample for sample size
    determination", Statistics in Medicine 14, 1995), by a formula that allows for long tails: most queries do not
    change, and some change a lot.

    Args:
        differences: Of NDCG@10, one a query.
        settings: Level, gains, power and the fewest queries.
        challengers: Judged together.

    Raises:
        GateError: no number is enough, for seeds alone explain such a gain.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if len(differences) < 2:
        return settings.min_queries
    spread = _spread_at_most(differences)
    power, level = float(norm.ppf(settings.power)), float(norm.isf(settings.max_p_value / challengers / 2))
    seen = (level + power) * spread / settings.detectable_gain
    enough = power * spread / (settings.detectable_gain - settings.min_ndcg_gain)
    gain = settings.detectable_gain
    if limit(0.0, settings, challengers) >= gain:
        raise GateError(
            f"With {challengers} challengers a gain of {gain:g} cannot be told from luck with the seed, on any "
            "number of queries: judge fewer together, raise RERANKER_GATE__DETECTABLE_GAIN, or lower "
            "RERANKER_GATE__SEED_DEVIATION."
        )
    error = float(brentq(lambda error: limit(error, settings, challengers) + power * error - gain, 0, gain))
    return max(settings.min_queries, math.ceil(max(seen, enough, spread / error) ** 2))


def _spread_at_most(differences: Values) -> float:
    """Return the upper end of the one-sided interval of the standard deviation, for samples with long tails.

    Bonett, "Approximate confidence interval for standard deviation of nonnormal distributions", Computational
    Statistics & Data Analysis 50 (2006), equation 3.
    """
    from scipy.stats import norm, trim_mean

    count, variance = len(differences), float(np.var(differences, ddof=1))
    if variance == 0:
        return 0.0
    middle = trim_mean(differences, 1 / (2 * math.sqrt(max(count - 4, 4))))
    kurtosis = count * np.sum((differences - middle) ** 4) / ((count - 1) * variance) ** 2
    quantile = float(norm.ppf(_SURE))
    small_sample = count / (count - quantile)
    error = small_sample * math.sqrt(max(kurtosis - (count - 3) / count, 0.0) / (count - 1))
    return math.sqrt(small_sample * variance * math.exp(quantile * error))
