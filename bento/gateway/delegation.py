"""What BentoML answers itself, in our shape where it refuses."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from starlette.types import ASGIApp, Message, Scope

from bento.errors import ErrorType, RefusedError
from bento.gateway.exchange import Access, Reply, Request

_KINDS: dict[int, ErrorType] = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    422: "invalid_request",
    429: "overloaded",
    503: "unavailable",
    504: "deadline_exceeded",
}
_ADVICE: dict[ErrorType, str] = {
    "invalid_request": "The body is not what this route takes: GET / shows its schema.",
    "not_found": "Nothing answers at this path: GET / shows what there is.",
    "overloaded": "Too much work is waiting: try again later.",
    "unavailable": "The service takes no requests now: try again later.",
    "deadline_exceeded": "There was no answer in time: send fewer pairs, or try again later.",
}
_KEPT = ("etag", "last-modified", "cache-control", "location")
"""Headers of BentoML's that mean something to a browser; the rest is ours to say."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """A path, or with a trailing slash all paths below it, that BentoML's own application answers."""

    method: Literal["GET", "POST"]
    path: str
    access: Access
    check: Callable[[bytes], object] | None = None
    """Raises RefusedError for a body that must not reach BentoML."""
    failed: Callable[[bytes], bool] | None = None
    """Tells of an answer of BentoML's whether it is a failure after all."""

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request goes here; a GET takes HEAD along."""
        if method != self.method and not (method == "HEAD" and self.method == "GET"):
            return False
        return path == self.path or (len(self.path) > 1 and self.path.endswith("/") and path.startswith(self.path))

    async def pass_on(self, app: ASGIApp, scope: Scope, request: Request) -> Reply:
        """Return BentoML's whole answer; its refusals become RefusedError."""
        if self.check is not None:
            self.check(request.body)
        # Read as JSON whatever it is called: of a form BentoML's methods would make a 500.
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"content-type", b"range")]
        # Without the server's extensions, so that a file comes as bytes and not as a path to send.
        inner = {**scope, "headers": [*headers, (b"content-type", b"application/json")], "extensions": {}}
        pending: list[Message] = [{"type": "http.request", "body": request.body, "more_body": False}]
        head: Message = {"status": 500, "headers": []}
        body = bytearray()

        async def receive() -> Message:
            if pending:
                return pending.pop()
            # The gateway watches for a sender that hangs up; whoever listens here too, waits.
            message: Message = await asyncio.get_running_loop().create_future()
            return message

        async def send(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
            else:
                body.extend(message.get("body", b""))

        await app(inner, receive, send)
        return self._in_our_shape(head, bytes(body))

    def _in_our_shape(self, head: Message, body: bytes) -> Reply:
        status = head["status"]
        if status < 400 and self.failed is not None and self.failed(body):
            status = 500
        if status >= 400:
            kind = _KINDS.get(status, "internal_error" if status >= 500 else "invalid_request")
            message = _ADVICE.get(kind, "The service failed: report this request_id to its operator.")
            raise RefusedError(status, kind, message, {"retry-after": "1"} if status in (429, 503) else None)
        fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head["headers"]}
        media_type = fields.pop("content-type", "application/octet-stream")
        kept = {name: fields[name] for name in _KEPT if name in fields}
        return Reply(body, status, kept, media_type)


def has_missing_scores(body: bytes) -> bool:
    """Return whether a list of scores holds one that is none: its pair could not be scored."""
    return any(score is None for score in json.loads(body))
