"""A model whose scores anyone can compute, and a loop and engine whose time is not the clock's: no test waits."""

import asyncio
import selectors
import zlib
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from bento.configuration import ServiceSettings
from bento.model.encoded import EncodedPair
from bento.scoring.scorer import Scorer
from bento.telemetry.metrics import Metrics

MAX_LENGTH = 128
TOKENS_PER_SECOND = 10_000
"""Of one stream of the double, in its loop's seconds."""


def token(word: str) -> int:
    return zlib.crc32(word.encode())


SECRET = "what a client sent"
RAISES, NO_NUMBER = token("raises"), token("nonumber")


def logit(query: str, document: str) -> float:
    """What the double's model gives, computed without it."""
    return float(
        np.float32(zlib.crc32(str([token(word) for word in f"{query} {document}".split()]).encode()) / 2**20)
    )


class WordEngine:
    """Every word is a token; the logit depends on all of them. Two words make it fail."""

    def __init__(self, streams: int = 2) -> None:
        self.streams = streams
        self.batches: list[list[EncodedPair]] = []

    def run(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        self.batches.append(list(pairs))
        if any(RAISES in pair.ids for pair in pairs):
            raise RuntimeError(SECRET)
        return np.array([self._logit(pair) for pair in pairs], dtype=np.float32)

    def _logit(self, pair: EncodedPair) -> float:
        return float("nan") if NO_NUMBER in pair.ids else zlib.crc32(str(pair.ids).encode()) / 2**20


@dataclass(frozen=True)
class Identity:
    digest: str


class WordModel:
    def __init__(self, engine: WordEngine, digest: str = "d" * 64) -> None:
        self.engine = engine
        self.manifest = Identity(digest)
        self.max_length = MAX_LENGTH
        self.encoded = 0

    def encode(self, pairs: Sequence[tuple[str, str]], max_document_tokens: int | None = None) -> list[EncodedPair]:
        self.encoded += len(pairs)
        return [self._encode(query, document, max_document_tokens) for query, document in pairs]

    def _encode(self, query: str, document: str, limit: int | None) -> EncodedPair:
        if "unreadable" in document:
            raise ValueError(SECRET)
        words = query.split(), document.split()[:limit]
        ids = [token(word) for side in words for word in side]
        types = [0] * len(words[0]) + [1] * len(words[1])
        return EncodedPair(ids[:MAX_LENGTH], types[:MAX_LENGTH], len(ids) > MAX_LENGTH, unusual=False)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time passes only when it has nothing to do, and then at once."""

    def __init__(self) -> None:
        self.now = 1_000.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(10)  # only a thread can wake it; a test that waits in vain ends by its time limit
        events = super().select(0)
        if not events:
            self._loop.now += max(0.0, timeout)
        return events


class VirtualExecutor(Executor):
    """Computes at once, and says so when a stream of the double would have come to it."""

    def __init__(self, engine: WordEngine, rate: float = TOKENS_PER_SECOND) -> None:
        self.engine = engine
        self.rate = rate
        self.hangs = False
        self._free = [0.0] * engine.streams  # when each stream has done what it was given

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        before = len(self.engine.batches)
        value = call(*arguments, **named)
        padded = sum(len(batch) * max(map(len, batch)) for batch in self.engine.batches[before:])
        if not (self.hangs and padded):
            loop = asyncio.get_running_loop()
            begin = max(loop.time(), self._free[0]) if padded else loop.time()
            if padded:
                self._free = sorted([*self._free[1:], begin + padded / self.rate])
            loop.call_at(begin + padded / self.rate, future.set_result, value)
        return future


class Bench:
    """A scorer on virtual time, and what a test looks at."""

    def __init__(self, **settings: Any) -> None:
        self.engine = WordEngine(settings.pop("streams", 2))
        ahead = settings.pop("ahead", 0)  # none, so that what a test lets wait does wait
        self.model = WordModel(self.engine)
        self.executor = VirtualExecutor(self.engine)
        self.registry = CollectorRegistry()
        self.loop = asyncio.get_running_loop()
        self.scorer = Scorer(
            self.model,
            ServiceSettings(**{"batch_tokens": 768, **settings}),
            Metrics("words:1", self.registry),
            clock=self.loop.time,
            executor=self.executor,
            ahead=ahead,
            tokeniser=self.executor,
        )

    async def start(self) -> "Bench":
        await self.scorer.start()
        self.engine.batches.clear()
        self.model.encoded = 0
        return self

    async def score(self, query: str, documents: Sequence[str], seconds: float = 30) -> list[float]:
        pairs = [(query, document) for document in documents]
        scored = await self.scorer.score(pairs, deadline=self.loop.time() + seconds)
        return [pair.logit for pair in scored]

    @property
    def read(self) -> int:
        """Pairs that the engine has read."""
        return sum(map(len, self.engine.batches))

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


def expected(query: str, documents: Sequence[str]) -> list[float]:
    return [logit(query, document) for document in documents]


def texts(count: int, words: int = 10, name: str = "d") -> list[str]:
    """Return distinct documents of so many words."""
    return [f"{name}{number} " + "wxyz " * (words - 1) for number in range(count)]
