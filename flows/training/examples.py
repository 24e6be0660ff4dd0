"""From a snapshot's training split to the rows that a loss takes."""

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.evaluation import gains
from flows.settings import TrainingSettings
from flows.training.failures import EmptySplitError
from flows.training.rows import Row, Rows

Positions = npt.NDArray[np.int64]
_Members = tuple[Sequence[int], Sequence[float]]  # of a row: positions of its documents, and their labels


def training_rows(table: pa.Table, settings: TrainingSettings) -> Rows:
    """Return the rows for the loss of `settings`, the same for the same table and seed.

    Lists (`listwise`, `lambda`): one row a query, with all its documents or `settings.list_size` of them, relevant
    ones first to stay, and their gains, which are the grades where people graded. Tuples (`cached-mnrl`): one row for
    each relevant document, with `settings.negatives` others of its query. Both are filled up to `settings.negatives`
    others with relevant documents of other queries. Pairs (`bce`): one row each.

    Raises EmptySplitError when no query has a relevant document.
    """
    queries = list(_by_query(table))
    pool = np.concatenate([relevant for relevant, _ in queries]) if queries else np.empty(0, np.int64)
    if len(pool) == 0:
        raise EmptySplitError(
            f"The training split has no relevant documents among its {table.num_rows} pairs, so there is nothing to "
            "learn from: label some pairs with relevance 1, or widen the time range."
        )
    if settings.loss == "bce":
        made = _pairs(queries)
    elif settings.loss == "cached-mnrl":
        made = _tuples(queries, _Fillers(table, pool, settings))
    else:
        made = _lists(queries, _Fillers(table, pool, settings), _gains(table))
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


def _by_query(table: pa.Table) -> Iterator[tuple[Positions, Positions]]:
    """Yield the positions of each query's relevant and other documents, in order of the ids."""
    order = pc.sort_indices(table, [("query_id", "ascending"), ("document_id", "ascending")]).to_numpy()
    codes = _codes(table["query_id"])[order]
    relevant = table["relevance"].to_numpy().astype(bool)[order]
    for group in np.split(np.arange(len(order)), np.flatnonzero(np.diff(codes)) + 1):
        yield order[group[relevant[group]]].astype(np.int64), order[group[~relevant[group]]].astype(np.int64)


def _codes(ids: pa.ChunkedArray) -> Positions:
    """Return a number for each id, equal for equal ids."""
    codes: Positions = ids.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes


def _pairs(queries: Sequence[tuple[Positions, Positions]]) -> Iterator[_Members]:
    for relevant, other in queries:
        yield from (([position], [1.0]) for position in relevant.tolist())
        yield from (([position], [0.0]) for position in other.tolist())


class _Fillers:
    """Draws what a row holds beside the relevant documents: others of the query, then of other queries."""

    def __init__(self, table: pa.Table, pool: Positions, settings: TrainingSettings) -> None:
        self.settings = settings
        self.random = np.random.default_rng(settings.seed)
        self._pool = pool
        self._documents = _codes(table["document_id"])

    def draw(self, relevant: Positions, other: Positions, most: int) -> list[int]:
        """Return up to `most` of the query's `other` documents, filled up to `negatives` from other queries."""
        drawn: list[int] = other[self.random.permutation(len(other))[:most]].tolist()
        return drawn + self._of_other_queries(relevant, min(most, self.settings.negatives) - len(drawn))

    def _of_other_queries(self, relevant: Positions, count: int) -> list[int]:
        """Return up to `count` distinct documents; fewer where the pool is all but the query's own."""
        own = set(self._documents[relevant].tolist())
        drawn = self._pool[self.random.integers(len(self._pool), size=4 * max(count, 0))].tolist()
        found = {self._documents[position]: position for position in reversed(drawn)}
        distinct = dict.fromkeys(self._documents[position] for position in drawn)
        return [found[document] for document in distinct if document not in own][: max(count, 0)]


def _lists(
    queries: Sequence[tuple[Positions, Positions]], fillers: _Fillers, worth: npt.NDArray[np.float32]
) -> Iterator[_Members]:
    size = fillers.settings.list_size
    for relevant, other in queries:
        if len(relevant):
            kept = relevant[fillers.random.permutation(len(relevant))[: size - 1]]
            members = [*kept.tolist(), *fillers.draw(relevant, other, size - len(kept))]
            own = len(kept) + min(len(other), size - len(kept))  # what fills up gains nothing here
            yield members, [*worth[members[:own]].tolist(), *[0.0] * (len(members) - own)]


def _tuples(queries: Sequence[tuple[Positions, Positions]], fillers: _Fillers) -> Iterator[_Members]:
    count = fillers.settings.negatives
    for relevant, other in queries:
        for position in relevant.tolist():
            negatives = fillers.draw(relevant, other, count)
            if len(negatives) == count:  # the loss needs the same columns in every row
                yield [position, *negatives], [1.0] + [0.0] * count


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
