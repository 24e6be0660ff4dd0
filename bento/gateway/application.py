"""The outermost ASGI application: every request passes here before a route of ours or BentoML sees it.

BentoML's own stack of middleware costs more than a small model does, puts the path of each request into a metric's
label and answers in shapes of its own. So our routes are answered here, and BentoML gets what is left: its batchable
method, its documentation, and the life of the service.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.configuration import ServiceSettings
from bento.errors import Error, ErrorResponse, RefusedError
from bento.gateway.body import read_body
from bento.gateway.delegation import Delegation
from bento.gateway.doors import ANONYMOUS, Doors
from bento.gateway.exchange import Reply, Request, Route
from bento.gateway.keep_alive import keep_alive
from bento.gateway.life import Life
from bento.telemetry.logs import RequestLog
from bento.telemetry.metrics import Metrics
from bento.telemetry.tracing import Tracer

UNMATCHED = "unmatched"
"""The template of every path that no route has, so that no scan of addresses adds a series to the metrics."""

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_WATCH_AFTER = 0.005
"""Seconds until somebody looks whether the sender hung up; most answers are quicker and are spared the task."""


@dataclass(frozen=True)
class Parts:
    """What the application needs once the model is loaded."""

    routes: Iterable[Route]
    delegated: Iterable[Delegation]
    life: Life
    doors: Doors
    metrics: Metrics
    model_version: str
    log: RequestLog
    tracer: Tracer | None


class Gateway:
    """Names, admits, routes and answers every request."""

    def __init__(self, bentoml_app: ASGIApp, settings: ServiceSettings, parts: Callable[[], Parts]) -> None:
        """`parts` is asked once, when BentoML has made the service."""
        self._bentoml = bentoml_app
        self._settings = settings
        self._make_parts = parts
        self._ids: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or live through the service's life."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_after(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._parts = parts = self._make_parts()
                self._routes: dict[tuple[str, str], Route] = {
                    (route.method, route.path): route for route in parts.routes
                }
                self._paths = {route.path: route.method for route in parts.routes}
                self._delegated = tuple(parts.delegated)
                parts.life.begin()
            elif message["type"] == "lifespan.shutdown.complete":
                await self._parts.life.end()
            await send(message)

        keep_alive(receive, self._settings.keep_alive, self._settings.timeout + 5)
        await self._bentoml(scope, receive, send_after)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        visit = self._receive(scope)
        parts, template = self._parts, UNMATCHED if visit.route is None else visit.route.path
        parts.life.load.requests += 1
        try:
            if parts.tracer is None:
                reply = await self._reply(visit, receive)
            else:
                with parts.tracer.request(template, visit.headers, visit.method, visit.id) as span:
                    reply = await self._reply(visit, receive)
                    span.answered(reply.status)
        except _HungUp:
            return  # nobody would read an answer
        finally:
            parts.life.load.requests -= 1
        seconds = time.perf_counter() - began
        parts.metrics.answered(template, reply.status, seconds)
        parts.log.answered(visit.id, template, reply.status, seconds, visit.subject, visit.failure)
        await self._send(send, reply, visit)

    def _new_id(self) -> str:
        """Return an id that no other request has and nobody can guess: feedback goes by it."""
        if not self._ids:
            drawn = os.urandom(16 * 256).hex()  # at once, since asking the system costs more than all the rest
            self._ids = [drawn[start : start + 32] for start in range(0, len(drawn), 32)]
        return self._ids.pop()

    def _receive(self, scope: Scope) -> "_Visit":
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else self._new_id()
        return _Visit(scope, headers, request_id, self._route(scope["method"], scope["path"]))

    async def _reply(self, visit: "_Visit", receive: Receive) -> Reply:
        """Return the answer, or the refusal in its shape."""
        try:
            return await self._handle(visit, receive)
        except RefusedError as refusal:
            self._parts.metrics.refused(refusal.kind)
            return refused(refusal, visit.id)
        except _HungUp:
            raise
        except Exception as failure:  # noqa: BLE001 - the last door: every request gets an answer
            visit.failure = failure
            self._parts.metrics.refused("internal_error")
            message = "The service failed: report this request_id to its operator."
            return refused(RefusedError(500, "internal_error", message), visit.id)

    def _route(self, method: str, path: str) -> Route | Delegation | None:
        route = self._routes.get((method if method != "HEAD" else "GET", path))
        if route is not None:
            return route
        return next((delegation for delegation in self._delegated if delegation.matches(method, path)), None)

    async def _handle(self, visit: "_Visit", receive: Receive) -> Reply:
        route = visit.route
        if route is None:
            raise self._nothing_there(visit.method, visit.path)
        if route.access == "rerank" and (reason := self._parts.life.refusal()):
            advice = f"{reason}: send the request to another host, or again in a second."
            raise RefusedError(503, "unavailable", advice, {"retry-after": "1", "connection": "close"})
        visit.subject = await self._parts.doors.admit(route.access, visit.headers.get("authorization"))
        body = b""
        if visit.method == "POST":
            settings, declared = self._settings, visit.headers.get("content-length")
            body = await read_body(receive, declared, settings.max_body_bytes, settings.max_body_seconds)
        deadline = time.monotonic() + self._settings.timeout
        request = Request(visit.id, visit.path, body, visit.headers, visit.subject, deadline)
        if isinstance(route, Delegation):
            return await _while_listening(route.pass_on(self._bentoml, visit.scope, request), receive)
        return await _while_listening(route.handle(request), receive)

    def _nothing_there(self, method: str, path: str) -> RefusedError:
        allowed = self._paths.get(path) or next((d.method for d in self._delegated if d.path == path), None)
        if allowed is not None:
            return RefusedError(405, "method_not_allowed", f"Send a {allowed} to {path}.", {"allow": allowed})
        return RefusedError(404, "not_found", "Nothing answers at this path: GET / shows what there is.")

    async def _send(self, send: Send, reply: Reply, visit: "_Visit") -> None:
        headers = [
            (b"content-type", reply.media_type.encode("latin-1")),
            (b"content-length", str(len(reply.body)).encode("latin-1")),
            (b"x-request-id", visit.id.encode("latin-1")),
            (b"x-model-version", self._parts.model_version.encode("latin-1")),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if visit.method == "HEAD" else reply.body})


@dataclass(slots=True)
class _Visit:
    """One request on its way through the gateway."""

    scope: Scope
    headers: dict[str, str]
    id: str
    route: Route | Delegation | None
    subject: str = ANONYMOUS
    failure: Exception | None = None

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path


class _HungUp(Exception):
    """The sender is gone."""


async def _while_listening(work: Awaitable[Reply], receive: Receive) -> Reply:
    """Return what `work` gives; cancel it and raise _HungUp when the sender hangs up meanwhile."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    watching: list[asyncio.Task[None]] = []
    hung_up = False

    async def watch() -> None:
        nonlocal hung_up
        while (await receive())["type"] != "http.disconnect":
            pass
        hung_up = True
        task.cancel()

    timer = loop.call_later(_WATCH_AFTER, lambda: watching.append(loop.create_task(watch())))
    try:
        return await work
    except asyncio.CancelledError:
        if not hung_up:
            raise
        task.uncancel()
        raise _HungUp from None
    finally:
        timer.cancel()
        for watcher in watching:
            watcher.cancel()


def refused(refusal: RefusedError, request_id: str) -> Reply:
    """Return the reply that says why."""
    error = Error(type=refusal.kind, message=refusal.message, request_id=request_id)
    body = json.dumps(ErrorResponse(error=error).model_dump()).encode()
    return Reply(body, HTTPStatus(refusal.status).value, refusal.headers)
