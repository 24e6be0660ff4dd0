"""The frozen, cleaned pairs of one run: what everything downstream names as its data."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

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
    first_pair_at: datetime
    last_pair_at: datetime
    splits: Mapping[Split, SplitCounts]
    sources: Mapping[str, int]
    lineage: Mapping[str, str | int | float | None]
    """Where the pairs came from and what cleaning did: store, rows read, duplicates, conflicts, dropped, ..."""


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
