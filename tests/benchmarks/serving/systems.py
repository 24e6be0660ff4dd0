"""The servers that are measured, as their users start them."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from flows.contracts.release import PackagedBento
from flows.hosting.probing import wait_until_ready
from flows.hosting.processes import Server
from tests.benchmarks.serving.load import Target

INFINITY_SECONDS = 120.0
"""Until it has loaded and warmed up."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"}


@dataclass(frozen=True)
class System:
    """A server that runs."""

    name: str
    target: Target
    pid: int

    def resident(self) -> dict[int, int]:
        """Return the resident bytes of its processes, the first one's first."""
        leader = psutil.Process(self.pid)
        return {process.pid: process.memory_info().rss for process in (leader, *leader.children(recursive=True))}


@contextmanager
def service(bento: PackagedBento, folder: Path, options: Mapping[str, str]) -> Iterator[System]:
    """Serve the Bento with `bentoml serve`; it is ready."""
    port = _free_port()
    server = Server.start(bento, "127.0.0.1", port, folder / "service.log", options)
    try:
        wait_until_ready(server, 60)
        yield System("service", Target(port, "/v1/rerank"), server.leader.pid)
    finally:
        server.stop()


def seconds_until_ready(bento: PackagedBento, folder: Path, options: Mapping[str, str]) -> float:
    """Start the service, and stop it again; return the seconds between its start and its first 200 on /readyz."""
    port = _free_port()
    start = time.perf_counter()
    server = Server.start(bento, "127.0.0.1", port, folder / "start.log", options)
    try:
        _wait(f"http://127.0.0.1:{port}/readyz", 60)
        return time.perf_counter() - start
    finally:
        server.stop()


@contextmanager
def infinity(environment: Path, name: str, model: Path, engine: str, folder: Path) -> Iterator[System]:
    """Serve `model` with Infinity's defaults, on the CPU, without its line in the log for each request."""
    port = _free_port()
    command = [str(environment / "bin" / "infinity_emb"), "v2", "--model-id", str(model), "--engine", engine]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **OFFLINE}, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{port}/health", INFINITY_SECONDS, process, folder / f"{name}.log")
        yield System(name, Target(port, "/rerank"), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(url: str, seconds: float, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
    until = time.monotonic() + seconds
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < until:
            if process is not None and process.poll() is not None:
                break
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            time.sleep(0.01)
    said = "" if log is None else "; it said:\n" + log.read_text("utf-8", "replace")[-2_000:]
    raise RuntimeError(f"{url} was not there after {seconds:g} s{said}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
