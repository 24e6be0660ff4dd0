"""The import: read, check, store, count."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pyarrow as pa

from flows.contracts.pair import PAIR_SCHEMA
from flows.ingest.beir import beir_records, is_beir
from flows.ingest.checking import MAX_NAME_CHARACTERS, Pair, UnusableRow, pair_from
from flows.ingest.failure import ImportFailed
from flows.ingest.jsonl import jsonl_records
from flows.ingest.mapping import ColumnMapping
from flows.ingest.parquet import parquet_records
from flows.ingest.record import Record, raw_json
from flows.ingest.report import ImportReport
from flows.ingest.separated import separated_records
from flows.store import LabelStore, QuarantinedRow
from flows.store.bounded import bounded

_BATCH_ROWS = 5_000
_BATCH_CHARACTERS = 16_000_000


def import_pairs(
    path: Path,
    store: LabelStore,
    *,
    mapping: ColumnMapping | None = None,
    source: str | None = None,
    progress: Callable[[ImportReport], None] | None = None,
) -> ImportReport:
    """Import the labelled pairs of a CSV, TSV, JSONL or Parquet file, or of a BEIR folder.

    Args:
        path: the file or folder; text is UTF-8.
        store: where pairs and unusable rows go. Rows that are there already merge, so an import that was cut short
            is completed by running it again.
        mapping: the file's column names, where they are not the contract's. BEIR folders have their own.
        source: names the origin of rows that do not name their own; default: the file's name without its ending.
        progress: called after every batch with the counts so far.

    Rows without `created_at` get the time of the import; times without a zone are UTC.

    Raises ImportFailed for what is wrong with the file as a whole, and StoreError as the store does.
    """
    path = Path(path)
    records = _records(path, mapping or ColumnMapping())
    first = next(records, None)
    if first is None:
        raise ImportFailed(f"{path} has no rows: there is nothing to import")
    if source is not None and not 0 < len(source.strip()) <= MAX_NAME_CHARACTERS:
        raise ImportFailed(f"the source must have 1 to {MAX_NAME_CHARACTERS} characters")
    report = ImportReport(origin=_printable(path))
    now, source = datetime.now(UTC), (source or _default_source(path)).strip()
    records = chain([first], records)
    for batch in bounded(records, _BATCH_ROWS, Record.characters, _BATCH_CHARACTERS):
        _store(batch, store, report, source, now)
        if progress is not None:
            progress(report)
    return report


def _records(path: Path, mapping: ColumnMapping) -> Iterator[Record]:
    if path.is_dir():
        if not is_beir(path):
            raise ImportFailed(
                f"{path} is a folder without corpus.jsonl and queries.jsonl: give a file, or BEIR data"
            )
        return beir_records(path)
    if not path.is_file():
        raise ImportFailed(f"there is no file {path}")
    match path.suffix.lower():
        case ".csv":
            return separated_records(path, mapping, ",")
        case ".tsv":
            return separated_records(path, mapping, "\t")
        case ".jsonl" | ".ndjson":
            return jsonl_records(path, mapping)
        case ".parquet":
            return parquet_records(path, mapping)
        case ending:
            raise ImportFailed(
                f"{path} ends in {ending or 'nothing'}: known are .csv, .tsv, .jsonl, .parquet, and BEIR folders"
            )


def _store(batch: list[Record], store: LabelStore, report: ImportReport, source: str, now: datetime) -> None:
    pairs: list[Pair] = []
    unusable: list[QuarantinedRow] = []
    for record in batch:
        try:
            if record.fault is not None:
                raise UnusableRow(record.fault)
            pairs.append(pair_from(record.values, source, now))
        except UnusableRow as fault:
            origin = _printable(record.origin or report.origin)
            unusable.append(QuarantinedRow(origin, record.position, str(fault), raw_json(record.raw)))
    store.quarantine(unusable)
    counts = store.append(_table(pairs))
    report.read += len(batch)
    report.kept += counts.kept
    report.merged += counts.merged
    report.quarantined += len(unusable)
    report.reasons.update(row.reason for row in unusable)
    report.check()


def _table(pairs: list[Pair]) -> pa.RecordBatch:
    columns = zip(*pairs, strict=True) if pairs else ([] for _ in PAIR_SCHEMA)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, PAIR_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=PAIR_SCHEMA)


def _default_source(path: Path) -> str:
    path = path.resolve()
    return _printable(path.name if path.is_dir() else path.stem)[:MAX_NAME_CHARACTERS]


def _printable(path: str | Path) -> str:
    """Return a path as text; bytes of it that are not UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
