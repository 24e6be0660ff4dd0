"""The labels table in Supabase; deployments/supabase/migrations makes it."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID, uuid4

import httpx
import pyarrow as pa
from postgrest import CountMethod, ReturnMethod
from postgrest.exceptions import APIError
from supabase import ClientOptions, create_client

from flows.contracts.pair import PAIR_SCHEMA
from flows.store.bounded import bounded
from flows.store.errors import StoreRefusedError
from flows.store.label_store import AppendCounts, QuarantinedRow
from flows.store.retrying import RetryTransport
from flows.store.row import Row, checked, merged, microseconds, moment, quarantine_key, rows_of

_REQUEST_CHARACTERS = 2_000_000  # of text in one request; gateways refuse large bodies
_TIMEOUT_SECONDS = 60.0


class SupabaseLabelStore:
    """A LabelStore over Supabase's REST interface (PostgREST). One for each process: it holds connections open."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        page_size: int = 1_000,
        retries: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Speak to the project at `url` with its service role key; `page_size` is rows a request."""
        _check_address(url)
        if not key or not key.isascii() or not key.isprintable():  # httpx would quote it in its complaint
            raise StoreRefusedError(
                "RERANKER_STORE__SUPABASE_KEY is empty, or holds what no key does, such as a line end"
            )
        transport = RetryTransport(httpx.HTTPTransport(), retries, sleep)
        self._http = httpx.Client(transport=transport, timeout=_TIMEOUT_SECONDS)
        self._client = create_client(url, key, ClientOptions(httpx_client=self._http, auto_refresh_token=False))
        self._page_size = page_size

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Close the connections."""
        self._http.close()

    def append(self, pairs: pa.RecordBatch | pa.Table) -> AppendCounts:
        """Add pairs; see `LabelStore.append`."""
        table = checked(pairs)
        kept = sum(
            self._upsert(merged(rows))
            for rows in bounded(rows_of(table), self._page_size, _characters, _REQUEST_CHARACTERS)
        )
        return AppendCounts(kept, table.num_rows - kept)

    def _upsert(self, rows: Sequence[Row]) -> int:
        """Add rows of different keys and return how many are new.

        Each row carries the id of its request, which the table keeps from the request that made the row: the new
        rows are counted rightly even when an answer was lost and the request was sent again.
        """
        request_id = str(uuid4())
        body = [
            {
                **row._asdict(),
                "key": str(UUID(bytes=row.key)),
                "created_at": moment(row.created_at).isoformat(),
                "request_id": request_id,
            }
            for row in rows
        ]
        stored = self._data(self._client.table("labels").upsert(body, on_conflict="key").select("request_id"))
        if len(stored) != len(rows):
            raise StoreRefusedError(
                f"{len(rows)} rows were sent and {len(stored)} confirmed: lower RERANKER_STORE__PAGE_SIZE to "
                "the project's `Max rows` setting"
            )
        return sum(row["request_id"] == request_id for row in stored)

    def quarantine(self, rows: Sequence[QuarantinedRow]) -> None:
        """Keep rows that could not be used; see `LabelStore.quarantine`."""
        now = datetime.now(UTC).isoformat()
        distinct = {quarantine_key(row): row for row in rows}
        body = (
            {
                "key": str(UUID(bytes=key)),
                "origin": row.origin,
                "position": row.position,
                "reason": row.reason,
                "raw": row.raw,
                "quarantined_at": now,
            }
            for key, row in distinct.items()
        )
        for part in bounded(body, self._page_size, lambda row: len(str(row["raw"])), _REQUEST_CHARACTERS):
            self._execute(
                self._client.table("quarantine").upsert(part, on_conflict="key", returning=ReturnMethod.minimal)
            )

    def scan(
        self, since: datetime | None = None, until: datetime | None = None, batch_size: int = 5_000
    ) -> Iterator[pa.RecordBatch]:
        """Yield the pairs; see `LabelStore.scan`."""
        for at in (since, until):
            if at is not None:
                microseconds(at)  # refuses a time without a zone now, not when the first page is asked for
        return self._pages(since, until, min(batch_size, self._page_size))

    def _pages(self, since: datetime | None, until: datetime | None, size: int) -> Iterator[pa.RecordBatch]:
        last_id = 0
        query = self._client.table("labels")
        while True:
            page = query.select("id", *PAIR_SCHEMA.names).gt("id", last_id).order("id").limit(size)
            if since is not None:
                page = page.gte("created_at", since.isoformat())
            if until is not None:
                page = page.lt("created_at", until.isoformat())
            rows = self._data(page)
            if not rows:  # a short page is no end: the project's `Max rows` may be below ours
                return
            last_id = rows[-1]["id"]
            for row in rows:
                row["created_at"] = datetime.fromisoformat(row["created_at"])  # in the database's zone
            yield pa.RecordBatch.from_pylist(rows, schema=PAIR_SCHEMA)

    def count(self) -> int:
        """Return how many pairs there are."""
        return self._count("labels")

    def latest(self) -> datetime | None:
        """Return the newest `created_at`, or None."""
        newest = self._client.table("labels").select("created_at").order("created_at", desc=True).limit(1)
        rows = self._data(newest)
        return datetime.fromisoformat(rows[0]["created_at"]).astimezone(UTC) if rows else None

    def quarantined(self, limit: int = 100) -> list[QuarantinedRow]:
        """Return quarantined rows, the last ones first."""
        last = self._client.table("quarantine").select("origin", "position", "reason", "raw")
        last = last.order("quarantined_at", desc=True).order("origin").order("position").limit(limit)
        return [QuarantinedRow(**row) for row in self._data(last)]

    def count_quarantined(self) -> int:
        """Return how many rows are in quarantine."""
        return self._count("quarantine")

    def _count(self, table: str) -> int:
        # one row is asked for as well: an answer without a body could not say what went wrong
        answer = self._execute(self._client.table(table).select("key", count=CountMethod.exact).limit(1))
        if answer.count is None:
            raise _not_a_project()
        return int(answer.count)

    def _data(self, query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._execute(query).data
        return rows

    def _execute(self, query: Any) -> Any:
        try:
            return query.execute()
        except APIError as error:  # refusals have raised in the transport: this answer is not PostgREST's at all
            raise _not_a_project() from error


def _check_address(url: str) -> None:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("https", "http") or not address.host:
        raise StoreRefusedError("RERANKER_STORE__SUPABASE_URL must be https://<project>.supabase.co")


def _not_a_project() -> StoreRefusedError:
    return StoreRefusedError(
        "the answer is not that of a Supabase project: RERANKER_STORE__SUPABASE_URL must be https://<project>.supabase.co"
    )


def _characters(row: Row) -> int:
    return len(row.query) + len(row.document)
