"""A machine of its own for the tests: real servers, a real worker, and settings that make the loop quick."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tiny_bert import save_bert

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Machine:
    """A home folder, free ports, and the commands that a user types."""

    home: Path
    environment: dict[str, str]

    def reranker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line `reranker`."""
        return self._run("deployments.command_line", *arguments, check=check)

    def run_deployment(self, name: str, *arguments: str) -> dict[str, Any]:
        """Type `prefect deployment run NAME --watch` and return the flow run that came of it."""
        self.start_deployment(name, "--watch", *arguments)
        return self.flow_runs(name.partition("/")[0])[0]

    def start_deployment(self, name: str, *arguments: str) -> None:
        """Type `prefect deployment run NAME`; with `--watch`, a run that fails is not an error here."""
        self._run("prefect", "deployment", "run", name, *arguments, check="--watch" not in arguments)

    def flow_runs(self, flow: str) -> list[dict[str, Any]]:
        """Return the runs of a flow that began, newest first."""
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}  # the schedules have made theirs ahead
        body = {"flows": {"name": {"any_": [flow]}}, "flow_runs": begun, "sort": "START_TIME_DESC"}
        found: list[dict[str, Any]] = self.ask_prefect("/flow_runs/filter", body)
        return found

    def announce(self, *occasions: str) -> None:
        """Emit these events as a flow does, all at once."""
        code = "from flows.orchestration.events import announce; import sys\n"
        code += "for occasion in sys.argv[1:]: announce(occasion, 'reranker.model.1', reason='a test')"
        self._run_python("-c", code, *occasions)

    def start_by_alarm(self) -> subprocess.Popen[str]:
        """Let the demo start the drift watch and wait for what the alarm starts; prints its flow run last."""
        code = "from rich.console import Console; from deployments.local.starting import start_by_alarm\n"
        code += "print(start_by_alarm(Console(), patience=60))"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def task_states(self, flow_run: str) -> dict[str, str]:
        """Return the state of every task of a run and of its subflows, by task name."""
        found = self.ask_prefect("/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
        states = {task["name"].rsplit("-", 1)[0]: task["state"]["name"] for task in found}
        body = {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run]}}}
        for child in self.ask_prefect("/flow_runs/filter", body):
            states |= self.task_states(child["id"])
        return states

    def ask_prefect(self, path: str, body: object) -> Any:
        """POST to Prefect's API."""
        url = f"http://127.0.0.1:{self.environment['RERANKER_SERVERS__PREFECT_PORT']}/api{path}"
        answer = httpx.post(url, json=body, timeout=30, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def ask_mlflow(self, path: str, **parameters: str) -> Any:
        """GET from MLflow's API."""
        url = f"http://127.0.0.1:{self.environment['RERANKER_SERVERS__MLFLOW_PORT']}/api/2.0/mlflow{path}"
        answer = httpx.get(url, params=parameters, timeout=30, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    @property
    def service(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self.environment['RERANKER_HOST__PORT']}"

    def _run(self, module: str, *arguments: str, check: bool) -> subprocess.CompletedProcess[str]:
        return self._run_python("-m", module, *arguments, check=check)

    def _run_python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Iterator[Machine]:
    """A machine on which nothing runs yet; whatever a test starts is stopped."""
    home = tmp_path_factory.mktemp("machine") / "state"
    prefect, mlflow, reports, service = _free_ports(4)
    environment = os.environ | {
        "RERANKER_HOME": str(home),
        "RERANKER_SERVERS__PREFECT_PORT": str(prefect),
        "RERANKER_SERVERS__MLFLOW_PORT": str(mlflow),
        "RERANKER_SERVERS__REPORTS_PORT": str(reports),
        "RERANKER_HOST__PORT": str(service),
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
        "RERANKER_TRAINING__BASE_MODEL": str(small_model),
        "RERANKER_TRAINING__EPOCHS": "12",
        "RERANKER_TRAINING__LEARNING_RATE": "2e-4",
        "RERANKER_TRAINING__MAX_LENGTH": "32",
        "COLUMNS": "200",
    }
    machine = Machine(home, environment)
    yield machine
    machine.reranker("stop")


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CrossEncoder of one layer, whose words are those of the pairs."""
    from tests.end_to_end.colours import WORDS

    return save_bert(tmp_path_factory.mktemp("small") / "model", WORDS, seed=3, width=64)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
