"""What happens to every request of the service, whichever route answers it."""

import asyncio
import logging
import re
import uuid
from collections.abc import Callable

from pydantic import ValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bento.endpoint import REQUEST_ID, send_refusal
from bento.messages import RefusedError

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class Identify:
    """Gives each request an id (the sender's own x-request-id where it is sound) and names the model that answers."""

    def __init__(self, app: ASGIApp, model_version: Callable[[], int]) -> None:
        self._app = app
        self._model_version = model_version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the response carries x-request-id and x-model-version."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = scope[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-model-version"] = str(self._model_version())
            await send(message)

        await self._app(scope, receive, send_named)


class LimitBody:
    """Refuses a body that is too large or too slow.

    Over `max_bytes`, declared or not, with 413, before it fills the memory; over `max_seconds` with 408, before
    BentoML would give the request up with 504, as if the service had failed.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limit and pass the request on with all of it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._max_seconds):
                body = await self._read(scope, receive)
        except TimeoutError:
            advice = f"The body did not arrive within {self._max_seconds:g} seconds: send it faster, or less of it."
            refusal = RefusedError(408, "too_slow", advice, {"connection": "close"})
            await send_refusal(send, refusal, scope[REQUEST_ID])
            return
        except RefusedError as refusal:
            await send_refusal(send, refusal, scope[REQUEST_ID])
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        del body

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, receive_whole, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        body = bytearray()
        declared = Headers(scope=scope).get("content-length", "0")
        more, too_large = True, declared.isdecimal() and int(declared) > self._max_bytes
        while more and not too_large:
            message = await receive()
            if message["type"] == "http.disconnect":
                # Nobody listens any more, but without an answer BentoML would hold the request until its timeout.
                raise RefusedError(400, "invalid_request", "The connection ended before the body did.")
            body += message.get("body", b"")
            more, too_large = message.get("more_body", False), len(body) > self._max_bytes
        if too_large:
            advice = (
                f"The body is larger than {self._max_bytes} bytes: send fewer or shorter documents in one request."
            )
            raise RefusedError(413, "too_large", advice)
        return bytes(body)


class AssumeJson:
    """Reads every body as JSON, whatever the request calls it: of a form BentoML's methods would make a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as application/json."""
        if scope["type"] == "http":
            MutableHeaders(scope=scope)["content-type"] = "application/json"
        await self._app(scope, receive, send)


def keep_refusals_out_of_the_log() -> None:
    """Stop BentoML from logging each body that it refuses with 400 as an error: the message quotes what was sent."""
    logging.getLogger("bentoml._internal.server.http_app").addFilter(_is_no_refusal)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], ValidationError))
