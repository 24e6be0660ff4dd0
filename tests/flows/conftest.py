"""What tests of whole flows share: a Prefect server of their own, a registry, a home folder and a tiny model."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from flows.registry import Registry
from flows.settings import RegistrySettings, load_settings
from tests.flows.loop import opinionated


@pytest.fixture(scope="module")
def _prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of the tests' own, and a folder for the results that tasks keep."""
    results = tmp_path_factory.mktemp("results")
    with prefect_test_harness(server_startup_timeout=300), temporary_settings({PREFECT_LOCAL_STORAGE_PATH: results}):
        yield


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: its migrations take seconds."""
    folder = tmp_path_factory.mktemp("empty")
    Registry(RegistrySettings(), f"sqlite:///{folder}/mlflow.db").champion()
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CrossEncoder with an opinion on every pair, which nobody taught it."""
    return opinionated(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("reranker"), seed=7)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path, _prefect: None) -> Iterator[Path]:
    """A home folder in which nothing is yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RERANKER_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    shutil.copy(empty_database, load_settings().file("mlflow.db"))
    EventsWorker.drain_all()
    EventsWorker.set_client_override(AssertingEventsClient)
    AssertingEventsClient.reset()
    yield tmp_path / "home"
    EventsWorker.drain_all()
    EventsWorker.set_client_override(None)
    load_settings.cache_clear()
