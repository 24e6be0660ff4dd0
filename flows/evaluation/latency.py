"""How long rankers take over one list, side by side in one run."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from flows.contracts.scorer import Scorer
from flows.evaluation.lists import EvaluationError

CANDIDATES = 10
"""Of each list whose time is taken."""
_ROUNDS = 3


def latencies(scorers: Sequence[Scorer], table: pa.Table, lists: int = 100) -> Mapping[str, float]:
    """Return the 95th percentile, in milliseconds, of the time over one list of ten candidates, by scorer's name.

    Lists of `table` (SNAPSHOT_SCHEMA) are given to all scorers in turn, each time another first, so that a machine
    that is busy for a while is busy for all; the best of three rounds counts for each list. What is measured is the
    scorer in this process, on as many threads as it is allowed: ratios carry over to another machine, times do not.

    Args:
        scorers: Their names differ.
        table: Queries with fewer than ten candidates are filled up with the next query's documents.
        lists: How many, spread evenly over the queries of `table`.

    Raises:
        EvaluationError: `table` has fewer than ten pairs.
    """
    given = _lists(table, lists)
    for scorer in scorers:
        scorer.score(*given[0])  # the first call pays for what is made once
    taken = np.full((len(scorers), len(given)), np.inf)
    for turn in range(_ROUNDS):
        for place, (queries, documents) in enumerate(given):
            for shift in range(len(scorers)):
                who = (shift + place + turn) % len(scorers)
                start = time.perf_counter()
                scorers[who].score(queries, documents)
                taken[who, place] = min(taken[who, place], time.perf_counter() - start)
    return {
        scorer.name: float(np.percentile(times, 95) * 1_000) for scorer, times in zip(scorers, taken, strict=True)
    }


def _lists(table: pa.Table, most: int) -> list[tuple[list[str], list[str]]]:
    """Return up to `most` lists of a query, ten times, and ten documents."""
    if table.num_rows < CANDIDATES:
        raise EvaluationError(f"Latency is measured on lists of {CANDIDATES}, and there are {table.num_rows} pairs.")
    ordered = table.sort_by([("query_id", "ascending"), ("document_id", "ascending")])
    queries, documents = ordered["query"].to_pylist(), ordered["document"].to_pylist()
    ids = ordered["query_id"].to_pylist()
    starts = [row for row in range(len(ids)) if row == 0 or ids[row] != ids[row - 1]]
    chosen = [starts[place * len(starts) // min(most, len(starts))] for place in range(min(most, len(starts)))]
    rows = (min(start, len(ids) - CANDIDATES) for start in chosen)
    return [([queries[row]] * CANDIDATES, documents[row : row + CANDIDATES]) for row in rows]
