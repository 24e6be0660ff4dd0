"""A sample of a stream that does not fit: whole queries, seeded, whatever their order."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.contracts.pair import text_ids

Numbers = npt.NDArray[np.uint64]

_SLACK = 1.25
"""The reservoir runs over by so much before it is cut, so that cutting stays rare."""
_MIX = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, odd: spreads neighbouring seeds (Knuth, vol. 3, sec. 6.4)
_MASK = 2**64 - 1


def reservoir(batches: Iterable[pa.RecordBatch], schema: pa.Schema, max_rows: int, seed: int) -> tuple[pa.Table, int]:
    """Return the rows of a random set of queries, `max_rows` at most, and how many rows there were.

    Every query gets a random number of its text and `seed`, and those with the lowest numbers stay (bottom-k
    sampling, a reservoir that keeps groups whole). Memory holds about 1.25 `max_rows` rows. A query of more rows
    than `max_rows` is left out.
    """
    kept, numbers = schema.empty_table(), np.zeros(0, np.uint64)
    limit, seen = np.uint64(_MASK), 0
    for batch in batches:
        seen += batch.num_rows
        drawn = _numbers(batch["query"], seed)
        kept = pa.concat_tables([kept, pa.Table.from_batches([batch], schema).filter(pa.array(drawn <= limit))])
        numbers = np.concatenate([numbers, drawn[drawn <= limit]])
        if kept.num_rows > _SLACK * max_rows:
            kept, numbers, limit = _cut(kept, numbers, max_rows)
    if kept.num_rows > max_rows:
        kept, numbers, limit = _cut(kept, numbers, max_rows)
    return kept, seen


def _numbers(queries: pa.Array, seed: int) -> Numbers:
    encoded = text_ids(queries).dictionary_encode()
    salt = (seed * _MIX) & _MASK
    named = [(int(name, 16) ^ salt) * _MIX & _MASK for name in encoded.dictionary.to_pylist()]
    drawn: Numbers = np.array(named, np.uint64)[encoded.indices.to_numpy()]
    return drawn


def _cut(kept: pa.Table, numbers: Numbers, max_rows: int) -> tuple[pa.Table, Numbers, np.uint64]:
    distinct, rows = np.unique(numbers, return_counts=True)
    fitting = int(np.searchsorted(np.cumsum(rows), max_rows, "right"))
    # The first number that does not fit stays out, and all above it, also of what is still to come.
    limit = distinct[fitting] - np.uint64(1) if fitting < len(distinct) else np.uint64(_MASK)
    chosen = numbers <= limit
    return kept.filter(pa.array(chosen)).combine_chunks(), numbers[chosen], limit
