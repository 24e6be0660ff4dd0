"""The outermost ASGI application: every request passes here before a route of ours or BentoML sees it.

BentoML's own stack of middleware costs more than a small model does, puts the path of each request into a metric's
label and answers in shapes of its own. So our routes are answered here, and BentoML gets what is left: its batchable
method, its documentation, and the life of the service.
"""

import asyncio
import json
import logging
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.configuration import ServiceSettings
from bento.errors import Error, ErrorResponse, RefusedError
from bento.gateway.body import read_body
from bento.gateway.delegation import Delegation
from bento.gateway.doors import Doors
from bento.gateway.exchange import Reply, Request, Route
from bento.gateway.keep_alive import keep_alive
from bento.gateway.life import Life
from bento.telemetry.metrics import Metrics

logger = logging.getLogger("bentoml.reranker")

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


class Gateway:
    """Names, admits, routes and answers every request."""

    def __init__(self, bentoml_app: ASGIApp, settings: ServiceSettings, parts: Callable[[], Parts]) -> None:
        """`parts` is asked once, when BentoML has made the service."""
        self._bentoml = bentoml_app
        self._settings = settings
        self._make_parts = parts

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

        keep_alive(receive, self._settings.keep_alive)
        await self._bentoml(scope, receive, send_after)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        metrics, life = self._parts.metrics, self._parts.life
        route = self._route(scope["method"], scope["path"])
        life.load.requests += 1
        try:
            reply = await self._reply(route, scope, headers, request_id, receive)
        except RefusedError as refusal:
            metrics.refused(refusal.kind)
            reply = refused(refusal, request_id)
        except _HungUp:
            return  # nobody would read an answer
        except Exception as failure:  # noqa: BLE001 - the last door: every request gets an answer
            reply = self._apology(failure, request_id)
        finally:
            life.load.requests -= 1
        template = UNMATCHED if route is None else route.path
        metrics.answered(template, reply.status, time.perf_counter() - began)
        await self._send(send, reply, request_id, head=scope["method"] == "HEAD")

    def _route(self, method: str, path: str) -> Route | Delegation | None:
        route = self._routes.get((method if method != "HEAD" else "GET", path))
        if route is not None:
            return route
        return next((delegation for delegation in self._delegated if delegation.matches(method, path)), None)

    async def _reply(
        self,
        route: Route | Delegation | None,
        scope: Scope,
        headers: dict[str, str],
        request_id: str,
        receive: Receive,
    ) -> Reply:
        if route is None:
            raise self._nothing_there(scope["method"], scope["path"])
        if route.access not in ("open", "probe", "metrics", "admin") and (reason := self._parts.life.refusal()):
            advice = f"{reason}: send the request to another host, or again in a second."
            raise RefusedError(503, "unavailable", advice, {"retry-after": "1", "connection": "close"})
        subject = await self._parts.doors.admit(route.access, headers.get("authorization"))
        body = b""
        if scope["method"] not in ("GET", "HEAD", "DELETE"):
            settings = self._settings
            declared = headers.get("content-length")
            body = await read_body(receive, declared, settings.max_body_bytes, settings.max_body_seconds)
        deadline = time.monotonic() + self._settings.timeout
        request = Request(request_id, scope["path"], body, headers, subject, deadline)
        if isinstance(route, Delegation):
            return await _while_listening(route.pass_on(self._bentoml, scope, request), receive)
        return await _while_listening(route.handle(request), receive)

    def _nothing_there(self, method: str, path: str) -> RefusedError:
        allowed = self._paths.get(path) or next((d.method for d in self._delegated if d.path == path), None)
        if allowed is not None:
            return RefusedError(405, "method_not_allowed", f"Send a {allowed} to {path}.", {"allow": allowed})
        return RefusedError(404, "not_found", "Nothing answers at this path: GET / shows what there is.")

    def _apology(self, failure: Exception, request_id: str) -> Reply:
        # Not the message: it may hold what the client sent.
        frames = "".join(traceback.format_tb(failure.__traceback__))
        logger.error("request %s failed with %s:\n%s", request_id, type(failure).__name__, frames)
        self._parts.metrics.refused("internal_error")
        message = "The service failed: report this request_id to its operator."
        return refused(RefusedError(500, "internal_error", message), request_id)

    async def _send(self, send: Send, reply: Reply, request_id: str, head: bool) -> None:
        headers = [
            (b"content-type", reply.media_type.encode("latin-1")),
            (b"content-length", str(len(reply.body)).encode("latin-1")),
            (b"x-request-id", request_id.encode("latin-1")),
            (b"x-model-version", self._parts.model_version.encode("latin-1")),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else reply.body})


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
