"""How often a scorer's order is right, in shares that need no discount."""

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from flows.evaluation.lists import check, ranks


class RerankingAccuracy(BaseModel):
    """Shares from 0 to 1; None where there is nothing to take a share of."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    first: float | None
    """Of the queries with a relevant candidate: those whose first candidate is relevant."""
    pairs: float | None
    """Of all pairs of a relevant and another candidate of one query: those in the right order, equal scores half."""
    judged_pairs: int
    """Such pairs in all queries."""


def reranking_accuracy(lists: pd.DataFrame) -> RerankingAccuracy:
    """Judge the order of scored lists (see `score_lists`).

    The pairs in the right order are counted by Mann and Whitney's U: the sum of the relevant candidates' ranks from
    below, less what they would have among themselves.

    Raises:
        EvaluationError: a score is not finite, or a candidate stands twice.
    """
    check(lists)
    relevant = lists["relevance"] > 0
    from_below = lists.groupby("query_id")["score"].rank(method="average")
    counts = relevant.groupby(lists["query_id"]).agg(["sum", "size"]).astype(np.int64)
    positives, others = counts["sum"], counts["size"] - counts["sum"]
    summed = from_below.where(relevant, 0.0).groupby(lists["query_id"]).sum()
    right = summed - positives * (positives + 1) / 2
    pairs = int((positives * others).sum())
    ranked = int((positives > 0).sum())
    first = int(relevant[ranks(lists) == 1].sum())
    return RerankingAccuracy(
        first=first / ranked if ranked else None,
        pairs=float(right.sum()) / pairs if pairs else None,
        judged_pairs=pairs,
    )
