"""Fewer negatives on the training side, so that positives reach a target share."""

import hashlib
from math import floor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.settings import CleaningSettings


def undersample(table: pa.Table, settings: CleaningSettings) -> pa.Table:
    """Return `table` (SNAPSHOT_SCHEMA) with as many training negatives as `positive_share` allows.

    Which ones stay is drawn by a hash of seed, query_id and document_id: it does not depend on the order of rows,
    and little on pairs that come later. They are taken in turns, one from each query, so long lists lose most and
    every query keeps a negative while the target allows it. The other sides keep every candidate.
    """
    training = pc.equal(table["split"], "train").to_numpy()
    negative = training & (table["relevance"].to_numpy() == 0)
    positives = int(training.sum() - negative.sum())
    allowed = floor(positives * (1 - settings.positive_share) / settings.positive_share)
    rows = np.flatnonzero(negative)
    if len(rows) <= allowed:
        return table

    ids = table.select(["query_id", "document_id"]).take(rows)
    draw = _draw(ids, settings.seed)
    query = pc.rank(ids["query_id"], tiebreaker="dense").to_numpy()
    by_query = np.lexsort((draw, query))
    _, first, sizes = np.unique(query[by_query], return_index=True, return_counts=True)
    turn = np.empty(len(rows), dtype=np.int64)
    turn[by_query] = np.arange(len(rows)) - np.repeat(first, sizes)

    keep = np.ones(table.num_rows, dtype=bool)
    keep[rows[np.lexsort((draw, turn))[allowed:]]] = False
    return table.filter(pa.array(keep))


def _draw(ids: pa.Table, seed: int) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    names = zip(ids["query_id"].to_pylist(), ids["document_id"].to_pylist(), strict=True)
    digests = b"".join(
        hashlib.sha256(f"{seed}:{query}:{document}".encode()).digest()[:8] for query, document in names
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
