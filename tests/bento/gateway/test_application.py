"""The outermost application, in front of a stand-in for BentoML's and routes made here."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.administration import Administration
from bento.gateway.application import Gateway, Parts
from bento.gateway.crew import Crew
from bento.gateway.delegation import Delegation, has_missing_scores
from bento.gateway.doors import Doors
from bento.gateway.exchange import Reply, Request, Route
from bento.gateway.life import Life
from bento.telemetry import logs
from bento.telemetry.logs import RequestLog
from bento.telemetry.metrics import Metrics

SETTINGS = ServiceSettings(max_body_bytes=1_024)


async def _inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where BentoML's application does: lives, and answers /score with what it was sent."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive())["body"]
    status = int(body) if body.isdigit() else 200
    headers = [(b"content-type", b"application/json"), (b"server", b"inner")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class World:
    """An application and what it is made of."""

    def __init__(self, folder: Path, handle: Callable[[Request], Awaitable[Reply]]) -> None:
        self.registry = CollectorRegistry()
        self.fault: str | None = None
        self.life = Life(Crew(1, folder), 0, lambda: self.fault)
        routes = [Route("POST", "/v1/rerank", "rerank", handle), *Administration(self.life).routes()]
        delegated = [
            Delegation("POST", "/score", "rerank", failed=has_missing_scores),
            Delegation("GET", "/static/", "open"),
        ]
        metrics = Metrics("reranker:1", self.registry)
        parts = Parts(routes, delegated, self.life, Doors(SETTINGS), metrics, "1", RequestLog(), None)
        self.gateway = Gateway(_inner, SETTINGS, lambda: parts)

    @contextmanager
    def client(self) -> Iterator[TestClient]:
        with TestClient(self.gateway) as client:
            yield client

    @property
    def series(self) -> str:
        return generate_latest(self.registry).decode()


async def _echo(request: Request) -> Reply:
    return Reply(request.body)


def test_names_request_and_model(tmp_path: Path) -> None:
    with World(tmp_path, _echo).client() as client:
        given = client.post("/v1/rerank", content=b"1", headers={"x-request-id": "mine-7"})
        assert (given.content, given.headers["x-request-id"], given.headers["x-model-version"]) == (
            b"1",
            "mine-7",
            "1",
        )
        assert client.post("/v1/rerank", headers={"x-request-id": "no good"}).headers["x-request-id"] != "no good"


def test_what_nobody_answers_is_refused_and_adds_no_series(tmp_path: Path) -> None:
    world = World(tmp_path, _echo)
    with world.client() as client:
        client.get("/nothing")
        before = world.series.count("\n")
        for number in range(50):
            answer = client.get(f"/scan/{number}")
            assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")
        assert world.series.count("\n") == before
        assert 'route="unmatched"' in world.series
        wrong = client.get("/v1/rerank")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


def test_refuses_a_large_body(tmp_path: Path) -> None:
    with World(tmp_path, _echo).client() as client:
        answer = client.post("/v1/rerank", content=b"0" * 1_025)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a worker would write to its log."""
    logger = logging.getLogger("bentoml.reranker")
    handlers, propagate = logger.handlers, logger.propagate
    stream = io.StringIO()
    logs.install(stream)
    yield stream
    logger.handlers, logger.propagate = handlers, propagate


def test_a_failure_gives_no_text_away(tmp_path: Path, lines: io.StringIO) -> None:
    private = "words that nobody else should read"

    async def fail(request: Request) -> Reply:
        raise ValueError(private)

    with World(tmp_path, fail).client() as client:
        answer = client.post("/v1/rerank", headers={"x-request-id": "r-1"})
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "type": "internal_error",
        "message": "The service failed: report this request_id to its operator.",
        "request_id": "r-1",
    }
    assert "r-1" in lines.getvalue()
    assert "raise ValueError" in lines.getvalue(), "where it failed is told"
    assert private not in lines.getvalue() + answer.text


def test_passes_on_what_bentoml_answers_and_puts_its_refusals_in_our_shape(tmp_path: Path) -> None:
    with World(tmp_path, _echo).client() as client:
        passed = client.post("/score", content=b"[0.5]", headers={"content-type": "text/plain"})
        assert (passed.status_code, passed.json(), passed.headers.get("server")) == (200, [0.5], None)
        for status, kind in (
            (400, "invalid_request"),
            (429, "overloaded"),
            (503, "unavailable"),
            (418, "invalid_request"),
            (502, "internal_error"),
        ):
            answer = client.post("/score", content=str(status).encode())
            assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
        assert client.post("/score", content=b"[0.5, null]").status_code == 500
        assert client.get("/static/page.css").status_code == 200


def test_refuses_words_while_draining_and_answers_again_after(tmp_path: Path) -> None:
    world = World(tmp_path, _echo)
    with world.client() as client:
        assert client.get("/readyz").status_code == 200
        world.life.drain(True)
        refused = client.post("/v1/rerank")
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert [client.get(path).status_code for path in ("/livez", "/healthz", "/readyz")] == [200, 200, 503]
        world.life.drain(False)
        assert client.post("/v1/rerank").status_code == 200


def test_a_faulty_worker_scores_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, _echo)
    with world.client() as client:
        world.fault = "The model's digest does not match"
        assert client.get("/readyz").json()["error"]["message"].startswith("The model's digest does not match")
        assert client.post("/v1/rerank").status_code == 503


def test_the_administration_is_closed_without_authentication(tmp_path: Path) -> None:
    with World(tmp_path, _echo).client() as client:
        answer = client.post("/v1/admin/drain")
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden")
        assert client.get("/readyz").status_code == 200


def test_work_for_a_sender_that_hung_up_is_cancelled(tmp_path: Path) -> None:
    """Driven by hand, since no client of the test kit hangs up."""
    ended = asyncio.Event()

    async def endless(request: Request) -> Reply:
        try:
            await asyncio.Future()
        finally:
            ended.set()
        raise AssertionError("never reached")

    async def play() -> list[Message]:
        world = World(tmp_path, endless)
        lived: asyncio.Queue[Message] = asyncio.Queue()
        started = asyncio.Event()

        async def living(message: Message) -> None:
            started.set()

        lived.put_nowait({"type": "lifespan.startup"})
        life = asyncio.create_task(world.gateway({"type": "lifespan"}, lived.get, living))
        await started.wait()
        arriving: list[Message] = [
            {"type": "http.disconnect"},
            {"type": "http.request", "body": b"", "more_body": False},
        ]
        sent: list[Message] = []

        async def receive() -> Message:
            return arriving.pop()

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/rerank", "headers": []}
        await asyncio.wait_for(world.gateway(scope, receive, send), 10)
        assert world.life.load.requests == 0
        lived.put_nowait({"type": "lifespan.shutdown"})
        await life
        return sent

    assert asyncio.run(play()) == []
    assert ended.is_set()


def test_a_refusal_says_its_headers(tmp_path: Path) -> None:
    async def busy(request: Request) -> Reply:
        raise RefusedError(429, "overloaded", "Later.", {"retry-after": "7"})

    world = World(tmp_path, busy)
    with world.client() as client:
        answer = client.post("/v1/rerank")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert 'reranker_refusals_total{reason="overloaded"} 1.0' in world.series
