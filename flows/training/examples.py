"""From a snapshot's training split to the rows that a loss takes."""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.evaluation import gains
from flows.settings import TrainingSettings
from flows.training.failures import EmptySplitError
from flows.training.rows import Row, Rows

Positions = npt.NDArray[np.int64]


class _Query(NamedTuple):
    """Positions of a query's documents."""

    relevant: Positions
    other: Positions
    mined: Positions
    """Found for it and labelled by nobody."""


_Members = tuple[Sequence[int], Sequence[float]]  # of a row: positions of its documents, and their labels


def training_rows(table: pa.Table, settings: TrainingSettings, negatives: pa.Table | None = None) -> Rows:
    """Return the rows for the loss of `settings`, the same for the same table and seed.

    Lists (`listwise`, `lambda`): one row a query, with all its documents or `settings.list_size` of them, relevant
    ones first to stay, and their gains, which are the grades where people graded. Tuples (`cached-mnrl`): one row for
    each relevant document, with `settings.negatives` others of its query. Both are filled up to `settings.negatives`
    others with mined ones, and then with relevant documents of other queries. Pairs (`bce`): one row each.

    Args:
        table: Labelled pairs (SNAPSHOT_SCHEMA).
        settings: The loss, and how many documents a row holds.
        negatives: Documents beyond the labels (NEGATIVES_SCHEMA), in the order in which a query is given them.

    Raises EmptySplitError when no query has a relevant document.
    """
    labelled, table = table.num_rows, _with_mined(table, negatives)
    queries = list(_by_query(table, labelled))
    pool = np.concatenate([query.relevant for query in queries]) if queries else np.empty(0, np.int64)
    if len(pool) == 0:
        raise EmptySplitError(
            f"The training split has no relevant documents among its {table.num_rows} pairs, so there is nothing to "
            "learn from: label some pairs with relevance 1, or widen the time range."
        )
    fillers = _Fillers(table, pool, settings)
    if settings.loss == "bce":
        made = _pairs(queries, fillers)
    elif settings.loss == "cached-mnrl":
        made = _tuples(queries, fillers)
    else:
        made = _lists(queries, fillers, _gains(table))
    members, labels, starts = array("i"), array("f"), array("q")
    for positions, of_each in made:
        starts.append(len(members))
        members.extend(positions)
        labels.extend(of_each)
    shape = {"bce": _as_pair, "cached-mnrl": _as_columns}.get(settings.loss, _as_list)
    return Rows(
        table.select(["query", "document"]),
        np.asarray(members, np.int32),
        np.asarray(labels, np.float32),
        np.asarray(starts, np.int64),
        shape,
    )


def _with_mined(table: pa.Table, negatives: pa.Table | None) -> pa.Table:
    """Return the pairs with mined and random documents beneath, which nobody labelled."""
    columns = ["query_id", "document_id", "query", "document"]
    table = table.select([*columns, "relevance", "grade"])
    if negatives is None:
        return table
    beyond = negatives.filter(pc.not_equal(negatives["kind"].cast(pa.string()), "labelled"))
    beyond = beyond.select(columns).cast(pa.schema([table.schema.field(name) for name in columns]))
    beyond = beyond.append_column("relevance", pa.array(np.zeros(len(beyond), np.int8)))
    return pa.concat_tables(
        [table, beyond.append_column("grade", pa.nulls(len(beyond), pa.int8())).cast(table.schema)]
    )


def _by_query(table: pa.Table, labelled: int) -> Iterator[_Query]:
    """Yield the queries in order of their ids, documents in order of theirs; beyond the first `labelled` rows of
    `table` lie the mined ones, which stay in order.
    """
    queries, rows = _ranks(table["query_id"]), np.arange(table.num_rows)
    order = np.lexsort([np.where(rows < labelled, _ranks(table["document_id"]), len(rows) + rows), queries])
    relevant = table["relevance"].to_numpy().astype(bool)
    for places in np.split(order, np.flatnonzero(np.diff(queries[order])) + 1):
        others = places[~relevant[places]]
        yield _Query(places[relevant[places]], others[others < labelled], others[others >= labelled])


def _ranks(ids: pa.ChunkedArray) -> Positions:
    """Return the place of each id among the distinct ones in order, equal for equal ids."""
    encoded = ids.combine_chunks().dictionary_encode()
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.array_sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    found: Positions = ranks[encoded.indices.to_numpy()]
    return found


class _Fillers:
    """Draws what a row holds beside the relevant documents: of the query's own, mined, and of other queries."""

    def __init__(self, table: pa.Table, pool: Positions, settings: TrainingSettings) -> None:
        self.settings = settings
        self.random = np.random.default_rng(settings.seed)
        self._pool = pool
        self._documents = _ranks(table["document_id"])

    def draw(self, query: _Query, most: int) -> list[int]:
        """Return up to `most` of the query's other documents, at random, topped up to `negatives` with mined ones.

        Where mining is always done, mined ones go in up to `most`.
        """
        drawn: list[int] = query.other[self.random.permutation(len(query.other))[:most]].tolist()
        enough = most if self.settings.mining.when == "always" else min(most, self.settings.negatives)
        drawn += query.mined[: max(0, enough - len(drawn))].tolist()
        return drawn

    def fill(self, drawn: list[int], query: _Query, most: int) -> list[int]:
        """Return `drawn` and what lacks to `negatives`, of other queries; fewer where the pool is all but its own."""
        lacking = max(0, min(most, self.settings.negatives) - len(drawn))
        taken = {*self._documents[query.relevant].tolist(), *self._documents[drawn].tolist()}
        found: list[int] = []
        for place in self._pool[self.random.integers(len(self._pool), size=4 * lacking)].tolist():
            document = int(self._documents[place])
            if len(found) < lacking and document not in taken:
                taken.add(document)
                found.append(place)
        return drawn + found


def _pairs(queries: Sequence[_Query], fillers: _Fillers) -> Iterator[_Members]:
    for query in queries:
        yield from (([place], [1.0]) for place in query.relevant.tolist())
        beyond = fillers.draw(query, len(query.other) + len(query.mined)) if len(query.relevant) else query.other
        yield from (([place], [0.0]) for place in sorted(beyond))


def _lists(queries: Sequence[_Query], fillers: _Fillers, worth: npt.NDArray[np.float32]) -> Iterator[_Members]:
    size = fillers.settings.list_size
    for query in queries:
        if len(query.relevant):
            kept = query.relevant[fillers.random.permutation(len(query.relevant))[: size - 1]].tolist()
            known = kept + fillers.draw(query, size - len(kept))
            members = kept + fillers.fill(known[len(kept) :], query, size - len(kept))
            lent = len(members) - len(known)  # relevant to other queries, and worth nothing to this one
            yield members, [*worth[known].tolist(), *[0.0] * lent]


def _tuples(queries: Sequence[_Query], fillers: _Fillers) -> Iterator[_Members]:
    count = fillers.settings.negatives
    for query in queries:
        for place in query.relevant.tolist():
            negatives = fillers.fill(fillers.draw(query, count), query, count)
            if len(negatives) == count:  # the loss needs the same columns in every row
                yield [place, *negatives], [1.0] + [0.0] * count


def _gains(table: pa.Table) -> npt.NDArray[np.float32]:
    """Return what each document is worth to its query, as in NDCG."""
    labels = table.select(["relevance", "grade"]).to_pandas().astype({"grade": "Int8"})
    return gains(labels).astype(np.float32)


def _as_pair(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "document": documents[0], "label": labels[0]}


def _as_list(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "documents": documents, "labels": labels}


def _as_columns(query: str, documents: list[str], labels: list[float]) -> Row:
    negatives = {f"negative_{i}": document for i, document in enumerate(documents[1:])}
    return {"query": query, "relevant": documents[0], **negatives}
