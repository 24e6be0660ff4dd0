"""How large a gain may be that nobody earned."""

import math

import numpy as np

from flows.gate.evidence import Values
from flows.settings import GateSettings


def explained(differences: Values, settings: GateSettings, challengers: int = 1) -> float:
    """Return the gain that equal recipes exceed as often as the level says, by their queries and their seeds.

    Two trainings of one recipe differ in truth, by sqrt(2) times `seed_deviation`. A test over queries compares
    these two models alone: the more queries it has, the surer it lets the luckier seed through. Both kinds of chance
    together have the variance s^2 / n + 2 seed_deviation^2. Bouthillier et al., "Accounting for variance in machine
    learning benchmarks", MLSys 2021.

    Args:
        differences: Of NDCG@10, one a query.
        settings: Level and spread of the seeds.
        challengers: Judged together; the level is divided among them.
    """
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return limit(error, settings, challengers)


def limit(error: float, settings: GateSettings, challengers: int) -> float:
    """Return the same where the mean difference has the standard error `error` over queries."""
    from scipy.stats import norm

    return float(norm.isf(settings.max_p_value / challengers)) * math.hypot(
        error, math.sqrt(2) * settings.seed_deviation
    )
