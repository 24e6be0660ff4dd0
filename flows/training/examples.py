"""From a snapshot's training split to the rows that a loss takes."""

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.settings import TrainingSettings
from flows.training.failures import EmptySplitError
from flows.training.rows import Row, Rows

Positions = npt.NDArray[np.int64]
_Members = tuple[Sequence[int], Sequence[float]]  # of a row: positions of its documents, and their labels


def training_rows(table: pa.Table, settings: TrainingSettings) -> Rows:
    """Return the rows for the loss of `settings`, the same for the same table and seed.

    Lists (`listwise`, `cached-mnrl`): one row for each relevant document, with `settings.negatives` others of its
    query, filled up with relevant documents of other queries where there are fewer. Pairs (`bce`): one row each.

    Raises EmptySplitError when no query has a relevant document.
    """
    queries = list(_by_query(table))
    pool = np.concatenate([relevant for relevant, _ in queries]) if queries else np.empty(0, np.int64)
    if len(pool) == 0:
        raise EmptySplitError(
            f"The training split has no relevant documents among its {table.num_rows} pairs, so there is nothing to "
            "learn from: label some pairs with relevance 1, or widen the time range."
        )
    made = _pairs(queries) if settings.loss == "bce" else _lists(table, queries, pool, settings)
    members, labels, starts = array("i"), array("f"), array("q")
    for positions, of_each in made:
        starts.append(len(members))
        members.extend(positions)
        labels.extend(of_each)
    shape = {"bce": _as_pair, "listwise": _as_list, "cached-mnrl": _as_columns}[settings.loss]
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


def _lists(
    table: pa.Table, queries: Sequence[tuple[Positions, Positions]], pool: Positions, settings: TrainingSettings
) -> Iterator[_Members]:
    random = np.random.default_rng(settings.seed)
    documents = _codes(table["document_id"])
    for relevant, other in queries:
        for position in relevant.tolist():
            negatives = other[random.permutation(len(other))[: settings.negatives]].tolist()
            negatives += _others(pool, documents, relevant, settings.negatives - len(negatives), random)
            if settings.loss == "listwise" or len(negatives) == settings.negatives:  # mnrl needs the same columns
                yield [position, *negatives], [1.0] + [0.0] * len(negatives)


def _others(
    pool: Positions, documents: Positions, relevant: Positions, count: int, random: np.random.Generator
) -> list[int]:
    """Draw up to `count` documents of other queries; fewer where the pool is all but the query's own."""
    own = set(documents[relevant].tolist())
    drawn = pool[random.integers(len(pool), size=4 * max(count, 0))].tolist()
    found = {documents[position]: position for position in reversed(drawn)}
    distinct = dict.fromkeys(documents[position] for position in drawn)
    return [found[document] for document in distinct if document not in own][:count]


def _as_pair(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "document": documents[0], "label": labels[0]}


def _as_list(query: str, documents: list[str], labels: list[float]) -> Row:
    return {"query": query, "documents": documents, "labels": labels}


def _as_columns(query: str, documents: list[str], labels: list[float]) -> Row:
    negatives = {f"negative_{i}": document for i, document in enumerate(documents[1:])}
    return {"query": query, "relevant": documents[0], **negatives}
