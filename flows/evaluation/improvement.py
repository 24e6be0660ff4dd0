"""What a scorer adds to the order that the retriever gives for free."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from flows.evaluation.evaluation import Evaluation, check_comparable
from flows.evaluation.metrics import NDCG

IMPROVED = (NDCG, "mrr@10")
"""Metrics that an improvement is stated in."""

_ALIKE = 1e-9  # sums of the same gains in another order differ by rounding


class Improvement(BaseModel):
    """One metric, beside the retriever's own order of the same lists."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    retriever: float
    """Mean over the judged queries."""
    reranked: float
    """The same of the scorer."""
    gain: float
    """`reranked` less `retriever`."""
    relative: float | None
    """`gain` as a share of `retriever`; None where that is 0."""
    better: int
    """Queries that the scorer ranks better than the retriever."""
    worse: int
    """Queries that it ranks worse."""
    alike: int
    """Queries where both come to the same."""


def improvement(scorer: Evaluation, retriever: Evaluation) -> dict[str, Improvement]:
    """Return for each metric of IMPROVED what `scorer` adds to `retriever`.

    Raises:
        EvaluationError: they were judged on different queries.
    """
    check_comparable(scorer, retriever)
    return {metric: _improvement(scorer, retriever, metric) for metric in IMPROVED}


def _improvement(scorer: Evaluation, retriever: Evaluation, metric: str) -> Improvement:
    before = retriever.per_query[metric]
    difference = (scorer.per_query[metric] - before).to_numpy(dtype=np.float64)  # aligned by query_id
    gain, base = float(difference.mean()), float(before.mean())
    better, worse = int((difference > _ALIKE).sum()), int((difference < -_ALIKE).sum())
    return Improvement(
        retriever=base,
        reranked=float(scorer.per_query[metric].mean()),
        gain=gain,
        relative=gain / base if base > 0 else None,
        better=better,
        worse=worse,
        alike=len(difference) - better - worse,
    )
