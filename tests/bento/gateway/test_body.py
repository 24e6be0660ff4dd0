"""Bodies that are too large, too slow or never whole."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message

from bento.errors import RefusedError
from bento.gateway.body import read_body


def chunk(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def read(messages: Iterable[Message], declared: str | None = None) -> bytes:
    arriving = iter(messages)

    async def receive() -> Message:
        return next(arriving, None) or await asyncio.Future()

    return asyncio.run(read_body(receive, declared, max_bytes=10, max_seconds=0.05))


def test_reads_a_body_in_one_piece_or_many() -> None:
    assert read([chunk(b"0123456789")]) == b"0123456789"
    assert read([chunk(b"012", True), chunk(b"", True), chunk(b"3")]) == b"0123"


@pytest.mark.parametrize(
    ("messages", "declared", "status"),
    [
        ([chunk(b"0" * 11)], None, 413),
        ([chunk(b"0" * 6, True), chunk(b"0" * 6, True)], None, 413),
        ([], "11", 413),
        ([], "9" * 5_000, 413),
        ([chunk(b"0", True)], None, 408),
        ([chunk(b"0", True), {"type": "http.disconnect"}], None, 400),
    ],
)
def test_refuses_what_is_too_large_too_slow_or_broken_off(
    messages: list[Message], declared: str | None, status: int
) -> None:
    with pytest.raises(RefusedError) as refusal:
        read(messages, declared)
    assert refusal.value.status == status
