"""The interface that every store implements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, Self

import pyarrow as pa


class AppendCounts(NamedTuple):
    """What became of appended rows; the two add up to the rows given."""

    kept: int
    """Rows that are new."""
    merged: int
    """Rows that were there already, in the store or earlier in the same batch."""


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that an import could not use, kept so that nothing is lost and it can be mended."""

    origin: str
    """The file it came from."""
    position: int
    """Where in the file: a line of text files, counted from 1, or a row of Parquet, counted from 1."""
    reason: str
    """Why, in words; the same words for every row with the same fault."""
    raw: str
    """The row as JSON text. Bytes that are not UTF-8 stand as lone surrogates (`\\udc80` to `\\udcff`), so
    `json.loads(raw)` encoded with `"surrogateescape"` gives the bytes of the file again."""


class LabelStore(Protocol):
    """Labelled pairs and quarantined rows. Several processes may use one store at once.

    A store is a context manager that lets go of its connections at the end; leaving that out does no harm.
    Every method raises `StoreUnavailableError` for what may heal by itself and `StoreRefusedError` for what may not.
    """

    def __enter__(self) -> Self:
        """Return the store itself."""
        ...

    def __exit__(self, *failure: object) -> None:
        """Let go of connections."""
        ...

    def append(self, pairs: pa.RecordBatch | pa.Table) -> AppendCounts:
        """Add pairs (PAIR_SCHEMA); rows that are there already merge (see the package's docstring).

        The whole batch is checked first: `ContractError` says what breaks the contract, and nothing was stored. It
        is then written in bounded transactions: after an error, part of it may be stored, and appending it again
        completes it.
        """
        ...

    def quarantine(self, rows: Sequence[QuarantinedRow]) -> None:
        """Keep rows that could not be used; the same row of the same file again is the same row."""
        ...

    def scan(
        self, since: datetime | None = None, until: datetime | None = None, batch_size: int = 5_000
    ) -> Iterator[pa.RecordBatch]:
        """Yield all pairs (PAIR_SCHEMA) with since <= created_at < until, in the order they were first stored.

        Batches hold `batch_size` rows at most and are never empty. Both times must know their time zone.
        """
        ...

    def count(self) -> int:
        """Return how many pairs there are."""
        ...

    def latest(self) -> datetime | None:
        """Return the newest `created_at` (UTC), or None for an empty store."""
        ...

    def quarantined(self, limit: int = 100) -> list[QuarantinedRow]:
        """Return quarantined rows, the last ones first."""
        ...

    def count_quarantined(self) -> int:
        """Return how many rows are in quarantine."""
        ...
