"""A body that never ends."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from bento.endpoint import REQUEST_ID
from bento.middleware import LimitBody


async def _unreached(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("a body that never came was passed on")


def test_a_body_that_does_not_end_is_refused_in_time() -> None:
    sent: list[Message] = []
    first = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Message:
        return next(first, None) or await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [], REQUEST_ID: "slow-1"}
    limit = LimitBody(_unreached, max_bytes=1_024, max_seconds=0.01)
    asyncio.run(asyncio.wait_for(limit(scope, receive, send), 10))
    assert sent[0]["status"] == 408
    assert b"too_slow" in sent[1]["body"]
    assert b"slow-1" in sent[1]["body"]
