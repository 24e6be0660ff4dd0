"""The frozen, cleaned pairs of one run: what everything downstream names as its data."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, model_validator

from flows.contracts.pair import PAIR_SCHEMA

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

SNAPSHOT_SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("document_id", pa.string(), nullable=False),
        *PAIR_SCHEMA,
        pa.field("split", pa.string(), nullable=False),
    ]
)
"""Pairs with their ids (`flows.contracts.pair.text_id`) and the side of the split they stand on."""


DropReason = Literal[
    "missing_value",
    "invalid_label",
    "blank_text",
    "query_too_long",
    "document_too_long",
    "future_date",
    "duplicate",
    "conflict",
    "too_few_candidates",
    "no_positive",
    "no_negative",
    "undersampled",
]
DROP_REASONS: Mapping[DropReason, str] = {
    "missing_value": "the source or the date is missing",
    "invalid_label": "the relevance is not 0 or 1, or the grade not 0 to 3",
    "blank_text": "the query or the document is missing or blank",
    "query_too_long": "the query is longer than the limit",
    "document_too_long": "the document is longer than the limit",
    "future_date": "the date lies in the future",
    "duplicate": "the same pair stands in the store again with the same label",
    "conflict": "the same pair has another label that is newer",
    "too_few_candidates": "the query has too few candidates to rank",
    "no_positive": "the query has no relevant document, so no order of its candidates is better than another",
    "no_negative": "the query has only relevant documents, so no order of its candidates is better than another",
    "undersampled": "a negative of the training side beyond the target share of positives",
}
"""Why cleaning leaves a pair out, in the order of the checks: a pair counts under the first that holds."""


class CleaningCounts(BaseModel):
    """What became of every pair that was read; the numbers add up."""

    model_config = ConfigDict(frozen=True)

    read: int
    kept: int
    dropped: Mapping[DropReason, int]
    """Pairs left out, for each reason that occurred."""
    dropped_queries: Mapping[DropReason, int]
    """Whole queries left out, for each of the reasons that concern a query."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.read != self.kept + sum(self.dropped.values()):
            raise ValueError(f"{self.read} pairs read, but {self.kept} kept and {dict(self.dropped)} dropped")
        return self


class SplitCounts(BaseModel):
    """How large one side of the split is."""

    model_config = ConfigDict(frozen=True)

    queries: int
    pairs: int
    positives: int


class SnapshotManifest(BaseModel):
    """What a snapshot is made of; written beside it as `manifest.json`."""

    model_config = ConfigDict(frozen=True)

    digest: str
    """SHA-256 (64 hex digits) of the content, independent of row order in the store and of Parquet's version."""
    created_at: datetime
    first_pair_at: datetime
    last_pair_at: datetime
    splits: Mapping[Split, SplitCounts]
    sources: Mapping[str, int]
    cleaning: CleaningCounts
    """What cleaning did when this content was first frozen."""
    settings: Mapping[str, int | float]
    """The cleaning settings it was frozen with."""
    lineage: Mapping[str, str | int | float | None]
    """Where the pairs came from: store, time of the scan, ..."""


class Snapshot:
    """A snapshot on disk: `<folder>/pairs.parquet` and `<folder>/manifest.json`, the folder named by the digest."""

    def __init__(self, folder: Path) -> None:
        """Open the snapshot in `folder`; FileNotFoundError names the folder when it is not one."""
        self.folder = Path(folder)
        if not (self.folder / "manifest.json").is_file():
            raise FileNotFoundError(
                f"No snapshot in {self.folder}: manifest.json is missing. Run the lifecycle to freeze one."
            )

    @cached_property
    def manifest(self) -> SnapshotManifest:
        """The manifest, read once."""
        return SnapshotManifest.model_validate_json((self.folder / "manifest.json").read_text("utf-8"))

    @property
    def digest(self) -> str:
        """The SHA-256 that names this snapshot."""
        return self.manifest.digest

    def table(self, split: Split | None = None) -> pa.Table:
        """Return the pairs (SNAPSHOT_SCHEMA) of one split, or of all."""
        filters = None if split is None else [("split", "=", split)]
        return pq.read_table(self.folder / "pairs.parquet", schema=SNAPSHOT_SCHEMA, filters=filters)
