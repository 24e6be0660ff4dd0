"""Who stands before the gate, and what the gate refuses to compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

JUDGED = ("ndcg@10", "mrr@10", "map@10")
"""Metrics that rules look at."""


class GateError(ValueError):
    """The sides cannot be compared; the message says why. Trying again does not help."""


class Costs(BaseModel):
    """What it costs to run a model; see `measure_costs`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    latency_ms: float = Field(gt=0)
    """95th percentile of scoring one list, in milliseconds."""
    memory_bytes: int = Field(ge=0)
    """By how much a fresh process grows that opens the model and scores lists."""
    artifact_bytes: int = Field(ge=0)
    """All files of the model."""


@dataclass(frozen=True)
class Contender:
    """One side of the comparison: a challenger, or the incumbent."""

    name: str
    """As people know it."""
    per_query: pd.DataFrame
    """Per-query metrics, indexed by query_id, one column a metric (`per_query_metrics`)."""
    costs: Costs | None = None
    """None where it costs nothing of its own, as a retriever's order, or nobody measured it."""


def aligned(challengers: Sequence[Contender], incumbent: Contender) -> tuple[list[Contender], Contender]:
    """Return all sides with the same queries and metrics in the same order.

    Raises:
        GateError: no challenger, two of one name, other queries or metrics than the incumbent's, a query twice, or a
            value that is no number.
    """
    if not challengers:
        raise GateError("There is no challenger to judge: train one.")
    names = [challenger.name for challenger in challengers]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise GateError(f"Several challengers are named {', '.join(sorted(twice))}: give each a name of its own.")
    for side in (incumbent, *challengers):
        _check(side)
    if incumbent.per_query.empty:
        raise GateError("There are no queries to compare on: the test split has no query with a relevant candidate.")
    for challenger in challengers:
        _check_pair(challenger, incumbent)
    queries, metrics = incumbent.per_query.index.sort_values(), incumbent.per_query.columns
    sides = [Contender(s.name, s.per_query.loc[queries, metrics], s.costs) for s in (*challengers, incumbent)]
    return sides[:-1], sides[-1]


def _check(side: Contender) -> None:
    frame = side.per_query
    missing = [metric for metric in JUDGED if metric not in frame.columns]
    if missing:
        raise GateError(f"{side.name} lacks the metrics {', '.join(missing)}: pass the result of per_query_metrics.")
    if frame.index.has_duplicates:
        raise GateError(f"{side.name} holds query {frame.index[frame.index.duplicated()][0]} more than once.")
    if not np.isfinite(frame.to_numpy(dtype=np.float64)).all():
        raise GateError(f"{side.name} has metrics that are not finite numbers: evaluate it again.")


def _check_pair(challenger: Contender, incumbent: Contender) -> None:
    alone = challenger.per_query.index.symmetric_difference(incumbent.per_query.index)
    if len(alone):
        raise GateError(
            f"{challenger.name} and {incumbent.name} were judged on different queries: {len(alone)} stand on one "
            f"side alone, such as {alone[0]}. Score both on the test split of one snapshot."
        )
    if set(challenger.per_query.columns) != set(incumbent.per_query.columns):
        raise GateError(
            f"{challenger.name} and {incumbent.name} have different metrics: evaluate both with the same code."
        )
