"""The part of PostgREST (and of the gateway before it) that the Supabase store uses, over loopback, with faults.

Speaks what https://docs.postgrest.org says of: select, horizontal filters gt/gte/lt, order, limit, `Max rows`,
upserts (Prefer: resolution=..., return=...), exact counts in Content-Range, and errors as JSON. Whatever else is
asked for is refused with 400, so a store that strays from this part fails its tests.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.flows.store.databases import Database, Query, RefusalError, Upsert

SERVICE_KEY = "service-role-key-of-the-loopback-project"
ANON_KEY = "anon-key-of-the-loopback-project"
_ROLES = {SERVICE_KEY: "service_role", ANON_KEY: "anon"}
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<"}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request."""

    status: int | None = None
    """Answer with this status instead of doing anything."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"message": "injected"}'
    lose_request: bool = False
    """Close the connection without doing anything."""
    lose_answer: bool = False
    """Do what is asked, then close the connection in the middle of the answer."""


@dataclass
class Loopback:
    """A running server."""

    url: str
    database: Database
    max_rows: int = 1_000
    faults: deque[Fault] = field(default_factory=deque)
    """One is taken by each coming request."""
    requests: list[str] = field(default_factory=list)
    """Method and address of each request, in order."""
    bodies: list[int] = field(default_factory=list)
    """Bytes of each request's body."""


@contextmanager
def loopback(database: Database) -> Iterator[Loopback]:
    """Serve `database` on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    state = Loopback(f"http://127.0.0.1:{server.server_address[1]}", database)
    server.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet

    @property
    def state(self) -> Loopback:
        return self.server.state  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.state.requests.append(f"{self.command} {self.path}")
        self.state.bodies.append(len(body))
        fault = self.state.faults.popleft() if self.state.faults else Fault()
        if fault.lose_request:
            self.close_connection = True
        elif fault.status is not None:
            self._send(fault.status, fault.body, fault.headers)
        else:
            self._send(*self._answer(body), lose=fault.lose_answer)

    def _answer(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        key = self.headers.get("apikey", "")
        if key not in _ROLES or self.headers.get("Authorization") != f"Bearer {key}":
            return 401, json.dumps({"message": "Invalid API key", "hint": "Double check your API key."}).encode(), {}
        address = urlsplit(self.path)
        try:
            if not address.path.startswith("/rest/v1/"):
                return 404, b'{"message": "no Route matched with those values"}', {}
            table, asked = address.path.removeprefix("/rest/v1/"), parse_qsl(address.query, keep_blank_values=True)
            if self.command == "POST":
                return self._upsert(table, dict(asked), json.loads(body), _ROLES[key])
            return self._select(table, asked, _ROLES[key])
        except RefusalError as refusal:
            error = {"code": refusal.code, "message": refusal.message, "details": None, "hint": None}
            return refusal.status, json.dumps(error).encode(), {}

    def _select(self, table: str, asked: list[tuple[str, str]], role: str) -> tuple[int, bytes, dict[str, str]]:
        query = _query(table, asked, self.state.max_rows)
        total = "*"
        if "count=exact" in self.headers.get("Prefer", ""):
            total = str(self.state.database.count(query, role))
        rows = self.state.database.select(query, role)
        shown = f"0-{len(rows) - 1}" if rows else "*"
        return 200, json.dumps(rows, ensure_ascii=False).encode(), {"Content-Range": f"{shown}/{total}"}

    def _upsert(self, table: str, asked: dict[str, str], rows: Any, role: str) -> tuple[int, bytes, dict[str, str]]:
        prefer = self.headers.get("Prefer", "").replace(" ", "").split(",")
        columns = [name.strip('"') for name in asked.pop("columns").split(",")]
        conflict, selected = asked.pop("on_conflict"), asked.pop("select", "")
        if asked or not isinstance(rows, list):
            raise RefusalError(400, "PGRST100", f"this part of PostgREST does not know {asked}")
        whole = "return=representation" in prefer
        merge = "resolution=merge-duplicates" in prefer
        returning = selected.split(",") if whole else []
        stored = self.state.database.upsert(Upsert(table, columns, rows, conflict, merge, returning), role)
        return 201, json.dumps(stored).encode() if whole else b"", {}

    def _send(self, status: int, body: bytes, headers: dict[str, str], lose: bool = False) -> None:
        self.close_connection |= lose
        if lose and not body:
            return
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if lose else body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the requests are kept."""


def _query(table: str, asked: list[tuple[str, str]], max_rows: int) -> Query:
    columns: list[str] = []
    conditions, order, limit = [], [], max_rows
    for name, value in asked:
        operator, _, operand = value.partition(".")
        if name == "select":
            columns = value.split(",")
        elif name == "order":
            order = [_direction(part) for part in value.split(",")]
        elif name == "limit":
            limit = min(int(value), max_rows)
        elif operator in _OPERATORS:
            conditions.append((name, _OPERATORS[operator], operand))
        else:
            raise RefusalError(400, "PGRST100", f"this part of PostgREST does not know {name}={value}")
    return Query(table, columns, conditions, order, limit)


def _direction(part: str) -> str:
    column, _, direction = part.partition(".")
    assert column.isidentifier()
    assert direction in ("", "asc", "desc")
    return f'"{column}" {direction or "asc"}'
