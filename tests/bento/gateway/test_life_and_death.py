"""Real servers: how they start, refuse, drain, lose a worker, and end."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from flows.contracts.release import PackagedBento
from flows.hosting.probing import ProbeFailed, wait_until_ready
from flows.hosting.processes import Server
from tests.bento.serving import free_port, serving, start

BODY = json.dumps({"query": "sort a list", "documents": ["numpy", "the cat"]}).encode()
SECRET = "a secret of thirty-two bytes or so"

pytestmark = pytest.mark.slow


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return when `condition` holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def post(server: Server) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/rerank", content=BODY, timeout=10, trust_env=False)


def worker_of(server: Server) -> psutil.Process:
    process = server.workers[0].find()
    assert process is not None
    return process


@pytest.fixture
def server(packaged: PackagedBento, tmp_path: Path) -> Iterator[Server]:
    with serving(packaged, tmp_path, drain_seconds=1) as server:
        yield server


def test_sigterm_serves_what_is_in_flight_and_refuses_the_rest(server: Server) -> None:
    head = f"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as early:
        early.sendall(head + BODY[:20])
        until(lambda: post(server).status_code == 200)  # the early one has been taken up before this one
        leader = server.leader.find()
        assert leader is not None
        leader.terminate()
        until(lambda: post(server).status_code == 503)
        late = post(server)
        assert late.json()["error"]["type"] == "unavailable"
        assert late.headers["connection"] == "close"
        assert not ready(server)
        early.sendall(BODY[20:])
        answer = early.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200 ")
    assert leader.wait(20) is not None


def test_an_idle_connection_outlives_a_balancers_pause(server: Server) -> None:
    def ask(connection: socket.socket) -> bytes:
        connection.settimeout(10)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # head and body may come apart
            answer += connection.recv(65_536)
        return answer

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as idle:
        assert ask(idle).startswith(b"HTTP/1.1 200 ")
        idle.settimeout(7)  # BentoML would close it after five seconds
        with pytest.raises(TimeoutError):
            idle.recv(1)
        assert ask(idle).startswith(b"HTTP/1.1 200 ")


def test_a_killed_worker_is_missed_and_replaced(packaged: PackagedBento, tmp_path: Path) -> None:
    with serving(packaged, tmp_path, workers=2) as server:
        until(lambda: ready(server))
        victim = worker_of(server)
        victim.kill()
        victim.wait(10)
        assert not ready(server)
        until(lambda: ready(server))
        assert post(server).status_code == 200


def test_metrics_add_up_over_the_workers(packaged: PackagedBento, tmp_path: Path) -> None:
    with serving(packaged, tmp_path, workers=2) as server:
        until(lambda: ready(server))
        for _ in range(40):
            assert post(server).status_code == 200
        counted = [
            float(line.rpartition(" ")[2])
            for line in httpx.get(f"{server.url}/metrics", trust_env=False).text.splitlines()
            if line.startswith("reranker_requests_total{") and 'route="/v1/rerank"' in line
        ]
        assert sum(counted) == 40


def test_a_model_whose_files_changed_is_never_ready(packaged: PackagedBento, tmp_path: Path) -> None:
    server = start(packaged, tmp_path, expected_digest="0" * 64)
    try:
        until(lambda: "initialized" in server.printed(), 60)
        until(lambda: _alive(server))
        assert not ready(server)
        assert post(server).status_code == 503
    finally:
        server.stop()


def _alive(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/livez", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_the_profile_aws_refuses_to_start_without_authentication(packaged: PackagedBento, tmp_path: Path) -> None:
    server = start(packaged, tmp_path, profile="aws")
    try:
        until(lambda: not server.running, 60)
        assert "RERANKER_SERVICE_AUTHENTICATION=jwt" in server.printed()
    finally:
        server.stop()


def test_with_authentication_nobody_else_is_served(packaged: PackagedBento, tmp_path: Path) -> None:
    import jwt

    claims = {"iss": "issuer", "aud": "reranker", "sub": "rag", "exp": int(time.time()) + 600}
    options = {"authentication": "jwt", "jwt_secret": SECRET, "jwt_issuer": "issuer", "jwt_audience": "reranker"}
    with serving(packaged, tmp_path, profile="aws", **options) as server:

        def call(path: str, scope: str | None, method: str = "POST") -> int:
            token = jwt.encode({**claims, "scope": scope}, SECRET, "HS256") if scope is not None else "nonsense"
            headers = {"authorization": f"Bearer {token}"}
            answer = httpx.request(method, server.url + path, content=BODY, headers=headers, trust_env=False)
            return answer.status_code

        assert post(server).status_code == 401
        assert call("/v1/rerank", None) == 401
        assert call("/v1/rerank", "other") == 403
        assert call("/v1/rerank", "rerank") == 200
        assert call("/v1/admin/drain", "rerank") == 403
        assert call("/v1/admin/drain", "rerank:admin") == 200
        assert call("/v1/rerank", "rerank") == 503
        assert call("/v1/admin/resume", "rerank:admin") == 200
        assert call("/v1/rerank", "rerank") == 200
        assert SECRET not in server.printed()


def test_in_a_container_the_server_ends_with_its_last_worker(packaged: PackagedBento, tmp_path: Path) -> None:
    """BentoML replaces no worker inside a container; then the container has to end, so that it is started again."""
    port = free_port()
    environment = {**os.environ, "BENTOML_HOME": str(packaged.store), "BENTOML_CONTAINERIZED": "true"}
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "bentoml", "serve", packaged.tag, "--host", "127.0.0.1", "--port", str(port)]
        leader = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}/readyz"

        def answers() -> bool:
            try:
                return httpx.get(url, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        until(answers)
        for worker in psutil.Process(leader.pid).children(recursive=True):
            worker.kill()
        assert leader.wait(30) is not None
    finally:
        if leader.poll() is None:
            leader.kill()
            leader.wait()


def test_a_server_that_cannot_start_says_why(packaged: PackagedBento, tmp_path: Path) -> None:
    server = start(packaged, tmp_path, model="no-such-model")
    try:
        with pytest.raises(ProbeFailed):
            wait_until_ready(server, 60)
    finally:
        server.stop()


def test_sigterm_to_an_idle_worker_ends_it_at_once(packaged: PackagedBento, tmp_path: Path) -> None:
    with serving(packaged, tmp_path, drain_seconds=0) as server:
        worker = worker_of(server)
        worker.terminate()
        until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 5)
