"""Processes are known again, and only ours are ended."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deployments.local.interruption import Interruption
from deployments.local.processes import MARKER, ProcessRecord, end, family, marked, spawn, tail
from deployments.local.stack import PortInUse, Stack
from flows.settings import Settings

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


@pytest.fixture
def stranger() -> Iterator[psutil.Popen]:
    with psutil.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def record(process: psutil.Process, home: Path, **changes: object) -> ProcessRecord:
    values = {"pid": process.pid, "created": process.create_time(), "home": home, "port": None, "fingerprint": "x"}
    return ProcessRecord.model_validate(values | changes)


def note(settings: Settings, name: str, noted: ProcessRecord) -> None:
    settings.file("run", f"{name}.json").write_text(noted.model_dump_json(), "utf-8")


def test_a_record_finds_its_process_until_it_has_ended(stranger: psutil.Popen, tmp_path: Path) -> None:
    noted = record(stranger, tmp_path)
    found = noted.process()
    assert found is not None
    assert found.pid == stranger.pid
    stranger.kill()
    os.waitid(os.P_PID, stranger.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet collected: a zombie
    assert noted.process() is None


def test_stop_spares_a_stranger_with_a_recycled_pid(stranger: psutil.Popen, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    note(settings, "worker", record(stranger, tmp_path, created=stranger.create_time() - 3600))
    assert Stack(settings).stop() == 0
    assert stranger.is_running()
    assert not settings.file("run", "worker.json").exists()


def test_stop_in_a_copied_folder_spares_the_original(stranger: psutil.Popen, tmp_path: Path) -> None:
    copy = Settings(home=tmp_path / "copy")
    note(copy, "prefect", record(stranger, tmp_path / "original"))
    assert Stack(copy).stop() == 0
    assert stranger.is_running()


def test_stop_survives_a_record_cut_short(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.file("run", "mlflow.json").write_text('{"pid": 1', "utf-8")
    assert Stack(settings).stop() == 0


def test_stop_finds_what_lost_its_parent_by_the_inherited_marker(stranger: psutil.Popen, tmp_path: Path) -> None:
    orphan = psutil.Popen(
        SLEEP, env={**os.environ, MARKER: str(tmp_path)}, stdout=subprocess.PIPE, start_new_session=True
    )
    orphan.stdout.readline()
    assert [process.pid for process in marked(tmp_path)] == [orphan.pid]
    assert Stack(Settings(home=tmp_path)).stop() == 1
    assert not psutil.pid_exists(orphan.pid)
    assert stranger.is_running()
    orphan.stdout.close()


def test_end_kills_what_ignores_the_request() -> None:
    with psutil.Popen(STUBBORN, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        end(family(process), patience=0.2)
        assert process.wait() == -signal.SIGKILL


def test_spawn_keeps_the_log_before(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    for word in ("first", "second"):
        spawn([sys.executable, "-c", f"print('{word}')"], environment=os.environ, folder=tmp_path, log=log).wait()
    assert tail(log) == "    second"
    assert tail(tmp_path / "server.log.1") == "    first"
    assert tail(tmp_path / "none.log") == "    (empty)"


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(home=tmp_path, servers={"mlflow_port": port})
        with pytest.raises(PortInUse, match=rf"Port {port}.*RERANKER_SERVERS__MLFLOW_PORT"):
            Stack(settings).start()
    assert marked(settings.folder()) == []


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_an_interruption_waits_until_it_is_asked_for(number: signal.Signals, raised: type[BaseException]) -> None:
    before, reached = signal.getsignal(number), []

    def interrupted() -> None:
        with Interruption() as interruption:
            os.kill(os.getpid(), number)
            reached.append("the end of the step")
            interruption.check()
            reached.append("the next step")

    with pytest.raises(raised):
        interrupted()
    assert reached == ["the end of the step"]
    assert signal.getsignal(number) == before
