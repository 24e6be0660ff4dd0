"""Candidate lists with the scores that a scorer gives them."""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa

from flows.contracts.scorer import Scorer

_log = logging.getLogger(__name__)

COLUMNS = ("query_id", "document_id", "relevance", "grade")
"""What a scored list keeps of the snapshot: ids and labels, no text."""

PAIRS_A_CALL = 4096
"""Enough for a scorer to sort by length, few enough that progress is seen to move."""


class EvaluationError(ValueError):
    """The lists or the scores cannot be judged; the message says which and why. Trying again does not help."""


def score_lists(table: pa.Table, scorer: Scorer, progress: Callable[[int, int], None] | None = None) -> pd.DataFrame:
    """Score every candidate of every query.

    Args:
        table: Pairs of one split (`SNAPSHOT_SCHEMA`); a query's candidates need not be adjacent.
        scorer: Gives one score a pair, higher is better.
        progress: Called with (pairs scored, pairs in all) after each call of the scorer.

    Returns:
        One row a candidate, in the table's order: query_id, document_id, relevance, grade (null where nobody
        graded) and score (float32).

    Raises:
        EvaluationError: no pairs, a column is missing, a candidate stands twice in one list, or the scorer gave
            another number of scores than pairs, or one that is not finite.
    """
    missing = [name for name in (*COLUMNS, "query", "document") if name not in table.column_names]
    if missing:
        raise EvaluationError(
            f"Cannot score lists without the columns {', '.join(missing)}: pass a snapshot's split."
        )
    if table.num_rows == 0:
        raise EvaluationError("No pairs to evaluate: this split of the snapshot is empty.")
    scores = []
    for start in range(0, table.num_rows, PAIRS_A_CALL):
        chunk = table.slice(start, PAIRS_A_CALL)
        queries, documents = chunk["query"].to_pylist(), chunk["document"].to_pylist()
        given = np.asarray(scorer.score(queries, documents), dtype=np.float32)
        if given.shape != (len(queries),):
            raise EvaluationError(
                f"{scorer.name} gave scores of shape {given.shape} for {len(queries)} pairs; one for each is needed."
            )
        scores.append(given)
        if progress:
            progress(start + len(queries), table.num_rows)
    lists: pd.DataFrame = table.select(COLUMNS).to_pandas()
    lists = lists.astype({"grade": "Int8"}).assign(score=np.concatenate(scores))
    check(lists, scorer.name)
    _log.info("%s scored %d pairs of %d queries", scorer.name, len(lists), lists["query_id"].nunique())
    return lists


def ranks(lists: pd.DataFrame) -> pd.Series:
    """Return each candidate's place in its query's list (int64, from 1), aligned with the rows of `lists`.

    The highest score comes first. Equal scores are ordered by a hash of query and document, which knows neither
    the labels nor the order of the rows: a scorer that cannot tell candidates apart gets what chance gives.
    """
    names = lists["query_id"].astype(str) + "\0" + lists["document_id"].astype(str)
    tie = pd.util.hash_array(names.to_numpy(dtype=object), categorize=False)
    query, _ = pd.factorize(lists["query_id"])
    order = np.lexsort((~tie, -lists["score"].to_numpy(), query))
    starts = np.searchsorted(query[order], query)  # where each row's list begins in that order
    place = np.empty(len(lists), dtype=np.int64)
    place[order] = np.arange(1, len(lists) + 1)
    return pd.Series(place - starts, index=lists.index, name="rank")


def check(lists: pd.DataFrame, name: str = "The scorer") -> None:
    """Raise EvaluationError where `lists` cannot be ranked: a score that is no number, a candidate twice."""
    bad = lists[~np.isfinite(lists["score"].to_numpy(dtype=np.float64))]
    if len(bad):
        raise EvaluationError(
            f"{name} gave {len(bad)} of {len(lists)} pairs a score that is NaN or infinite, the first for document "
            f"{bad['document_id'].iloc[0]} of query {bad['query_id'].iloc[0]}. Such a model has diverged or "
            "overflows: lower the learning rate or turn bf16 off, and train again."
        )
    twice = lists[lists.duplicated(["query_id", "document_id"])]
    if len(twice):
        raise EvaluationError(
            f"{len(twice)} candidates stand twice in their list, the first document {twice['document_id'].iloc[0]} "
            f"of query {twice['query_id'].iloc[0]}. Clean the pairs before they are frozen."
        )
