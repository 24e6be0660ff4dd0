"""The gate, and simpler ones on the same draws."""

from collections.abc import Callable, Mapping

import numpy as np

from flows.gate import Decision
from flows.settings import GateSettings
from tests.benchmarks.gate.draws import NDCG, Draw

SETTINGS = GateSettings(resamples=1_000)
"""As they are by default, but for fewer resamples: the rates are the same, and there are many draws to judge."""

OTHERS: Mapping[str, Callable[[Decision], bool]] = {
    "gain >= 0.01 alone": lambda d: _passes(d, "ndcg@10"),
    "gain, MRR and MAP": lambda d: _passes(d, "ndcg@10", "mrr@10", "map@10"),
    "p < 0.05 alone": lambda d: _passes(d, "p-value", "interval"),
}
GATE = "the gate"


def verdicts(decision: Decision) -> dict[str, bool]:
    """Return whom each gate would promote."""
    return {GATE: decision.verdict == "promote", **{name: judge(decision) for name, judge in OTHERS.items()}}


def vetoes(decision: Decision, draw: Draw) -> dict[str, bool]:
    """Return whether slices veto: as the gate does, and where any large enough one falls by more than the setting."""
    parts = decision.judgements[0].slices
    plain = any(s.queries >= SETTINGS.min_slice_queries and s.difference < -SETTINGS.max_slice_fall for s in parts)
    return {GATE: any(s.vetoed for s in parts), "any fall beyond the setting": plain}


def spread(draw: Draw) -> float:
    """Return the standard deviation of the per-query differences."""
    return float(np.std(draw.challenger.per_query[NDCG] - draw.incumbent.per_query[NDCG], ddof=1))


def _passes(decision: Decision, *names: str) -> bool:
    rules = {rule.name: rule for rule in decision.judgements[0].rules}
    if "p-value" in names and rules["ndcg@10"].observed <= 0:
        return False
    return all(rules[name].passed for name in names)
