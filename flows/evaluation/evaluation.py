"""One scorer judged on one split: lists scored, metrics per query, means."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from flows.contracts.scorer import Scorer
from flows.evaluation.lists import score_lists
from flows.evaluation.metrics import Summary, per_query_metrics, summarise


@dataclass(frozen=True)
class Evaluation:
    """What a scorer came to on a split."""

    scorer: str
    per_query: pd.DataFrame
    """See `per_query_metrics`."""
    summary: Summary


def evaluate(table: pa.Table, scorer: Scorer, progress: Callable[[int, int], None] | None = None) -> Evaluation:
    """Score the candidate lists of `table` (SNAPSHOT_SCHEMA) and judge them; raises what its two halves raise."""
    lists = score_lists(table, scorer, progress)
    per_query = per_query_metrics(lists)
    return Evaluation(scorer.name, per_query, summarise(lists, per_query))
