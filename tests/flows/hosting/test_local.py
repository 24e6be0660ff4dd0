"""Roll-outs of real servers: forward, refused, reverted, interrupted."""

import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import bentoml
import httpx
import psutil
import pytest

from flows.contracts.release import PackagedBento
from flows.hosting import HostBusy, LocalProcessHost, PortTaken, ReleaseRefused, ReleaseReverted
from flows.hosting.processes import Server
from flows.packaging import build_bento
from flows.settings import HostSettings, PackagingSettings
from tests.bento.tiny_model import exported, exported_as, version


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serving(host: LocalProcessHost) -> str:
    answer = httpx.post(
        f"{host.url}/v1/rerank", json={"query": "sort", "documents": ["a list", "the cat"]}, timeout=30
    )
    assert answer.status_code == 200
    return answer.headers["x-model-version"]


def server_processes(bento: PackagedBento) -> list[psutil.Process]:
    """What serves `bento` from its store; other tests may serve a release of the same name from another."""

    def serves(process: psutil.Process) -> bool:
        try:
            return bento.tag in process.cmdline() and process.environ().get("BENTOML_HOME") == str(bento.store)
        except psutil.Error:  # it has ended meanwhile
            return False

    return [process for process in psutil.process_iter() if serves(process)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def one(store: Path) -> PackagedBento:
    return build_bento(exported(), version(1), PackagingSettings(), store)


@pytest.fixture(scope="module")
def two(store: Path, tmp_path_factory: pytest.TempPathFactory) -> PackagedBento:
    model = exported_as(2, tmp_path_factory.mktemp("two") / "export")
    return build_bento(model, version(2), PackagingSettings(), store)


@pytest.fixture
def host(tmp_path: Path):
    settings = HostSettings(port=free_port(), prediction_share=0.5)
    host = LocalProcessHost(settings, tmp_path / "host", tmp_path / "predictions")
    yield host
    host.stop()


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path, one: PackagedBento) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        host = LocalProcessHost(HostSettings(port=other.getsockname()[1]), tmp_path)
        with pytest.raises(PortTaken, match="RERANKER_HOST__PORT"):
            host.roll_out(one, one.checks)
    assert host.record.read() == []


def test_two_roll_outs_never_work_at_once(tmp_path: Path, one: PackagedBento) -> None:
    host = LocalProcessHost(HostSettings(port=free_port()), tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HostBusy, match="wait until it ends"):
            host.roll_out(one, one.checks)


@pytest.mark.slow
def test_releases_follow_each_other_and_a_wrong_one_gets_no_traffic(
    host: LocalProcessHost, one: PackagedBento, two: PackagedBento
) -> None:
    first = host.roll_out(one, one.checks, approved_by="gate")
    assert (first.outcome, serving(host)) == ("live", "1")
    assert host.roll_out(one, one.checks) == first, "what is live already is left alone"

    wrong = [check.model_copy(update={"score": 1 - check.score}) for check in two.checks]
    with pytest.raises(ReleaseRefused, match=rf"scores check 0 as[\s\S]*{one.tag} serves"):
        host.roll_out(two, wrong)
    assert (serving(host), host.current()) == ("1", first)

    second = host.roll_out(two, two.checks)
    assert (serving(host), host.current()) == ("2", second)
    assert second.seconds_without_service > 0
    assert server_processes(one) == [], "nothing of the old release is left"
    environment = server_processes(two)[0].environ()
    assert environment["RERANKER_SERVICE_PREDICTION_LOG"].endswith("/predictions")
    assert environment["RERANKER_SERVICE_PREDICTION_SHARE"] == "0.5"
    with bentoml.SyncHTTPClient(host.url) as client:
        scores = client.score(pairs=[{"query": check.query, "document": check.document} for check in two.checks])
    assert scores == pytest.approx([check.score for check in two.checks], abs=1e-3)

    host.stop()
    assert host.current() is None
    assert server_processes(two) == []
    assert [entry.outcome for entry in host.record.read()] == ["live", "refused", "live"]


@pytest.mark.slow
def test_a_release_that_cannot_start_is_refused_at_once(
    host: LocalProcessHost, store: Path, one: PackagedBento, tmp_path: Path
) -> None:
    broken = shutil.copytree(store, tmp_path / "broken-store")
    name, _, tag = one.model_tag.partition(":")
    (broken / "models" / name / tag / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ReleaseRefused, match=r"failed while starting[\s\S]*Nothing served before"):
        host.roll_out(one.model_copy(update={"store": broken}), one.checks)
    assert server_processes(one) == []


@pytest.mark.slow
def test_a_release_that_fails_with_the_traffic_gives_it_back(
    host: LocalProcessHost, one: PackagedBento, two: PackagedBento, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second release works beside the first, and is made to fail on the service's own port."""
    host.roll_out(one, one.checks)
    start = Server.start

    def fail_on_the_port(bento: PackagedBento, address: str, port: int, log: Path, options: dict[str, str]) -> Server:
        wrong = (
            {"RERANKER_SERVICE_MODEL": "reranker:missing"} if bento == two and host.url.endswith(f":{port}") else {}
        )
        return start(bento, address, port, log, {**options, **wrong})

    monkeypatch.setattr(Server, "start", fail_on_the_port)
    with pytest.raises(ReleaseReverted, match=f"{one.tag} serves"):
        host.roll_out(two, two.checks)
    assert serving(host) == "1"
    assert [entry.outcome for entry in host.record.read()] == ["live", "reverted"]


_ROLL_OUT = """
import sys
from pathlib import Path
from flows.contracts.release import PackagedBento
from flows.hosting import LocalProcessHost
from flows.settings import HostSettings
bento = PackagedBento.model_validate_json(sys.argv[1])
host = LocalProcessHost(HostSettings(port=int(sys.argv[2])), Path(sys.argv[3]))
host.roll_out(bento, bento.checks, progress=lambda step: print(step, flush=True))
"""


@pytest.mark.slow
def test_what_a_killed_roll_out_left_is_ended_by_the_next(
    host: LocalProcessHost, tmp_path: Path, one: PackagedBento
) -> None:
    """Killed as soon as its green is written down; the green outlives it, and is found and ended."""
    port = host.url.rpartition(":")[2]
    command = [sys.executable, "-c", _ROLL_OUT, one.model_dump_json(), port, str(tmp_path / "host")]
    written = tmp_path / "host" / "servers.json"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as roll_out:
        while not written.exists():
            assert roll_out.poll() is None
        roll_out.send_signal(signal.SIGKILL)
    green = Server.model_validate(json.loads(written.read_text())["green"])
    assert green.running
    assert host.current() is None

    with socket.socket() as other:  # nothing more is started, so that this looks at the repair alone
        other.bind(("127.0.0.1", int(port)))
        other.listen()
        with pytest.raises(PortTaken):
            host.roll_out(one, one.checks)
    assert not green.running
    assert server_processes(one) == []
