"""What can happen to a store behind a network: refusals, faults and answers that get lost."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from flows.settings import StoreSettings
from flows.store import AppendCounts, QuarantinedRow, StoreRefusedError, StoreUnavailableError, open_store
from flows.store.supabase import SupabaseLabelStore
from tests.flows.store.databases import SqliteDatabase
from tests.flows.store.pairs import START, batch, many, pair, stored
from tests.flows.store.postgrest import ANON_KEY, SERVICE_KEY, Fault, Loopback


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the store would have slept."""
    return []


@pytest.fixture
def store(server: Loopback, waits: list[float]) -> SupabaseLabelStore:
    return SupabaseLabelStore(server.url, SERVICE_KEY, page_size=20, retries=3, sleep=waits.append)


FAULTS = {
    "429": Fault(429),
    "500": Fault(500),
    "503 of a gateway": Fault(503, body=b"<html>upstream</html>"),
    "520": Fault(520),
    "request lost": Fault(lose_request=True),
    "answer lost": Fault(lose_answer=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_every_call_survives_every_fault(
    server: Loopback, store: SupabaseLabelStore, waits: list[float], fault: Fault
) -> None:
    def under_fault(call: Callable[[], Any]) -> Any:
        server.faults.extend([fault, fault])
        return call()

    quarantined = QuarantinedRow("pairs.csv", 3, "query is missing", "{}")
    assert under_fault(lambda: store.append(many(range(50)))) == AppendCounts(kept=50, merged=0)
    assert under_fault(lambda: store.append(many(range(40, 60)))) == AppendCounts(kept=10, merged=10)
    assert under_fault(store.count) == 60
    assert len(under_fault(lambda: stored(store))) == 60
    assert under_fault(store.latest) == START + timedelta(minutes=59)
    under_fault(lambda: store.quarantine([quarantined]))
    assert under_fault(store.quarantined) == [quarantined]
    assert not server.faults
    assert len(waits) == 14


def test_waits_grow_with_jitter_and_then_it_gives_up(
    server: Loopback, store: SupabaseLabelStore, waits: list[float]
) -> None:
    server.faults.extend([Fault(503)] * 4)
    with pytest.raises(StoreUnavailableError, match="answered 503"):
        store.count()
    assert len(server.requests) == 4
    assert all(0 <= wait <= 0.5 * 2**n for n, wait in enumerate(waits))
    assert len(set(waits)) == len(waits) == 3


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7.5),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True), 25, 30.5),
        ("100000", 120, 120),
        ("soon", 0, 0.5),
        ("-3", 0, 0.5),
    ],
)
def test_retry_after_is_honoured(
    server: Loopback,
    store: SupabaseLabelStore,
    waits: list[float],
    asked: str | Callable[[], str],
    least: float,
    most: float,
) -> None:
    server.faults.append(Fault(429, {"Retry-After": asked if isinstance(asked, str) else asked()}))
    assert store.count() == 0
    assert least <= waits[0] <= most


def test_a_request_that_is_refused_is_not_tried_again(
    server: Loopback, store: SupabaseLabelStore, waits: list[float]
) -> None:
    server.faults.append(Fault(400, body=b'{"code": "22P02", "message": "invalid input syntax"}'))
    with pytest.raises(StoreRefusedError, match=r"answered 400 22P02 \(invalid input syntax\), for table labels"):
        store.append(many(range(3)))
    assert len(server.requests) == 1
    assert waits == []


@pytest.mark.parametrize("key", ["no-such-key", ANON_KEY])
def test_a_key_without_rights_names_the_setting(server: Loopback, key: str) -> None:
    store = SupabaseLabelStore(server.url, key)
    for call in (store.count, store.latest, lambda: store.append(many(range(3)))):
        with pytest.raises(StoreRefusedError, match="RERANKER_STORE__SUPABASE_KEY") as refused:
            call()
        assert key not in str(refused.value)
    assert len(server.requests) == 3


def test_a_missing_table_names_the_migrations(server: Loopback, store: SupabaseLabelStore) -> None:
    assert isinstance(server.database, SqliteDatabase)
    server.database.drop()
    for call in (store.count, store.count_quarantined, lambda: store.append(many(range(3)))):
        with pytest.raises(StoreRefusedError, match="deployments/supabase/migrations"):
            call()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(404, body=b"<html>not found</html>"),
        Fault(301, {"Location": "https://example.com/"}),
        Fault(200, body=b"<p>hi"),
        Fault(200, body=b""),
    ],
)
def test_an_address_of_something_else_names_the_setting(
    server: Loopback, store: SupabaseLabelStore, fault: Fault
) -> None:
    server.faults.append(fault)
    with pytest.raises(StoreRefusedError, match="RERANKER_STORE__SUPABASE_URL"):
        store.latest()


@pytest.mark.parametrize("url", ["project.supabase.co", "ftp://project", "https://", "https://[::1", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(StoreRefusedError, match="RERANKER_STORE__SUPABASE_URL"):
        SupabaseLabelStore(url, SERVICE_KEY)


@pytest.mark.parametrize("key", ["", "secret\n", "‘secret’"])
def test_what_is_no_key_is_refused_and_not_quoted(server: Loopback, key: str) -> None:
    with pytest.raises(StoreRefusedError, match="RERANKER_STORE__SUPABASE_KEY") as refused:
        SupabaseLabelStore(server.url, key)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_may_come_back(waits: list[float]) -> None:
    store = SupabaseLabelStore("http://127.0.0.1:9", SERVICE_KEY, retries=2, sleep=waits.append)
    with pytest.raises(StoreUnavailableError, match=r"no answer from 127\.0\.0\.1"):
        store.count()
    assert len(waits) == 2


def test_pages_are_found_by_number_and_never_by_offset(server: Loopback, store: SupabaseLabelStore) -> None:
    store.append(many(range(90)))
    server.requests.clear()
    assert len(stored(store, since=START)) == 90
    pages = [request for request in server.requests if request.startswith("GET")]
    assert len(pages) == 6  # five of 20 at most, and an empty one
    assert all("id=gt." in page and "order=id" in page and "offset" not in page for page in pages)


def test_a_project_that_gives_fewer_rows_than_asked_for_loses_none(
    server: Loopback, store: SupabaseLabelStore
) -> None:
    store.append(many(range(50)))
    server.max_rows = 7
    assert len(stored(store)) == 50


def test_requests_are_bounded_in_rows_and_in_text(server: Loopback, store: SupabaseLabelStore) -> None:
    store.append(many(range(50)))
    assert len(server.requests) == 3
    server.bodies.clear()
    long = [pair(query=f"{n}", document=f"{n}" * 400_000) for n in range(8)]
    assert store.append(batch(*long)).kept == 8
    assert max(server.bodies) < 3_000_000
    assert len(server.bodies) == 2


def test_neither_text_nor_key_is_logged(
    server: Loopback, store: SupabaseLabelStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.faults.append(Fault(500))
    store.append(batch(pair(query="a person's own words")))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("flows.")]
    assert [re.sub(r"\d+\.\d s", "n s", message) for message in ours] == [
        "try 1 of 4 failed, next in n s: 127.0.0.1 answered 500 (injected), for table labels"
    ]
    assert "own words" not in caplog.text
    assert SERVICE_KEY not in caplog.text


def test_settings_that_lack_the_address_name_it(tmp_path: Path) -> None:
    with pytest.raises(StoreRefusedError, match="RERANKER_STORE__SUPABASE_URL"):
        open_store(StoreSettings(kind="supabase"), tmp_path / "labels.db")
