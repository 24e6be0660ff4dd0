"""Reading a request's body within limits."""

import asyncio

from starlette.types import Receive

from bento.errors import RefusedError


async def read_body(receive: Receive, declared: str | None, max_bytes: int, max_seconds: float) -> bytes:
    """Return the whole body.

    RefusedError: 413 when it is, or says it is, over `max_bytes`, before it fills the memory; 408 when it takes over
    `max_seconds`; 400 when the sender hangs up in the middle of it.
    """
    if declared is not None and declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(max_seconds):
            return await _read(receive, max_bytes)
    except TimeoutError:
        advice = f"The body did not arrive within {max_seconds:g} seconds: send it faster, or less of it."
        raise RefusedError(408, "too_slow", advice, {"connection": "close"}) from None


async def _read(receive: Receive, max_bytes: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return whole
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "invalid_request", "The connection ended before the body did.")
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def _too_large(max_bytes: int) -> RefusedError:
    advice = f"The body is larger than {max_bytes} bytes: send fewer or shorter documents in one request."
    # The rest of the body would be read as the next request, so the connection ends here.
    return RefusedError(413, "too_large", advice, {"connection": "close"})
