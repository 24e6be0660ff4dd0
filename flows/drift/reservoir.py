"""A sample of a stream that does not fit: whole queries, seeded, whatever their order."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.contracts.pair import text_ids
from flows.drift.period import LARGEST_SHARE

Numbers = npt.NDArray[np.uint64]

_SLACK = 1.25
"""The reservoir runs over by so much before it is cut, so that cutting stays rare."""
_MIX = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, odd: spreads neighbouring seeds (Knuth, vol. 3, sec. 6.4)
_MASK = 2**64 - 1


def reservoir(batches: Iterable[pa.RecordBatch], schema: pa.Schema, max_rows: int, seed: int) -> tuple[pa.Table, int]:
    """Return the rows of a random set of queries, `max_rows` at most, and how many rows there were.

    Every query gets a random number of its text and `seed`, and those with the lowest numbers stay (bottom-k
    sampling, a reservoir that keeps groups whole). Memory holds about 1.25 `max_rows` rows. A query that alone would
    be a quarter of the sample stays out where there is more than fits.
    """
    kept = _Reservoir(schema, max_rows)
    seen = 0
    for batch in batches:
        seen += batch.num_rows
        kept.add(batch, _numbers(batch["query"], seed))
        if kept.rows.num_rows > _SLACK * max_rows:
            kept.cut()
    if kept.rows.num_rows > max_rows:
        kept.cut()
    return kept.rows, seen


class _Reservoir:
    """Rows, each with the number of its query; no row above the limit comes in again."""

    def __init__(self, schema: pa.Schema, max_rows: int) -> None:
        self.rows = schema.empty_table()
        self._numbers: Numbers = np.zeros(0, np.uint64)
        self._limit = np.uint64(_MASK)
        self._too_large: Numbers = np.zeros(0, np.uint64)
        self._max_rows = max_rows

    def add(self, batch: pa.RecordBatch, numbers: Numbers) -> None:
        chosen = (numbers <= self._limit) & ~np.isin(numbers, self._too_large)
        self.rows = pa.concat_tables([self.rows, pa.Table.from_batches([batch]).filter(pa.array(chosen))])
        self._numbers = np.concatenate([self._numbers, numbers[chosen]])

    def cut(self) -> None:
        distinct, sizes = np.unique(self._numbers, return_counts=True)
        large = sizes > max(1, self._max_rows * LARGEST_SHARE)
        self._too_large = np.concatenate([self._too_large, distinct[large]])
        fitting = int(np.searchsorted(np.cumsum(sizes[~large]), self._max_rows, "right"))
        if fitting < (~large).sum():
            # The first number that does not fit stays out, and all above it, also of what is still to come.
            self._limit = distinct[~large][fitting] - np.uint64(1)
        chosen = (self._numbers <= self._limit) & ~np.isin(self._numbers, self._too_large)
        self.rows = self.rows.filter(pa.array(chosen)).combine_chunks()
        self._numbers = self._numbers[chosen]


def _numbers(queries: pa.Array, seed: int) -> Numbers:
    encoded = text_ids(queries).dictionary_encode()
    salt = (seed * _MIX) & _MASK
    named = [(int(name, 16) ^ salt) * _MIX & _MASK for name in encoded.dictionary.to_pylist()]
    drawn: Numbers = np.array(named, np.uint64)[encoded.indices.to_numpy()]
    return drawn
