"""What can happen to a store that is a file."""

import multiprocessing
import os
import signal
import sqlite3
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import count, repeat
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from flows.settings import StoreSettings
from flows.store import SqliteLabelStore, StoreRefusedError, StoreUnavailableError, open_store
from tests.flows.store.pairs import many, stored, write


def test_the_folder_is_made_and_the_settings_may_name_the_file(tmp_path: Path) -> None:
    named = tmp_path / "deep" / "named.db"
    open_store(StoreSettings(path=named), tmp_path / "default.db").append(many(range(3)))
    assert SqliteLabelStore(named).count() == 3
    assert not (tmp_path / "default.db").exists()


def test_what_was_stored_is_there_when_opened_again(tmp_path: Path) -> None:
    SqliteLabelStore(tmp_path / "labels.db").append(many(range(3)))
    assert SqliteLabelStore(tmp_path / "labels.db").count() == 3


def test_processes_may_make_the_file_together(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        kept = [c.kept for c in pool.map(write, repeat(StoreSettings()), repeat(tmp_path / "new.db"), (0, 0, 0))]
    assert sum(kept) == SqliteLabelStore(tmp_path / "new.db").count() == 220


def test_threads_may_make_and_fill_the_file_together(tmp_path: Path) -> None:
    for attempt in range(6):
        path = tmp_path / f"{attempt}.db"
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n, path=path: SqliteLabelStore(path).append(many(range(n, n + 2))), range(8)))
        assert SqliteLabelStore(path).count() == 9


def _append_until_killed(path: Path, said: Connection) -> None:
    store = SqliteLabelStore(path)
    for first in count(step=50):
        store.append(many(range(first, first + 50)))
        said.send(first + 50)


def test_a_writer_that_is_killed_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    path = tmp_path / "labels.db"
    writer = multiprocessing.get_context("spawn").Process(target=_append_until_killed, args=(path, there))
    writer.start()
    for _ in range(20):
        appended = here.recv()
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    while here.poll():
        appended = here.recv()
    store = SqliteLabelStore(path)
    assert store.count() in (appended, appended + 50)  # whole batches: the one in hand was committed or was not
    assert len(stored(store)) == store.count()
    assert store.append(many(range(appended + 50))).merged >= appended


def test_a_file_that_stays_locked_may_heal(tmp_path: Path) -> None:
    store = SqliteLabelStore(tmp_path / "labels.db", busy_seconds=0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match=r"labels\.db stayed locked for 0\.05 s"):
        store.append(many(range(3)))
    assert store.count() == 0  # in WAL mode readers do not wait even then
    other.execute("ROLLBACK")
    other.close()
    assert store.append(many(range(3))).kept == 3


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = SqliteLabelStore(tmp_path / "labels.db")
    with sqlite3.connect(store.path) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON labels WHEN NEW.query = 'query 7' "
            "BEGIN SELECT raise(ABORT, 'disk full'); END"
        )
    other.close()
    with pytest.raises(StoreRefusedError, match="disk full"):
        store.append(many(range(10)))
    assert store.count() == 0


@pytest.mark.parametrize("content", [b"query,document,relevance\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.db"
    path.write_bytes(content)
    with pytest.raises(StoreRefusedError, match="RERANKER_STORE__PATH"):
        SqliteLabelStore(path)
    assert path.read_bytes() == content


def test_tables_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    store = SqliteLabelStore(tmp_path / "labels.db")
    with sqlite3.connect(store.path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreRefusedError, match="update the project"):
        SqliteLabelStore(store.path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefusedError, match="cannot make the folder"):
        SqliteLabelStore(tmp_path / "file" / "labels.db")
    with pytest.raises(StoreRefusedError, match="cannot use the labels store"):
        SqliteLabelStore(tmp_path)


def test_transactions_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.store.sqlite._TRANSACTION_ROWS", 10)
    store = SqliteLabelStore(tmp_path / "labels.db")
    with sqlite3.connect(store.path) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON labels WHEN NEW.query = 'query 25' "
            "BEGIN SELECT raise(ABORT, 'disk full'); END"
        )
    with pytest.raises(StoreRefusedError, match="disk full"):
        store.append(many(range(40)))
    assert store.count() == 20
    with sqlite3.connect(store.path) as other:
        other.execute("DROP TRIGGER full")
    other.close()
    assert store.append(many(range(40))) == (20, 20)
