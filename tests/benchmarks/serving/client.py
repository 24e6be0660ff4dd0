"""A lean HTTP/1.1 client: it shares the processors with what it measures, so it does next to nothing."""

import asyncio
from types import TracebackType
from typing import NamedTuple, Self, cast

HEAD_END = b"\r\n\r\n"


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    head: bytes
    body: bytes


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a whole request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + HEAD_END + body


class Connection(asyncio.Protocol):
    """A connection that is kept, with one request at a time on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[Reply] | None = None
        self._head = b""
        self._length = 0

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect; OSError when nothing listens."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def ask(self, request: bytes) -> Reply:
        """Return the answer; ConnectionError when the server hangs up instead."""
        if not self.usable:
            raise ConnectionResetError("the server has closed the connection")
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server hung up instead of answering"))

    def data_received(self, data: bytes) -> None:
        """Hand the answer over once it is whole."""
        self._buffer += data
        if not self._head:
            end = self._buffer.find(HEAD_END)
            if end < 0:
                return
            self._head = bytes(self._buffer[:end]).lower() + b"\r\n"
            del self._buffer[: end + len(HEAD_END)]
            self._length = _length(self._head)
        if len(self._buffer) < self._length:
            return
        reply = Reply(int(self._head[9:12]), self._head, bytes(self._buffer))
        self._buffer.clear()
        self._head = b""
        if header(reply, b"connection") == b"close":
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)

    async def __aenter__(self) -> Self:
        """Use it for a block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up at the end of the block."""
        self.close()


def header(reply: Reply, name: bytes) -> bytes | None:
    """Return a header in lower case, or None."""
    start = reply.head.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    return reply.head[start : reply.head.index(b"\r\n", start)].strip()


def _length(head: bytes) -> int:
    given = header(Reply(0, head, b""), b"content-length")
    if given is None:
        raise ValueError(f"an answer without content-length, which this client does not read: {head[:200]!r}")
    return int(given)
