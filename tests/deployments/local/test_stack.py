"""The real stack: servers and worker on free ports, brought up once for all of these tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.local.processes import MARKER, marked
from deployments.local.registration import register_deployments
from deployments.local.stack import Stack, StackFailed
from flows.settings import Settings

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[3]
START = """
import sys
from pathlib import Path
from deployments.local.stack import Stack
from flows.settings import Settings

servers = {"prefect_port": int(sys.argv[2]), "mlflow_port": int(sys.argv[3]), "reports_port": int(sys.argv[4])}
Stack(Settings(home=Path(sys.argv[1]), servers=servers)).start(lambda line: print(line, flush=True))
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_elsewhere(settings: Settings, *ports: int) -> subprocess.Popen[str]:
    """Run `start` in a process of its own, as a second terminal would."""
    command = [sys.executable, "-c", START, str(settings.folder()), *map(str, ports)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def count_scheduled(api: httpx.Client) -> int:
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    return int(api.post("/flow_runs/count", json=scheduled).raise_for_status().text)


def pids(stack: Stack) -> dict[str, int | None]:
    return {each.name: each.pid for each in stack.status() if each.state == "running"}


@pytest.fixture(scope="module")
def default_mlflow_port() -> Iterator[int]:
    """MLflow's port of the settings, in use by another program: by ours, if by no other."""
    port = Settings.model_fields["servers"].default.mlflow_port
    with socket.socket() as listener, suppress(OSError):
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield port
        return
    yield port


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    prefect, reports = free_ports(2)
    home = tmp_path_factory.mktemp("stack") / "home with a space"
    return Settings(home=home, servers={"prefect_port": prefect, "reports_port": reports})


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def running(settings: Settings, default_mlflow_port: int, lines: list[str]) -> Iterator[Stack]:
    stack = Stack(settings)
    stack.start(lines.append)
    yield stack
    stack.stop()


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack, brought up again where a test before took something away."""
    running.start()
    return running


def test_every_part_works(stack: Stack, settings: Settings) -> None:
    (settings.folder("reports") / "drift.html").write_text("<p>quiet</p>", "utf-8")
    environment = stack.environment()
    mlflow = environment["MLFLOW_TRACKING_URI"]
    made = httpx.post(f"{mlflow}/api/2.0/mlflow/experiments/create", json={"name": "through the api"})
    assert made.raise_for_status().json()["experiment_id"]
    uploaded = httpx.put(f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/1/note.txt", content=b"kept")
    assert uploaded.is_success
    assert (settings.folder("mlflow", "artifacts") / "1" / "note.txt").read_bytes() == b"kept"
    assert "<title>" in httpx.get(f"{mlflow}/").text
    assert "<title>" in httpx.get(environment["PREFECT_API_URL"].removesuffix("/api")).text
    assert httpx.get(settings.report_url(settings.folder("reports") / "drift.html")).text == "<p>quiet</p>"
    pool = httpx.get(f"{environment['PREFECT_API_URL']}/work_pools/local").json()
    assert (pool["type"], pool["status"]) == ("process", "READY")


def test_a_default_port_in_use_is_replaced_and_everyone_agrees_on_it(
    stack: Stack, default_mlflow_port: int, lines: list[str]
) -> None:
    port = stack.ports()["mlflow"]
    assert port != default_mlflow_port
    assert (
        f"Port {default_mlflow_port} is in use: mlflow takes {port} (choose with RERANKER_SERVERS__MLFLOW_PORT)"
        in lines
    )
    assert stack.environment()["MLFLOW_TRACKING_URI"].endswith(f":{port}")
    assert stack.settings.servers.mlflow_port == port


def test_all_listen_on_loopback_alone(stack: Stack, settings: Settings) -> None:
    listening = [
        connection.laddr.ip
        for process in marked(settings.folder())
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


def test_a_second_start_finds_everything_running(stack: Stack) -> None:
    before, since = pids(stack), time.monotonic()
    stack.start()
    assert time.monotonic() - since < 15
    assert pids(stack) == before
    assert len(before) == 4


def test_a_killed_worker_comes_back_and_the_servers_stay(stack: Stack) -> None:
    before = pids(stack)
    os.kill(before["worker"] or 0, signal.SIGKILL)
    stack.start()
    after = pids(stack)
    assert after.pop("worker") != before.pop("worker")
    assert after == before


def test_two_starts_at_once_double_nothing(stack: Stack, settings: Settings) -> None:
    reports = pids(stack)["reports"] or 0
    os.kill(reports, signal.SIGKILL)
    ports = [stack.ports()[name] for name in ("prefect", "mlflow", "reports")]
    both = [start_elsewhere(settings, *ports) for _ in range(2)]
    printed = [each.communicate(timeout=90)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], printed
    starts = [line for line in "".join(printed).splitlines() if line.endswith("starts ...")]
    assert starts == ["Reports starts ..."]
    assert len([each for each in marked(settings.folder()) if "http.server" in each.cmdline()]) == 1


def test_flow_runs_get_the_settings_and_registration_is_done_once(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "tell.py").write_text(
        "import os\nfrom pathlib import Path\nfrom prefect import flow\n"
        "@flow\ndef tell(path: str):\n    Path(path).write_text(os.environ['RERANKER_HOME'])\n",
        "utf-8",
    )
    (tmp_path / "prefect.yaml").write_text(
        "name: test\ndeployments:\n- name: local\n  entrypoint: flows/tell.py:tell\n  work_pool: {name: local}\n"
        "  schedules:\n  - {cron: '0 0 1 1 *', timezone: UTC}\n"
        f"  pull:\n  - prefect.deployments.steps.set_working_directory: {{directory: '{tmp_path}'}}\n",
        "utf-8",
    )
    said: list[str] = []
    for _ in range(2):
        register_deployments(settings, stack.environment(), said.append, root=tmp_path)
    assert said[1:] == ["Deployments registered: 1", "Deployments are registered as they are"]

    with httpx.Client(base_url=stack.environment()["PREFECT_API_URL"], trust_env=False) as api:
        deployment = api.get("/deployments/name/tell/local").raise_for_status().json()
        made = api.post(
            f"/deployments/{deployment['id']}/create_flow_run", json={"parameters": {"path": str(tmp_path / "told")}}
        )
        run, until = made.raise_for_status().json(), time.monotonic() + 60
        while run["state_type"] not in ("COMPLETED", "FAILED", "CRASHED") and time.monotonic() < until:
            time.sleep(0.2)
            run = api.get(f"/flow_runs/{run['id']}").json()
        while not (scheduled := count_scheduled(api)) and time.monotonic() < until:
            time.sleep(0.2)
        automations = api.post("/automations/filter", json={}).json()
    assert run["state_type"] == "COMPLETED"
    assert (tmp_path / "told").read_text("utf-8") == str(settings.folder())
    assert len(automations) == 1
    assert scheduled, "the server's scheduler makes no runs: it needs sqlalchemy<2.1"


def test_stop_leaves_nothing_of_ours_and_everything_else(stack: Stack, settings: Settings) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    served = psutil.Popen(sleep, env={**os.environ, MARKER: str(settings.folder())}, start_new_session=True)
    stranger = psutil.Popen(sleep)
    assert stack.stop() >= 5
    assert marked(settings.folder()) == []
    assert [each.state for each in stack.status()] == ["stopped"] * 4
    assert not served.is_running()
    assert stranger.is_running()
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    settings = Settings(home=tmp_path)
    with start_elsewhere(settings, *free_ports(3)) as starting:
        assert starting.stdout is not None
        while "MLflow server starts" not in starting.stdout.readline():
            assert starting.poll() is None
        while not marked(tmp_path):  # the line comes before the process does
            assert starting.poll() is None
        starting.send_signal(number)
        starting.communicate(timeout=60)
        assert starting.returncode not in (0, None)
    assert marked(tmp_path) == []
    assert not list(settings.folder("run").glob("*.json"))


def test_a_server_that_fails_is_told_with_its_log_and_leaves_nothing_running(tmp_path: Path) -> None:
    prefect, mlflow, reports = free_ports(3)
    servers = {"prefect_port": prefect, "mlflow_port": mlflow, "reports_port": reports}
    settings = Settings(home=tmp_path, servers=servers)
    settings.file("mlflow", "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(
        StackFailed, match=r"(?s)MLflow server .*mlflow\.log.*file is not a database.*Nothing is left"
    ):
        Stack(settings).start()
    assert marked(settings.folder()) == []
