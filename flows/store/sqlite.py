"""The labels table in a SQLite file."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from flows.contracts.pair import PAIR_SCHEMA
from flows.store.bounded import bounded
from flows.store.errors import StoreRefusedError, StoreUnavailableError
from flows.store.label_store import AppendCounts, QuarantinedRow
from flows.store.row import checked, microseconds, moment, quarantine_key, rows_of

_VERSION = 1  # of the tables below, kept as the file's user_version
_TRANSACTION_ROWS = 5_000
_BATCH_CHARACTERS = 16_000_000  # of text in one batch of a scan

_TABLES = f"""
CREATE TABLE IF NOT EXISTS labels (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 16),
    query TEXT NOT NULL,
    document TEXT NOT NULL,
    relevance INTEGER NOT NULL CHECK (relevance IN (0, 1)),
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,  -- microseconds since 1970, UTC
    grade INTEGER CHECK (grade BETWEEN 0 AND 3),
    subject_id TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS labels_created_at ON labels (created_at);
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 16),
    origin TEXT NOT NULL,
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    raw TEXT NOT NULL,
    quarantined_at INTEGER NOT NULL
) STRICT;
PRAGMA user_version = {_VERSION};
"""

_APPEND = """
INSERT INTO labels (key, query, document, relevance, source, created_at, grade, subject_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    created_at = max(created_at, excluded.created_at),
    grade = CASE
        WHEN (excluded.created_at, coalesce(excluded.grade, -1)) > (created_at, coalesce(grade, -1))
        THEN excluded.grade ELSE grade END,
    subject_id = nullif(max(coalesce(subject_id, ''), coalesce(excluded.subject_id, '')), '')
"""

_QUARANTINE = """
INSERT INTO quarantine (key, origin, position, reason, raw, quarantined_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET quarantined_at = excluded.quarantined_at
"""

# + keeps SQLite from the index of created_at, with which it would sort the whole window anew for every page
_SCAN = """
SELECT id, query, document, relevance, source, created_at, grade, subject_id FROM labels
WHERE id > ? AND +created_at >= ? AND +created_at < ? ORDER BY id LIMIT ?
"""


class SqliteLabelStore:
    """A LabelStore in one SQLite file, in WAL mode: readers never wait, writers wait for one another.

    Each call opens its own connection, so a store may be shared by threads and carried over a fork.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 60.0) -> None:
        """Open the file at `path`, made where it is not there; a call waits `busy_seconds` for other writers."""
        self.path = Path(path)
        self._busy_seconds = busy_seconds
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefusedError(f"cannot make the folder of the labels store: {error}") from error
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise StoreRefusedError(
                    f"{self.path} has tables of a newer version of this project ({version}, known {_VERSION}): "
                    "update the project, or name another file with RERANKER_STORE__PATH"
                )
            if version < _VERSION:
                self._enter_wal_mode(connection)
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Do nothing: no connection outlives its call."""

    def append(self, pairs: pa.RecordBatch | pa.Table) -> AppendCounts:
        """Add pairs; see `LabelStore.append`."""
        table, kept = checked(pairs), 0
        for first in range(0, table.num_rows, _TRANSACTION_ROWS):
            rows = list(rows_of(table.slice(first, _TRANSACTION_ROWS)))  # before the lock is taken
            with self._transaction() as connection:
                # SQLite gives a new row the highest id plus one, and an update none: the difference counts new rows.
                before = _number(connection, "SELECT coalesce(max(id), 0) FROM labels")
                connection.executemany(_APPEND, rows)
                kept += _number(connection, "SELECT coalesce(max(id), 0) FROM labels") - before
        return AppendCounts(kept, table.num_rows - kept)

    def quarantine(self, rows: Sequence[QuarantinedRow]) -> None:
        """Keep rows that could not be used; see `LabelStore.quarantine`."""
        now = microseconds(datetime.now(UTC))
        for first in range(0, len(rows), _TRANSACTION_ROWS):
            with self._transaction() as connection:
                connection.executemany(
                    _QUARANTINE,
                    [
                        (quarantine_key(row), row.origin, row.position, row.reason, row.raw, now)
                        for row in rows[first : first + _TRANSACTION_ROWS]
                    ],
                )

    def scan(
        self, since: datetime | None = None, until: datetime | None = None, batch_size: int = 5_000
    ) -> Iterator[pa.RecordBatch]:
        """Yield the pairs; see `LabelStore.scan`."""
        first = microseconds(since or datetime.min.replace(tzinfo=UTC))
        last = microseconds(until) if until else microseconds(datetime.max.replace(tzinfo=UTC)) + 1
        return self._pages(first, last, batch_size)

    def _pages(self, first: int, last: int, batch_size: int) -> Iterator[pa.RecordBatch]:
        last_id = 0
        with self._connection() as connection:
            while True:
                with closing(connection.execute(_SCAN, (last_id, first, last, batch_size))) as page:
                    rows = next(bounded(page, batch_size, _characters, _BATCH_CHARACTERS), None)
                if rows is None:
                    return
                last_id = rows[-1][0]
                columns = list(zip(*rows, strict=True))[1:]
                arrays = [pa.array(values, field.type) for values, field in zip(columns, PAIR_SCHEMA, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=PAIR_SCHEMA)

    def count(self) -> int:
        """Return how many pairs there are."""
        with self._connection() as connection:
            return _number(connection, "SELECT count(*) FROM labels")

    def latest(self) -> datetime | None:
        """Return the newest `created_at`, or None."""
        with self._connection() as connection:
            at = connection.execute("SELECT max(created_at) FROM labels").fetchone()[0]
        return None if at is None else moment(at)

    def quarantined(self, limit: int = 100) -> list[QuarantinedRow]:
        """Return quarantined rows, the last ones first."""
        with self._connection() as connection:
            found = connection.execute(
                "SELECT origin, position, reason, raw FROM quarantine "
                "ORDER BY quarantined_at DESC, origin, position LIMIT ?",
                (limit,),
            )
            return [QuarantinedRow(*row) for row in found]

    def count_quarantined(self) -> int:
        """Return how many rows are in quarantine."""
        with self._connection() as connection:
            return _number(connection, "SELECT count(*) FROM quarantine")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock from the start: a read that is upgraded later fails at once when another wrote."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def _enter_wal_mode(self, connection: sqlite3.Connection) -> None:
        """Switch to WAL, for which SQLite itself does not wait: it fails at once while others open the same file."""
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection in autocommit mode, and turn SQLite's errors into ours."""
        try:
            with closing(sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None)) as connection:
                connection.execute("PRAGMA cache_size = -65536")  # KiB; the key index is written at random places
                yield connection
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreUnavailableError(
                    f"{self.path} stayed locked for {self._busy_seconds:g} s: {error}"
                ) from error
            raise StoreRefusedError(f"cannot use the labels store {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreRefusedError(
                f"{self.path} is not a labels store, or is damaged ({error}): name another with RERANKER_STORE__PATH"
            ) from error


def _number(connection: sqlite3.Connection, query: str) -> int:
    value: Any = connection.execute(query).fetchone()[0]
    return int(value)


def _characters(row: tuple[Any, ...]) -> int:
    return len(row[1]) + len(row[2])
