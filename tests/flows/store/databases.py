"""What stands behind the loopback PostgREST: SQLite everywhere, or a real PostgreSQL where there is one."""

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from tests.postgresql import Cluster, SqlError

JsonRow = dict[str, Any]


class RefusalError(Exception):
    """A request that PostgREST answers with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Query:
    """A SELECT, as the address of a request says it."""

    table: str
    columns: Sequence[str]
    conditions: Sequence[tuple[str, str, str]] = ()
    """Column, SQL operator, value."""
    order: Sequence[str] = ()
    limit: int | None = None


@dataclass(frozen=True)
class Upsert:
    """An INSERT ... ON CONFLICT."""

    table: str
    columns: Sequence[str]
    rows: Sequence[JsonRow]
    conflict: str
    merge: bool
    returning: Sequence[str]


class Database(Protocol):
    def select(self, query: Query, role: str) -> list[JsonRow]: ...

    def count(self, query: Query, role: str) -> int: ...

    def upsert(self, upsert: Upsert, role: str) -> list[JsonRow]: ...

    def clear(self) -> None: ...


_STATUS = {"42501": 403, "42P01": 404, "23514": 400, "22P02": 400, "22P05": 400, "21000": 500}


class PostgresDatabase:
    """Runs the SQL that PostgREST makes, under the role of the key, against the project's own migrations."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def select(self, query: Query, role: str) -> list[JsonRow]:
        return self._rows(_select(query, [_literal(value) for _, _, value in query.conditions]), role)

    def count(self, query: Query, role: str) -> int:
        counted = Query(query.table, ("*",), query.conditions)
        rows = _select(counted, [_literal(value) for _, _, value in query.conditions])
        return int(self._rows(f"select count(*) from ({rows}) r", role)[0]["count"])

    def upsert(self, upsert: Upsert, role: str) -> list[JsonRow]:
        columns, table = ", ".join(map(_name, upsert.columns)), f"public.{_name(upsert.table)}"
        sets = ", ".join(f"{_name(column)} = excluded.{_name(column)}" for column in upsert.columns)
        action = f"do update set {sets}" if upsert.merge else "do nothing"
        body = json.dumps(upsert.rows, ensure_ascii=False)
        assert "$body$" not in body
        returning = ", ".join(map(_name, upsert.returning)) or "null"
        return self._answer(
            f"with stored as (insert into {table} ({columns}) select {columns} from "
            f"json_populate_recordset(null::{table}, $body${body}$body$) "
            f"on conflict ({_name(upsert.conflict)}) {action} returning {returning}) "
            "select coalesce(json_agg(stored), '[]') from stored",
            role,
        )

    def clear(self) -> None:
        self._cluster.execute("truncate public.labels, public.quarantine")

    def _rows(self, sql: str, role: str) -> list[JsonRow]:
        return self._answer(f"select coalesce(json_agg(t), '[]') from ({sql}) t", role)

    def _answer(self, sql: str, role: str) -> list[JsonRow]:
        try:
            return list(json.loads(self._cluster.execute(sql, role)))
        except SqlError as error:
            status = 401 if error.code == "42501" and role == "anon" else _STATUS[error.code]
            raise RefusalError(status, error.code, str(error)) from error


class SqliteDatabase:
    """The two tables in memory, with what the migrations promise: checks, grants and the merging trigger."""

    _TABLES = """
    CREATE TABLE labels (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, query TEXT NOT NULL CHECK (query <> ''),
        document TEXT NOT NULL CHECK (document <> ''), relevance INTEGER NOT NULL CHECK (relevance IN (0, 1)),
        source TEXT NOT NULL CHECK (source <> '' AND length(source) <= 256), created_at INTEGER NOT NULL,
        grade INTEGER CHECK (grade BETWEEN 0 AND 3),
        subject_id TEXT CHECK (subject_id <> '' AND length(subject_id) <= 256), request_id TEXT NOT NULL) STRICT;
    CREATE INDEX labels_created_at ON labels (created_at);
    CREATE TABLE quarantine (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, origin TEXT NOT NULL,
        position INTEGER NOT NULL, reason TEXT NOT NULL, raw TEXT NOT NULL, quarantined_at INTEGER NOT NULL) STRICT;
    """
    _TIMES = ("created_at", "quarantined_at")
    _EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(self._TABLES)

    def select(self, query: Query, role: str) -> list[JsonRow]:
        values = [self._stored(column, value) for column, _, value in query.conditions]
        found = self._run(_select(query, ["?"] * len(values), schema=""), values, query.table, role)
        return [{name: self._shown(name, row[name]) for name in query.columns} for row in found]

    def count(self, query: Query, role: str) -> int:
        values = [self._stored(column, value) for column, _, value in query.conditions]
        inner = _select(Query(query.table, ("*",), query.conditions), ["?"] * len(values), schema="")
        return int(self._run(f"SELECT count(*) FROM ({inner})", values, query.table, role)[0][0])

    def upsert(self, upsert: Upsert, role: str) -> list[JsonRow]:
        keys = [row[upsert.conflict] for row in upsert.rows]
        if upsert.merge and len(set(keys)) < len(keys):
            raise RefusalError(500, "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
        marks = ", ".join("?" * len(upsert.columns))
        sets = ", ".join(f"{name} = excluded.{name}" for name in upsert.columns)
        insert = f"INSERT INTO {upsert.table} ({', '.join(upsert.columns)}) VALUES ({marks}) "
        insert += f"ON CONFLICT ({upsert.conflict}) DO UPDATE SET {sets}"
        returned = []
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                for row in upsert.rows:
                    new = {name: self._stored(name, row[name]) for name in upsert.columns}
                    old = self._run(
                        f"SELECT * FROM {upsert.table} WHERE {upsert.conflict} = ?",
                        [new[upsert.conflict]],
                        upsert.table,
                        role,
                        locked=True,
                    )
                    if old and not upsert.merge:
                        continue
                    if old and upsert.table == "labels":
                        _merge_label(dict(old[0]), new)
                    self._run(insert, [new[name] for name in upsert.columns], upsert.table, role, locked=True)
                    returned.append({name: self._shown(name, new[name]) for name in upsert.returning})
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        return returned

    def clear(self) -> None:
        self._connection.executescript("DELETE FROM labels; DELETE FROM quarantine;")

    def drop(self) -> None:
        self._connection.executescript("DROP TABLE labels; DROP TABLE quarantine;")

    def _run(self, sql: str, values: list[Any], table: str, role: str, locked: bool = False) -> list[sqlite3.Row]:
        if role != "service_role":
            raise RefusalError(401 if role == "anon" else 403, "42501", f"permission denied for table {table}")
        try:
            if locked:
                return self._connection.execute(sql, values).fetchall()
            with self._lock:
                return self._connection.execute(sql, values).fetchall()
        except sqlite3.IntegrityError as error:
            raise RefusalError(400, "23514", str(error)) from error
        except sqlite3.OperationalError as error:
            raise RefusalError(
                404, "PGRST205", f"Could not find the table 'public.{table}' in the schema cache"
            ) from error

    def _stored(self, column: str, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise RefusalError(400, "22P05", "unsupported Unicode escape sequence")
        if column in self._TIMES:
            return (datetime.fromisoformat(value) - self._EPOCH) // (datetime.resolution)
        return str(UUID(value)) if column == "key" else value

    def _shown(self, column: str, value: Any) -> Any:
        """Write times as PostgreSQL does: no fraction where it is zero, and no zeros at its end."""
        if column not in self._TIMES:
            return value
        seconds, _, fraction = (
            (self._EPOCH + value * datetime.resolution).strftime("%Y-%m-%dT%H:%M:%S.%f").partition(".")
        )
        seconds = f"{seconds.partition('-')[0]:0>4}-{seconds.partition('-')[2]}"
        fraction = fraction.rstrip("0")
        return f"{seconds}.{fraction}+00:00" if fraction else f"{seconds}+00:00"


def _merge_label(old: JsonRow, new: JsonRow) -> None:
    """Do what the trigger of 0001_labels.sql does."""
    new["request_id"] = old["request_id"]
    if (old["created_at"], -1 if old["grade"] is None else old["grade"]) > (
        new["created_at"],
        -1 if new["grade"] is None else new["grade"],
    ):
        new["created_at"], new["grade"] = old["created_at"], old["grade"]
    new["subject_id"] = max(old["subject_id"] or "", new["subject_id"] or "") or None


def _select(query: Query, values: Sequence[str], schema: str = "public.") -> str:
    columns = "*" if query.columns == ("*",) else ", ".join(map(_name, query.columns))
    sql = f"select {columns} from {schema}{_name(query.table)}"
    if query.conditions:
        conditions = zip(query.conditions, values, strict=True)
        sql += " where " + " and ".join(f"{_name(column)} {sign} {value}" for (column, sign, _), value in conditions)
    if query.order:
        sql += " order by " + ", ".join(query.order)
    return sql if query.limit is None else f"{sql} limit {query.limit}"


def _name(column: str) -> str:
    assert column.isidentifier(), column
    return f'"{column}"'


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
