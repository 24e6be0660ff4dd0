"""What the local stack consists of: how each part is started and how it shows that it works."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from deployments.local.environment import prefect_environment, stack_environment
from deployments.local.processes import ProcessRecord
from flows.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
"""The repository: flows are found relative to it."""

WORKER_NAME = "local"
_STALE_SECONDS = 60  # six missed heartbeats: training leaves the worker little time


@dataclass(frozen=True)
class Service:
    """One process of the stack."""

    name: str
    title: str
    command: tuple[str, ...]
    folder: Path
    healthy: Callable[[ProcessRecord], bool]
    """Whether the recorded process does its work, asked from outside."""
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    after: str | None = None
    """Name of the service that has to be healthy before this one starts."""

    @property
    def url(self) -> str:
        """Where it answers; empty for one that listens nowhere."""
        return f"http://127.0.0.1:{self.port}" if self.port else ""

    @property
    def fingerprint(self) -> str:
        """Digest of everything that makes this process what it is."""
        return hashlib.sha256(json.dumps([self.command, dict(self.environment)], sort_keys=True).encode()).hexdigest()


def services(settings: Settings, ports: Mapping[str, int]) -> list[Service]:
    """Return the parts of the stack in the order in which they start, on the given ports."""
    return [
        _prefect(settings, ports["prefect"]),
        _mlflow(settings, ports["mlflow"]),
        _reports(settings, ports["reports"]),
        _worker(settings, ports),
    ]


def _prefect(settings: Settings, port: int) -> Service:
    return Service(
        name="prefect",
        title="Prefect server",
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)),
        folder=settings.folder("prefect"),
        environment=prefect_environment(settings, port),
        port=port,
        healthy=lambda _: _answers(f"http://127.0.0.1:{port}/api/health"),
    )


def _mlflow(settings: Settings, port: int) -> Service:
    folder = settings.folder("mlflow")
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
        "--backend-store-uri": f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination": (folder / "artifacts").as_uri(),
    }
    return Service(
        name="mlflow",
        title="MLflow server",
        command=(sys.executable, "-m", "mlflow", "server", *(part for pair in options.items() for part in pair)),
        folder=folder,
        # Its job runner scores traces of language models: seven more processes, half a gigabyte, no use here.
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        port=port,
        healthy=lambda _: _answers(f"http://127.0.0.1:{port}/health"),
    )


def _reports(settings: Settings, port: int) -> Service:
    folder = settings.folder("reports")
    return Service(
        name="reports",
        title="Reports",
        command=(sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)),
        folder=folder,
        port=port,
        healthy=lambda _: _answers(f"http://127.0.0.1:{port}/"),
    )


def _worker(settings: Settings, ports: Mapping[str, int]) -> Service:
    pool = settings.servers.work_pool
    workers = f"http://127.0.0.1:{ports['prefect']}/api/work_pools/{pool}/workers/filter"
    return Service(
        name="worker",
        title="Prefect worker",
        command=(
            *(sys.executable, "-m", "prefect", "worker", "start"),
            *("--name", WORKER_NAME, "--pool", pool, "--type", "process", "--install-policy", "never"),
        ),
        folder=ROOT,
        environment=stack_environment(settings, ports),
        after="prefect",
        healthy=lambda record: _polls(workers, record),
    )


def _answers(url: str) -> bool:
    """Whether a GET succeeds; proxies of the environment are for other machines."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _polls(workers: str, record: ProcessRecord) -> bool:
    """Whether Prefect has had a heartbeat of the worker lately, and since this process was born."""
    try:
        answer = httpx.post(workers, json={}, timeout=5, trust_env=False)
    except httpx.TransportError:
        return False
    if answer.status_code == httpx.codes.NOT_FOUND:  # the worker makes its pool first
        return False
    answer.raise_for_status()
    beats = [
        datetime.fromisoformat(worker["last_heartbeat_time"]).timestamp()
        for worker in answer.json()
        if worker["name"] == WORKER_NAME and worker["last_heartbeat_time"]
    ]
    return any(beat >= record.created and beat > time.time() - _STALE_SECONDS for beat in beats)
