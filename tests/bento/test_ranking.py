"""Waiting and failing, with an engine that can be held and broken."""

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bento.endpoint import REQUEST_ID, RerankEndpoint
from bento.manifest import Manifest
from bento.messages import RefusedError
from bento.ranking import Ranker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class HeldEngine:
    """Scores only while `open` is set, and not at all when broken."""

    def __init__(self, model_folder: Path, broken: bool = False) -> None:
        self.manifest = Manifest.read(model_folder)
        self.open = threading.Event()
        self.broken = broken

    def score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        assert self.open.wait(30)
        if self.broken:
            raise MemoryError(f"while scoring {pairs[0][0]}")
        return np.linspace(1, 0, len(pairs))


async def test_more_than_may_wait_are_told_to_come_again(model_folder: Path) -> None:
    engine = HeldEngine(model_folder)
    ranker = Ranker(engine, max_waiting=3)
    waiting = [asyncio.create_task(ranker.rank("a", ["b", "c"])) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RefusedError) as refusal:
        await ranker.rank("a", ["b"])
    assert (refusal.value.status, refusal.value.headers) == (429, {"retry-after": "1"})
    engine.open.set()
    assert [len(results) for results in await asyncio.gather(*waiting)] == [2, 2, 2]
    assert len(await ranker.rank("a", ["b"])) == 1


async def test_a_failing_engine_gives_an_answer_and_no_text_in_the_log(
    model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = HeldEngine(model_folder, broken=True)
    engine.open.set()
    endpoint = RerankEndpoint(lambda: Ranker(engine, max_waiting=1), max_documents=5)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"query": "private words", "documents": ["b"]}'}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/rerank", "headers": [], REQUEST_ID: "r-1"}
    with caplog.at_level(logging.ERROR):
        await endpoint(scope, receive, send)
    error = json.loads(sent[1]["body"])["error"]
    assert (sent[0]["status"], error["type"], error["request_id"]) == (500, "internal_error", "r-1")
    assert "r-1" in caplog.text
    assert "private words" not in caplog.text
