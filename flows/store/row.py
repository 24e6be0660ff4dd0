"""A stored row: checking a batch, its key, and how two rows with the same key become one."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.pair import PAIR_SCHEMA
from flows.store.errors import ContractError
from flows.store.label_store import QuarantinedRow

MAX_NAME_CHARACTERS = 256
"""Of `source` and `subject_id`, which are indexed: PostgreSQL refuses index entries above 2.7 kB."""

_CHUNK_ROWS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Row(NamedTuple):
    """One pair as a store keeps it."""

    key: bytes
    """16 bytes."""
    query: str
    document: str
    relevance: int
    source: str
    created_at: int
    """Microseconds since 1970, UTC."""
    grade: int | None
    subject_id: str | None


def pair_key(query: str, document: str, source: str, relevance: int) -> bytes:
    """Return the 16 bytes that name a row. None of the texts holds NUL, so NUL separates them."""
    parts = "\0".join((query, document, source, str(relevance)))
    return hashlib.sha256(parts.encode()).digest()[:16]


def quarantine_key(row: QuarantinedRow) -> bytes:
    """Return the 16 bytes that name a quarantined row."""
    parts = "\0".join((row.origin, str(row.position), row.reason, row.raw))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).digest()[:16]


def merge(one: Row, other: Row) -> Row:
    """Return what two rows with the same key become (see the docstring of `flows.store`)."""
    newest = max(one, other, key=lambda row: (row.created_at, -1 if row.grade is None else row.grade))
    return newest._replace(subject_id=max(one.subject_id or "", other.subject_id or "") or None)


def merged(rows: Iterable[Row]) -> list[Row]:
    """Return `rows` with those of equal keys merged."""
    by_key: dict[bytes, Row] = {}
    for row in rows:
        there = by_key.get(row.key)
        by_key[row.key] = row if there is None else merge(there, row)
    return list(by_key.values())


def checked(pairs: pa.RecordBatch | pa.Table) -> pa.Table:
    """Return `pairs` as a table of PAIR_SCHEMA; ContractError says which column breaks the contract, and where."""
    table = pairs if isinstance(pairs, pa.Table) else pa.Table.from_batches([pairs])
    missing = [name for name in PAIR_SCHEMA.names if name not in table.column_names]
    if missing:
        raise ContractError(f"pairs lack the columns {', '.join(missing)}: give all of PAIR_SCHEMA")
    try:
        table = table.select(PAIR_SCHEMA.names).cast(PAIR_SCHEMA)
        table.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ContractError(f"pairs do not fit PAIR_SCHEMA: {error}") from error
    for column, fault, broken in _faults(table):
        (rows,) = pc.fill_null(broken, False).to_numpy().nonzero()
        if rows.size:
            raise ContractError(
                f"{len(rows)} of {table.num_rows} pairs break the contract: {column} {fault}, first in row {rows[0]}"
            )
    return table


def _faults(table: pa.Table) -> Iterator[tuple[str, str, pa.ChunkedArray]]:
    """Yield column, fault in words, and where it is true."""
    for name in ("query", "document", "source", "subject_id"):
        yield name, "is empty", pc.equal(table[name], "")
        yield name, "holds NUL, which PostgreSQL cannot store", pc.match_substring(table[name], "\0")
    for name in ("source", "subject_id"):
        yield (
            name,
            f"is longer than {MAX_NAME_CHARACTERS} characters",
            pc.greater(pc.utf8_length(table[name]), MAX_NAME_CHARACTERS),
        )
    yield "relevance", "is not 0 or 1", pc.invert(pc.is_in(table["relevance"], pa.array([0, 1], pa.int8())))
    yield "grade", "is not 0 to 3", pc.or_(pc.less(table["grade"], 0), pc.greater(table["grade"], 3))
    at = table["created_at"].cast(pa.int64())
    first, last = microseconds(datetime.min.replace(tzinfo=UTC)), microseconds(datetime.max.replace(tzinfo=UTC))
    yield "created_at", "is outside the years 1 to 9999", pc.or_(pc.less(at, first), pc.greater(at, last))


def rows_of(table: pa.Table) -> Iterator[Row]:
    """Yield the rows of a checked table, of which few are Python objects at once."""
    at = PAIR_SCHEMA.get_field_index("created_at")
    table = table.set_column(at, "created_at", table["created_at"].cast(pa.int64()))
    for batch in table.to_batches(max_chunksize=_CHUNK_ROWS):
        columns = (column.to_pylist() for column in batch.columns)
        for query, document, relevance, source, created_at, grade, subject_id in zip(*columns, strict=True):
            key = pair_key(query, document, source, relevance)
            yield Row(key, query, document, relevance, source, created_at, grade, subject_id)


def microseconds(at: datetime) -> int:
    """Return microseconds since 1970, exactly; a time without a zone is a ValueError."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone: give one, such as datetime.now(UTC)")
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """Return the time that `microseconds` counts."""
    return _EPOCH + at * _MICROSECOND
