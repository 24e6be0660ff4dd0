"""The rules that a challenger must pass."""

import logging
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from flows.gate.evidence import Evidence, evidence
from flows.settings import GateSettings

_log = logging.getLogger(__name__)

Verdict = Literal["promote", "reject", "cannot-tell"]

JUDGED = ("ndcg@10", "mrr@10", "map@10")
"""Metrics that rules look at."""

TOLERANCE = 1e-9
"""Means of floats: a gain of exactly the limit may come out a few units in the last place below it."""


class GateError(ValueError):
    """The two sides cannot be compared; the message says why. Trying again does not help."""


class Comparison(BaseModel):
    """One metric on both sides: means over the same queries."""

    model_config = ConfigDict(frozen=True)

    metric: str
    challenger: float
    incumbent: float
    difference: float
    """Challenger less incumbent."""


class Rule(BaseModel):
    """One condition, and what was found."""

    model_config = ConfigDict(frozen=True)

    name: str
    demand: str
    """In words, for people."""
    observed: float
    limit: float
    """`observed` must not be below it."""
    passed: bool


class Decision(BaseModel):
    """What the gate says, and why."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    """Only `promote` lets the challenger through; `cannot-tell` means no."""
    challenger: str
    incumbent: str
    snapshot: str
    """Digest of the snapshot whose test split was judged."""
    queries: int
    rules: tuple[Rule, ...]
    comparisons: tuple[Comparison, ...]
    evidence: tuple[Evidence, ...]
    """How sure the differences are; shown, not yet asked for by a rule."""

    @property
    def promoted(self) -> bool:
        """Whether the challenger takes over."""
        return self.verdict == "promote"


def decide(
    challenger: pd.DataFrame,
    incumbent: pd.DataFrame,
    settings: GateSettings,
    *,
    challenger_name: str,
    incumbent_name: str,
    snapshot: str,
) -> Decision:
    """Compare two scorers on the same queries.

    Args:
        challenger: Per-query metrics, indexed by query_id, one column a metric (`per_query_metrics`).
        incumbent: The same of the champion, or of the retriever's own order.
        settings: The limits.
        challenger_name: As people know it.
        incumbent_name: The same.
        snapshot: Digest of the data both were judged on.

    Raises:
        GateError: the sides hold other queries or metrics than each other, a query twice, or a value that is no
            number.
    """
    challenger, incumbent = _aligned(challenger, incumbent)
    comparisons = [_compare(metric, challenger, incumbent) for metric in challenger.columns]
    rules = _rules({c.metric: c.difference for c in comparisons}, len(challenger), settings)
    decision = Decision(
        verdict=_verdict(rules),
        challenger=challenger_name,
        incumbent=incumbent_name,
        snapshot=snapshot,
        queries=len(challenger),
        rules=rules,
        comparisons=tuple(comparisons),
        evidence=tuple(evidence(m, (challenger[m] - incumbent[m]).to_numpy(dtype=np.float64)) for m in JUDGED),
    )
    _log.info(
        "gate: %s, %s against %s on %d queries", decision.verdict, challenger_name, incumbent_name, len(challenger)
    )
    return decision


def _rules(difference: dict[str, float], queries: int, settings: GateSettings) -> tuple[Rule, ...]:
    def at_least(name: str, demand: str, observed: float, limit: float) -> Rule:
        return Rule(name=name, demand=demand, observed=observed, limit=limit, passed=observed >= limit - TOLERANCE)

    gain, mrr, mean_precision = settings.min_ndcg_gain, settings.max_mrr_fall, settings.max_map_fall
    return (
        at_least("queries", f"at least {settings.min_queries} queries", queries, settings.min_queries),
        at_least("ndcg@10", f"NDCG@10 gains at least {gain:g}", difference["ndcg@10"], gain),
        at_least("mrr@10", f"MRR@10 falls by no more than {mrr:g}", difference["mrr@10"], -mrr),
        at_least("map@10", f"MAP@10 falls by no more than {mean_precision:g}", difference["map@10"], -mean_precision),
    )


def _verdict(rules: tuple[Rule, ...]) -> Verdict:
    enough, *quality = rules
    if not enough.passed:
        return "cannot-tell"
    return "promote" if all(rule.passed for rule in quality) else "reject"


def _compare(metric: str, challenger: pd.DataFrame, incumbent: pd.DataFrame) -> Comparison:
    ours, theirs = float(challenger[metric].mean()), float(incumbent[metric].mean())
    return Comparison(metric=metric, challenger=ours, incumbent=theirs, difference=ours - theirs)


def _aligned(challenger: pd.DataFrame, incumbent: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both sides with the same queries and metrics in the same order, or say why they cannot be."""
    for side, frame in (("challenger", challenger), ("incumbent", incumbent)):
        missing = [metric for metric in JUDGED if metric not in frame.columns]
        if missing:
            raise GateError(
                f"The {side} lacks the metrics {', '.join(missing)}: pass the result of per_query_metrics."
            )
        if frame.index.has_duplicates:
            raise GateError(f"The {side} holds query {frame.index[frame.index.duplicated()][0]} more than once.")
        if not np.isfinite(frame.to_numpy(dtype=np.float64)).all():
            raise GateError(f"The {side} has metrics that are not finite numbers: evaluate it again.")
    alone = challenger.index.symmetric_difference(incumbent.index)
    if len(alone):
        raise GateError(
            f"Challenger and incumbent were judged on different queries: {len(alone)} stand on one side alone, such "
            f"as {alone[0]}. Score both on the test split of one snapshot."
        )
    if set(challenger.columns) != set(incumbent.columns):
        raise GateError("Challenger and incumbent have different metrics: evaluate both with the same code.")
    if challenger.empty:
        raise GateError("There are no queries to compare on: the test split has no query with a relevant candidate.")
    return challenger.sort_index(), incumbent.loc[:, challenger.columns].sort_index()
