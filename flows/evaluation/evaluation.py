"""One scorer judged on one split: lists scored, metrics per query, means."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from flows.contracts.scorer import Scorer
from flows.evaluation.lists import EvaluationError, score_lists
from flows.evaluation.metrics import Summary, per_query_metrics, summarise


@dataclass(frozen=True)
class Evaluation:
    """What a scorer came to on a split."""

    scorer: str
    per_query: pd.DataFrame
    """See `per_query_metrics`."""
    summary: Summary
    lists: pd.DataFrame
    """See `score_lists`: ids, labels and scores, no text."""

    def without(self, queries: Collection[str]) -> "Evaluation":
        """Return the same, judged on the other queries alone; EvaluationError where none is left to judge."""
        if not queries:
            return self
        lists = self.lists[~self.lists["query_id"].isin(queries)]
        per_query = self.per_query.drop(index=list(queries), errors="ignore")
        if per_query.empty:
            raise EvaluationError("No query is left to judge: every one of the test split was learned from before.")
        return Evaluation(self.scorer, per_query, summarise(lists, per_query), lists)


def evaluate(table: pa.Table, scorer: Scorer, progress: Callable[[int, int], None] | None = None) -> Evaluation:
    """Score the candidate lists of `table` (SNAPSHOT_SCHEMA) and judge them; raises what its two halves raise."""
    lists = score_lists(table, scorer, progress)
    per_query = per_query_metrics(lists)
    return Evaluation(scorer.name, per_query, summarise(lists, per_query), lists)


def check_comparable(scorer: Evaluation, other: Evaluation) -> None:
    """Raise EvaluationError where the two were judged on different queries."""
    alone = scorer.per_query.index.symmetric_difference(other.per_query.index)
    if len(alone):
        raise EvaluationError(
            f"{scorer.scorer} and {other.scorer} were judged on different queries: {len(alone)} stand on one side "
            f"alone, such as {alone[0]}. Evaluate both on the same split."
        )
