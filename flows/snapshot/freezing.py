"""Write a snapshot once, under the name of its content."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.contracts.snapshot import SPLITS, CleaningCounts, Snapshot, SnapshotManifest, SplitCounts
from flows.settings import CleaningSettings
from flows.snapshot.cleaning import clean
from flows.snapshot.splitting import split
from flows.snapshot.undersampling import undersample


@dataclass(frozen=True)
class Frozen:
    """A snapshot, and what cleaning did this time."""

    snapshot: Snapshot
    counts: CleaningCounts
    """Of this run; the manifest holds those of the run that first froze this content."""
    created: bool
    """False when a snapshot of the same content was there already."""


def freeze(
    batches: Iterable[pa.RecordBatch],
    settings: CleaningSettings,
    folder: Path,
    lineage: Mapping[str, str | int | float | None],
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
) -> Frozen:
    """Clean, split and undersample `batches` (PAIR_SCHEMA) and write them to `folder/<digest>/`.

    The folder appears complete or not at all. Content that is frozen already is left as it is, whoever wrote it,
    also when several processes do so at once. Raises what `clean` and `split` raise, and OSError of the disk.
    """
    now = now or datetime.now(UTC)
    cleaned = clean(batches, settings, now, progress)
    table = undersample(split(cleaned.table, settings), settings)
    table = pa.concat_tables(table.filter(pc.equal(table["split"], side)) for side in SPLITS)
    counts = _with_undersampled(cleaned.counts, cleaned.table.num_rows - table.num_rows)
    manifest = SnapshotManifest(
        digest=content_digest(table),
        created_at=now,
        first_pair_at=pc.min(table["created_at"]).as_py(),
        last_pair_at=pc.max(table["created_at"]).as_py(),
        splits={side: _split_counts(table.filter(pc.equal(table["split"], side))) for side in SPLITS},
        sources={entry["values"]: entry["counts"] for entry in pc.value_counts(table["source"]).to_pylist()},
        cleaning=counts,
        settings=settings.model_dump(),
        lineage=lineage,
    )
    created = _write(table, manifest, Path(folder))
    return Frozen(Snapshot(Path(folder) / manifest.digest), counts, created)


def content_digest(table: pa.Table) -> str:
    """Return the SHA-256 of the rows of `table`, in their order, as 64 hex digits.

    Hashed are, for each column: its name, where it is null, the lengths of its strings, and its values as
    little-endian bytes. So neither Arrow's chunks nor Parquet's encoding has a say.
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        digest.update(json.dumps([name, len(column)]).encode())
        for chunk in column.chunks:
            digest.update(pc.is_null(chunk).cast(pa.uint8()).to_numpy())
        if pa.types.is_string(column.type):
            for chunk in column.chunks:
                digest.update(pc.binary_length(chunk).fill_null(0).to_numpy().astype("<i4"))
            for chunk in column.chunks:
                digest.update(_text_bytes(chunk))
        else:
            for chunk in column.chunks:
                digest.update(pc.fill_null(chunk.cast(pa.int64()), 0).to_numpy().astype("<i8"))
    return digest.hexdigest()


def _text_bytes(chunk: pa.Array) -> bytes:
    return "".join(chunk.fill_null("").to_pylist()).encode()


def _with_undersampled(counts: CleaningCounts, number: int) -> CleaningCounts:
    if number == 0:
        return counts
    dropped = {**counts.dropped, "undersampled": number}
    return CleaningCounts(
        read=counts.read, kept=counts.kept - number, dropped=dropped, dropped_queries=counts.dropped_queries
    )


def _split_counts(table: pa.Table) -> SplitCounts:
    return SplitCounts(
        queries=pc.count_distinct(table["query_id"]).as_py(),
        pairs=table.num_rows,
        positives=pc.sum(table["relevance"]).as_py() or 0,
    )


def _write(table: pa.Table, manifest: SnapshotManifest, folder: Path) -> bool:
    """Return whether this call wrote the snapshot; False where one of the same digest was there."""
    target = folder / manifest.digest
    if (target / "manifest.json").is_file():
        return False
    draft = folder / f".draft-{manifest.digest[:16]}-{uuid4().hex}"
    draft.mkdir(parents=True)
    try:
        pq.write_table(table, draft / "pairs.parquet", compression="zstd", row_group_size=100_000)
        (draft / "manifest.json").write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        _flush_to_disk(draft / "pairs.parquet", draft / "manifest.json")
        try:
            draft.rename(target)
        except OSError:
            if not (target / "manifest.json").is_file():
                raise
            return False  # another process was faster
        return True
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _flush_to_disk(*files: Path) -> None:
    """Make sure that the rename cannot outlive the content when the power fails."""
    for file in files:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
