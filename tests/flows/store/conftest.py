"""The places that a store can keep its tables in: each test of the contract runs in all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from flows.settings import StoreSettings
from flows.store import LabelStore, open_store
from tests.flows.store.databases import PostgresDatabase, SqliteDatabase
from tests.flows.store.postgrest import SERVICE_KEY, Loopback, loopback
from tests.postgresql import postgresql  # noqa: F401 - a fixture


@dataclass
class Place:
    """Settings that any process can open the same store with."""

    settings: StoreSettings
    path: Path
    clear: Callable[[], Any]

    def open(self) -> LabelStore:
        return open_store(self.settings, self.path)


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A Supabase project on loopback."""
    with loopback(SqliteDatabase()) as running:
        yield running


def _supabase(server: Loopback, path: Path) -> Place:
    settings = StoreSettings(
        kind="supabase", supabase_url=server.url, supabase_key=SecretStr(SERVICE_KEY), page_size=50
    )
    return Place(settings, path, server.database.clear)


@pytest.fixture(params=["sqlite", "supabase", "supabase-postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty store: SQLite; Supabase over loopback; the same with a real PostgreSQL behind it."""
    path = tmp_path / "labels.db"
    match request.param:
        case "sqlite":
            yield Place(StoreSettings(), path, lambda: path.unlink(missing_ok=True))
        case "supabase":
            yield _supabase(request.getfixturevalue("server"), path)
        case _:
            database = PostgresDatabase(request.getfixturevalue("postgresql"))
            database.clear()
            with loopback(database) as running:
                yield _supabase(running, path)


@pytest.fixture
def store(place: Place) -> Iterator[LabelStore]:
    with place.open() as opened:
        yield opened
