"""Per-query ranking metrics through trec_eval, and their means."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytrec_eval
from pydantic import BaseModel, ConfigDict

from flows.evaluation.lists import EvaluationError, check, ranks

CUT = 10
NDCG = f"ndcg@{CUT}"
_BINARY = {
    "recip_rank": f"mrr@{CUT}",
    f"map_cut_{CUT}": f"map@{CUT}",
    f"success_{CUT}": f"hits@{CUT}",
    **{f"P_{k}": f"precision@{k}" for k in (1, 3, 5, CUT)},
    **{f"recall_{k}": f"recall@{k}" for k in (1, 3, 5, CUT)},
}
METRICS = (NDCG, *_BINARY.values())
"""The columns of `per_query_metrics`."""


class Summary(BaseModel):
    """What a scorer came to over a split."""

    model_config = ConfigDict(frozen=True)

    metrics: Mapping[str, float]
    """Mean over the judged queries of every one of METRICS."""
    queries: int
    """Judged: those with at least one relevant candidate."""
    left_out: int
    """Queries without a relevant candidate: no order of theirs is better than another."""
    pairs: int
    """Candidates in all lists, judged or not."""


def per_query_metrics(lists: pd.DataFrame) -> pd.DataFrame:
    """Judge each query's list (columns query_id, document_id, relevance, grade, score; in any order).

    The definitions are trec_eval's (https://github.com/usnistgov/trec_eval): NDCG@10 with linear gain, which is
    the grade where a candidate has one and the relevance elsewhere (a relevant candidate gains at least 1);
    MRR@10 is 0 when nothing relevant stands among the first ten; MAP@10 sums the precision at relevant ranks up
    to 10 and divides by all relevant candidates of the query.

    The order is that of `ranks`, equal scores included.

    Returns:
        One row a query that has a relevant candidate, indexed and sorted by query_id; the columns are METRICS.

    Raises:
        EvaluationError: a score is not finite, a candidate stands twice, or no query has a relevant candidate.
    """
    check(lists)
    lists = lists[lists.groupby("query_id")["relevance"].transform("max") > 0]
    if lists.empty:
        raise EvaluationError("No query has a relevant candidate, so nothing can be judged: label some pairs with 1.")
    rank = ranks(lists)
    # The cut comes first: recip_rank has none of its own, and every metric here looks at ten ranks at most.
    run = _nested(lists[rank <= CUT], -rank[rank <= CUT].to_numpy())
    relevance = lists["relevance"].to_numpy(dtype=np.int64)
    binary = pytrec_eval.RelevanceEvaluator(
        _nested(lists, relevance), {"recip_rank", f"map_cut.{CUT}", f"success.{CUT}", "P.1,3,5,10", "recall.1,3,5,10"}
    ).evaluate(run)
    graded = pytrec_eval.RelevanceEvaluator(_nested(lists, gains(lists)), {f"ndcg_cut.{CUT}"}).evaluate(run)
    rows = pd.DataFrame.from_dict(binary, orient="index").rename(columns=_BINARY)
    rows[NDCG] = pd.DataFrame.from_dict(graded, orient="index")[f"ndcg_cut_{CUT}"]
    return rows[list(METRICS)].astype(np.float64).rename_axis("query_id").sort_index()


def summarise(lists: pd.DataFrame, per_query: pd.DataFrame) -> Summary:
    """Return the means of `per_query` and how many queries of `lists` they stand for."""
    return Summary(
        metrics={name: float(per_query[name].mean()) for name in METRICS},
        queries=len(per_query),
        left_out=int(lists["query_id"].nunique()) - len(per_query),
        pairs=len(lists),
    )


def gains(lists: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return what each candidate is worth to NDCG: its grade where it has one, and at least its relevance."""
    gain: npt.NDArray[np.int64] = lists["grade"].fillna(0).to_numpy(dtype=np.int64)
    return gain.clip(min=lists["relevance"].to_numpy(dtype=np.int64))


def _nested(lists: pd.DataFrame, values: npt.NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Return {query: {document: value}}, as trec_eval's bindings take runs and judgements."""
    nested: dict[str, dict[str, int]] = {}
    for query, document, value in zip(lists["query_id"], lists["document_id"], values.tolist(), strict=True):
        nested.setdefault(query, {})[document] = value
    return nested
