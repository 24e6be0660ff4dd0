import contextlib
import os
import socket
import sqlite3
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.contracts.failure import Healable
from flows.registry import Registry, RegistryError, RegistryUnavailable
from flows.settings import RegistrySettings

IMPATIENT = RegistrySettings(timeout_seconds=1, retries=1)


def closed_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextlib.contextmanager
def answering(status):
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_is_not_there_is_said_soon_and_can_heal():
    uri = f"http://127.0.0.1:{closed_port()}"
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=f"{uri} could not find the champion") as raised:
        Registry(IMPATIENT, uri).champion()
    assert time.monotonic() - began < 20
    assert isinstance(raised.value, Healable)


def test_a_server_that_accepts_and_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="could not find the champion"):
            Registry(IMPATIENT, f"http://127.0.0.1:{silent.getsockname()[1]}").champion()
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_can_heal(status):
    with answering(status) as uri, pytest.raises(RegistryUnavailable):
        Registry(IMPATIENT, uri).champion()


def test_a_server_that_refuses_us_cannot_heal():
    with answering(403) as uri, pytest.raises(RegistryError) as raised:
        Registry(IMPATIENT, uri).champion()
    assert not isinstance(raised.value, Healable)


def test_a_password_in_the_address_stays_out_of_messages():
    uri = f"http://someone:geheim@127.0.0.1:{closed_port()}"
    with pytest.raises(RegistryUnavailable) as raised:
        Registry(IMPATIENT, uri).champion()
    shown = "".join(traceback.format_exception(raised.value))
    assert "127.0.0.1" in shown
    assert "geheim" not in shown


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, " * 100)
    with pytest.raises(RegistryError, match=r"mlflow\.db is not MLflow's database") as raised:
        Registry(IMPATIENT, f"sqlite:///{tmp_path}/mlflow.db")
    assert not isinstance(raised.value, Healable)


def test_a_database_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RegistryUnavailable, match="folder"):
        Registry(IMPATIENT, f"sqlite:///{tmp_path}/file/mlflow.db")


@pytest.mark.slow
def test_a_database_that_is_locked_can_heal(uri, registry, trained):
    """Another process holds the write lock for longer than SQLite waits."""
    version = registry.register(trained(), {})
    lock = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RegistryUnavailable):
            registry.promote(version.version)
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert registry.promote(version.version).aliases == ("champion",)


@pytest.mark.parametrize("address", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1", "http://"])
def test_an_address_that_is_none_cannot_heal(address):
    with pytest.raises(RegistryError, match="RERANKER_REGISTRY__TRACKING_URI") as caught:
        Registry(IMPATIENT, address).champion()
    assert not isinstance(caught.value, RegistryUnavailable)


def test_an_address_that_mlflow_does_not_know():
    with pytest.raises(RegistryError, match="gopher://somewhere"):
        Registry(IMPATIENT, "gopher://somewhere").champion()


def test_mlflow_is_kept_from_reporting_home(monkeypatch, uri):
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    Registry(RegistrySettings(), uri)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_choice_of_the_operator_stays(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    Registry(RegistrySettings(), uri)
    assert os.environ["MLFLOW_LOGGING_LEVEL"] == "DEBUG"
