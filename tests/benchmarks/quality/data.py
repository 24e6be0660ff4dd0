"""The two sets of human-labelled lists, as snapshots."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.contracts.pair import PAIR_SCHEMA, text_ids
from flows.contracts.snapshot import SNAPSHOT_SCHEMA, SPLITS, CleaningCounts, Snapshot, SnapshotManifest, SplitCounts
from flows.settings import CleaningSettings
from flows.snapshot import freeze
from flows.snapshot.freezing import content_digest

NO_DATE = datetime(2015, 1, 1, tzinfo=UTC)
_WIKIQA_SIDES = {"train": "train", "dev": "validation", "test": "test"}


def semeval(file: Path, folder: Path) -> Snapshot:
    """Freeze SemEval-2016 task 3 as the loop would: by question and time, the newest 15 % of questions for the test.

    Questions whose comments are all relevant, or none of them, stay out (cleaning drops them).
    """
    table = pq.read_table(file)
    rows = _with_schema(table.append_column("subject_id", pa.nulls(table.num_rows, pa.string())), PAIR_SCHEMA)
    return freeze(rows.to_batches(), CleaningSettings(), folder, {"store": "semeval"}).snapshot


def wikiqa(file: Path, folder: Path) -> Snapshot:
    """Freeze WikiQA with its own split, which is by question; it has no dates, and no negative is left out.

    Questions whose sentences are all relevant, or none of them, stay out.
    """
    table = pq.read_table(file)
    rows = table.num_rows
    sides = pa.array([_WIKIQA_SIDES[side] for side in table["split"].to_pylist()])
    table = table.drop_columns(
        [name for name in ("split", "grade", "query_id", "document_id", "created_at") if name in table.column_names]
    )
    for name, column in {
        "query_id": text_ids(table["query"].combine_chunks()),
        "document_id": text_ids(table["document"].combine_chunks()),
        "split": sides,
        "grade": pa.nulls(rows, pa.int8()),
        "subject_id": pa.nulls(rows, pa.string()),
        "created_at": pa.array([NO_DATE] * rows),
    }.items():
        table = table.append_column(name, column)
    return _write(_rankable(_with_schema(table, SNAPSHOT_SCHEMA)), rows, folder)


def _rankable(table: pa.Table) -> pa.Table:
    """Return the first of equal pairs, of the questions that have a relevant sentence and another."""
    frame = table.to_pandas().drop_duplicates(["query_id", "document_id"])
    labels = frame.groupby(["split", "query_id"])["relevance"]
    frame = frame[(labels.transform("min") == 0) & (labels.transform("max") == 1)]
    table = pa.Table.from_pandas(frame, SNAPSHOT_SCHEMA, preserve_index=False)
    return pa.concat_tables(table.filter(pc.equal(table["split"], side)) for side in SPLITS)


def _write(table: pa.Table, read: int, folder: Path) -> Snapshot:
    digest = content_digest(table)
    target = folder / digest
    target.mkdir(parents=True, exist_ok=True)
    sides = {side: table.filter(pc.equal(table["split"], side)) for side in SPLITS}
    manifest = SnapshotManifest(
        digest=digest,
        created_at=datetime.now(UTC),
        first_pair_at=NO_DATE,
        last_pair_at=NO_DATE,
        splits={
            side: SplitCounts(
                queries=pc.count_distinct(held["query_id"]).as_py(),
                pairs=held.num_rows,
                positives=pc.sum(held["relevance"]).as_py() or 0,
            )
            for side, held in sides.items()
        },
        sources={"wikiqa": table.num_rows},
        cleaning=CleaningCounts(
            read=read, kept=table.num_rows, dropped={"no_positive": read - table.num_rows}, dropped_queries={}
        ),
        settings={},
        lineage={"store": "wikiqa"},
    )
    pq.write_table(table, target / "pairs.parquet")
    (target / "manifest.json").write_text(manifest.model_dump_json(indent=2), "utf-8")
    return Snapshot(target)


def _with_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select(schema.names).cast(schema)
