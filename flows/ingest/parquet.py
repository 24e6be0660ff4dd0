"""Parquet files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows.ingest.failure import ImportFailed
from flows.ingest.mapping import ColumnMapping
from flows.ingest.record import Record

_BATCH_ROWS = 256  # small, for tables of very long texts


def parquet_records(path: Path, mapping: ColumnMapping) -> Iterator[Record]:
    """Yield the rows of a Parquet file; of its columns, those that the mapping uses."""
    position = 0
    try:
        with pq.ParquetFile(path) as file:
            columns = mapping.found_in(path, file.schema_arrow.names)
            names = list(dict.fromkeys(columns.values()))
            _refuse_repeated(path, names, file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                for cells in zip(*(_values(batch[name]) for name in names), strict=True):
                    position += 1
                    row = dict(zip(names, cells, strict=True))
                    yield Record(position, {field: row[name] for field, name in columns.items()}, row)
    except (pa.ArrowException, OSError) as error:
        after = f" after row {position:,}; the rows before are imported" if position else ""
        raise ImportFailed(f"{path} cannot be read as Parquet{after}: {error}") from error


def _refuse_repeated(path: Path, names: list[str], there: list[str]) -> None:
    repeated = [name for name in names if there.count(name) > 1]
    if repeated:
        raise ImportFailed(f"{path} has several columns named {', '.join(map(repr, repeated))}: rename them")


def _values(column: pa.Array) -> list[Any]:
    """Return Python values; text as the file's bytes decode, since Arrow does not check them when it reads."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_timestamp(kind):  # nanoseconds would come as pandas' own type
        column = column.cast(pa.timestamp("us", "UTC" if kind.tz else None), safe=False)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.large_binary())
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):  # a date beyond the year 9999, broken text inside a list
        values = [_value(scalar) for scalar in column]
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return f"not readable as {scalar.type}: {getattr(scalar, 'value', '')}"
