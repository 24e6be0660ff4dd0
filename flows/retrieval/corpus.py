"""The distinct documents of labelled pairs, and where each comes from."""

import pyarrow as pa

PROVENANCE_SCHEMA = pa.schema(
    [
        pa.field("sources", pa.list_(pa.string()), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("subject_ids", pa.list_(pa.string()), nullable=False),
    ]
)
"""Of a document: the sources of its pairs, the date of the newest, and whose texts they are."""

CORPUS_SCHEMA = pa.schema(
    [pa.field("document_id", pa.string()), pa.field("document", pa.string()), *PROVENANCE_SCHEMA]
)


def corpus_of(table: pa.Table) -> pa.Table:
    """Return each document of `table` (SNAPSHOT_SCHEMA) once (CORPUS_SCHEMA), in order of its id."""
    columns = ["document_id", "document", "source", "created_at", "subject_id"]
    grouped = (
        table.select(columns)
        .group_by("document_id", use_threads=False)
        .aggregate([("document", "first"), ("source", "distinct"), ("created_at", "max"), ("subject_id", "distinct")])
        .sort_by("document_id")
    )
    arrays = [
        grouped["document_id"],
        grouped["document_first"],
        _sorted(grouped["source_distinct"]),
        grouped["created_at_max"],
        _sorted(grouped["subject_id_distinct"]),
    ]
    return pa.table(dict(zip(CORPUS_SCHEMA.names, arrays, strict=True)), schema=CORPUS_SCHEMA)


def _sorted(lists: pa.ChunkedArray) -> pa.Array:
    """Return the lists without nulls and in order, so that equal documents look equal."""
    return pa.array(
        (sorted(text for text in scalar.as_py() if text is not None) for chunk in lists.chunks for scalar in chunk),
        pa.list_(pa.string()),
    )
