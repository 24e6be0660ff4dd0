"""All numbers of an evaluation, for machines."""

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from flows.evaluation.accuracy import RerankingAccuracy, reranking_accuracy
from flows.evaluation.improvement import Improvement, improvement
from flows.evaluation.lineup import Lineup
from flows.evaluation.metrics import METRICS, NDCG
from flows.evaluation.slicing import ordered_slices, slice_means

CONFIDENCE = 0.95


class _Model(BaseModel):
    """Frozen, and refuses NaN: a number that is not one never reaches a report."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Counts(_Model):
    """How much was judged."""

    queries: int
    """Judged: those with at least one relevant candidate."""
    left_out: int
    """Queries without a relevant candidate: no order of theirs is better than another."""
    pairs: int
    """Candidates in all lists, judged or not."""
    relevant: int
    """Of them."""


class Overall(_Model):
    """One scorer over all judged queries."""

    metrics: Mapping[str, float]
    """Means of the per-query metrics."""
    accuracy: RerankingAccuracy


class Difference(_Model):
    """Mean over queries of the challenger's NDCG@10 less the incumbent's."""

    mean: float
    low: float | None
    """Lower end of its 95 % interval by Student's t; None for a single query. The gate has its own statistics."""
    high: float | None


class Slice(_Model):
    """Queries of one kind."""

    slice: str
    """What they have in common: source, query length, document length or age."""
    bucket: str
    """Which of its values, with the unit."""
    queries: int
    """Judged ones."""
    metrics: Mapping[str, Mapping[str, float]]
    """For each scorer the means of the per-query metrics."""
    difference: Difference


class EvaluationReport(_Model):
    """`metrics.json`: a challenger and those beside it on one test split."""

    snapshot: str
    """Digest of the snapshot whose test split was judged."""
    challenger: str
    incumbent: str
    """What the challenger would replace: the champion, or the retriever's order where there is none."""
    retriever: str
    """Whose order of the lists a reranker improves on."""
    scorers: tuple[str, ...]
    """Everybody's names, the challenger's first: the keys of the mappings below."""
    counts: Counts
    overall: Mapping[str, Overall]
    """For each scorer."""
    improvement: Mapping[str, Mapping[str, Improvement]]
    """For each scorer but the retriever, and for each of two metrics, what it adds to the retriever's order."""
    slices: tuple[Slice, ...]
    """Buckets without a judged query are left out."""


def build_report(lineup: Lineup, table: pa.Table, snapshot: str) -> EvaluationReport:
    """Gather the numbers of `lineup`, which judged `table`, the test split of `snapshot`.

    Raises:
        EvaluationError: `table` lacks a column or a judged query.
    """
    summary, lists = lineup.challenger.summary, lineup.challenger.lists
    return EvaluationReport(
        snapshot=snapshot,
        challenger=lineup.challenger.scorer,
        incumbent=lineup.incumbent.scorer,
        retriever=lineup.retriever.scorer,
        scorers=tuple(scorer.scorer for scorer in lineup.scorers),
        counts=Counts(
            queries=summary.queries,
            left_out=summary.left_out,
            pairs=summary.pairs,
            relevant=int((lists["relevance"] > 0).sum()),
        ),
        overall={
            scorer.scorer: Overall(metrics=scorer.summary.metrics, accuracy=reranking_accuracy(scorer.lists))
            for scorer in lineup.scorers
        },
        improvement={
            scorer.scorer: improvement(scorer, lineup.retriever)
            for scorer in lineup.scorers
            if scorer.scorer != lineup.retriever.scorer
        },
        slices=_slices(lineup, ordered_slices(table)),
    )


def _slices(lineup: Lineup, slices: pd.DataFrame) -> tuple[Slice, ...]:
    means = {scorer.scorer: slice_means(scorer.per_query, slices) for scorer in lineup.scorers}
    difference = lineup.challenger.per_query[NDCG] - lineup.incumbent.per_query[NDCG]
    moments = slice_means(pd.DataFrame({"mean": difference, "square": difference**2}), slices)
    return tuple(
        Slice(
            slice=row["slice"],
            bucket=row["bucket"],
            queries=row["queries"],
            metrics={scorer: _numbers(found.loc[(row["slice"], row["bucket"])]) for scorer, found in means.items()},
            difference=_difference(row["queries"], row["mean"], row["square"]),
        )
        for row in moments.reset_index().to_dict("records")
    )


def _numbers(row: pd.Series) -> dict[str, float]:
    return {metric: float(row[metric]) for metric in METRICS}


def _difference(queries: int, mean: float, mean_square: float) -> Difference:
    from scipy.stats import t

    if queries < 2:
        return Difference(mean=mean, low=None, high=None)
    variance = max(0.0, mean_square - mean**2) * queries / (queries - 1)
    half = float(t.ppf((1 + CONFIDENCE) / 2, queries - 1)) * (variance / queries) ** 0.5
    return Difference(mean=mean, low=mean - half, high=mean + half)
