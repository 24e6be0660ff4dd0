"""From a snapshot's training split to the rows that a loss takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from flows.settings import TrainingSettings
from flows.training.failures import EmptySplitError

Row = dict[str, Any]


@dataclass(frozen=True)
class LabelledQuery:
    """A query with its labelled documents."""

    query: str
    relevant: list[str]
    other: list[str]


def labelled_queries(table: pa.Table) -> list[LabelledQuery]:
    """Gather `table` (SNAPSHOT_SCHEMA) by query, in order of the query's id."""
    gathered: dict[str, LabelledQuery] = {}
    for row in table.sort_by([("query_id", "ascending"), ("document_id", "ascending")]).to_pylist():
        found = gathered.setdefault(row["query_id"], LabelledQuery(row["query"], [], []))
        (found.relevant if row["relevance"] else found.other).append(row["document"])
    return list(gathered.values())


def training_rows(table: pa.Table, settings: TrainingSettings) -> list[Row]:
    """Return the rows for the loss of `settings`, the same for the same table and seed.

    Lists (`listwise`, `cached-mnrl`): one row for each relevant document, with `settings.negatives` others of its
    query, filled up with relevant documents of other queries where there are fewer. Pairs (`bce`): one row each.

    Raises EmptySplitError when no query has a relevant document.
    """
    queries = labelled_queries(table)
    relevant = [document for query in queries for document in query.relevant]
    if not relevant:
        raise EmptySplitError(
            f"The training split has no relevant documents among its {table.num_rows} pairs, so there is nothing to "
            "learn from: label some pairs with relevance 1, or widen the time range."
        )
    if settings.loss == "bce":
        return list(_pairs(queries))
    return list(_lists(queries, relevant, settings))


def _pairs(queries: Sequence[LabelledQuery]) -> Iterator[Row]:
    for query in queries:
        for label, documents in ((1.0, query.relevant), (0.0, query.other)):
            yield from ({"query": query.query, "document": document, "label": label} for document in documents)


def _lists(queries: Sequence[LabelledQuery], pool: Sequence[str], settings: TrainingSettings) -> Iterator[Row]:
    random = np.random.default_rng(settings.seed)
    for query in queries:
        for document in query.relevant:
            negatives = [query.other[i] for i in random.permutation(len(query.other))[: settings.negatives]]
            negatives += _others(pool, query, settings.negatives - len(negatives), random)
            if settings.loss == "listwise":
                labels = [1.0] + [0.0] * len(negatives)
                yield {"query": query.query, "documents": [document, *negatives], "labels": labels}
            elif len(negatives) == settings.negatives:  # every row of this loss needs the same columns
                columns = {f"negative_{i}": negative for i, negative in enumerate(negatives)}
                yield {"query": query.query, "relevant": document, **columns}


def _others(pool: Sequence[str], query: LabelledQuery, count: int, random: np.random.Generator) -> list[str]:
    """Draw up to `count` documents of other queries; fewer where the pool is all but the query's own."""
    own = set(query.relevant)
    drawn = (pool[i] for i in random.integers(len(pool), size=4 * max(count, 0)))
    return list(dict.fromkeys(document for document in drawn if document not in own))[:count]
