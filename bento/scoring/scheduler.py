"""Keeps the streams of the engine busy with micro-batches from the queue."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from bento.model.encoded import EncodedPair
from bento.model.engine import Engine
from bento.scoring import failures
from bento.scoring.admission import Throughput
from bento.scoring.fair_queue import FairQueue
from bento.scoring.job import Job, Work
from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics

AHEAD = 1
"""Micro-batches for each stream beside the one that it reads. Without them an engine of two streams waited a fifth of
its time for the event loop, which shares the processors with it, to bring the next."""

WORTH_AHEAD = 128
"""Tokens that have to wait before some of them are sent to a stream that is not idle."""


class Scheduler:
    """The queue, the engine's threads, and what goes to and fro. Belongs to one event loop."""

    def __init__(
        self,
        engine: Engine,
        batch_tokens: int,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
        executor: Executor | None = None,
        ahead: int = AHEAD,
        learned: Callable[[bytes, ScoredPair], None],
    ) -> None:
        """`learned` is told every new score; `executor` runs the engine in as many threads as it has streams."""
        self._engine = engine
        self._batch_tokens = batch_tokens
        self._metrics = metrics
        self._clock = clock
        self._learned = learned
        self._executor = executor or ThreadPoolExecutor(engine.streams, thread_name_prefix="engine")
        self._queue = FairQueue(batch_tokens)
        self._running: dict[int, tuple[float, int]] = {}  # number -> since when, tokens
        self._per_stream = ahead
        self._ahead: deque[int] = deque()  # sent, and not begun
        self._number = 0
        self._pumping = False
        self.throughput = Throughput(1.0, engine.streams, batch_tokens // 2)

    async def measure(self, pairs: Sequence[EncodedPair]) -> None:
        """Run `pairs` on every stream, first to warm up, then to learn how fast the engine is."""
        loop = asyncio.get_running_loop()
        for _ in range(2):
            start = self._clock()
            batches = [
                loop.run_in_executor(self._executor, self._engine.run, pairs) for _ in range(self._engine.streams)
            ]
            await asyncio.gather(*batches)
            seconds = max(self._clock() - start, 1e-6)
        self.throughput.rate = self._engine.streams * sum(map(len, pairs)) / seconds

    @property
    def waiting_tokens(self) -> int:
        """Tokens that wait for the engine."""
        return self._queue.tokens

    @property
    def running_tokens(self) -> int:
        """Tokens that the engine is reading."""
        return sum(tokens for _, tokens in self._running.values())

    @property
    def stalled(self) -> float:
        """Seconds for which the engine has owed an answer."""
        return max((self._clock() - since for since, _ in self._running.values()), default=0.0)

    def __contains__(self, key: bytes) -> bool:
        """Whether a pair waits or is being read, so that it can be joined."""
        return key in self._queue

    def join(self, job: Job, key: bytes) -> None:
        """Let `job` have the score of a pair that waits or is being read."""
        self._queue.join(job, key, self._clock())

    def add(self, job: Job, pairs: Iterable[tuple[bytes, EncodedPair]]) -> None:
        """Let pairs wait; their scores go to `job`."""
        self._queue.add(job, pairs, self._clock())
        self._metrics.queued(self._queue.tokens)
        if not self._pumping:
            # Not at once: what other requests bring in the same turn of the loop shares the micro-batch.
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def drop(self, job: Job) -> None:
        """Forget what only `job` waits for."""
        self._queue.drop(job)
        self._metrics.queued(self._queue.tokens)

    def shut_down(self) -> None:
        """Let go of the threads; a hung one is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _pump(self) -> None:
        self._pumping = False
        streams = self._engine.streams
        while len(self._running) < streams * (1 + self._per_stream):
            idle = streams - len(self._running)
            if idle <= 0 and self._queue.tokens < WORTH_AHEAD:
                break  # more may come to share its micro-batch before a stream is idle
            idle = max(1, idle)
            works = self._queue.cut(self._clock(), self.throughput.rate, idle, self.running_tokens)
            if not works:
                break
            self._send(works)
        self._metrics.queued(self._queue.tokens)

    def _send(self, works: list[Work]) -> None:
        task = asyncio.get_running_loop().run_in_executor(self._executor, _run, self._engine, works)
        self._number += 1
        if len(self._running) >= self._engine.streams:
            self._ahead.append(self._number)
        self._running[self._number] = self._clock(), sum(work.tokens for work in works)
        task.add_done_callback(partial(self._receive, self._number, works))

    def _receive(self, number: int, works: list[Work], task: "asyncio.Future[tuple[list[float], float]]") -> None:
        since, tokens = self._running.pop(number)
        if number in self._ahead:  # given up before it began
            self._ahead.remove(number)
        elif self._ahead:
            begun = self._ahead.popleft()
            self._running[begun] = self._clock(), self._running[begun][1]
        self._pump()  # first, so that the engine goes on while the scores are handed out
        if task.cancelled():
            logits = [math.nan] * len(works)
        elif (failure := task.exception()) is not None:
            failures.log("engine", failure)
            logits = [math.nan] * len(works)
        else:
            logits, seconds = task.result()
            padded = len(works) * max(work.tokens for work in works)
            self._metrics.ran(tokens, padded)
            # By the clock of the loop too, which a test may move; it alone says too little of what was sent ahead.
            self.throughput.observe(tokens, padded, max(seconds, self._clock() - since))
        for work, logit in zip(works, logits, strict=True):
            self._hand_out(work, logit)

    def _hand_out(self, work: Work, logit: float) -> None:
        jobs = self._queue.finish(work)
        if not math.isfinite(logit):
            for job in jobs:
                job.fail(failures.no_score())
            return
        scored = ScoredPair(logit, work.tokens, work.pair.truncated, work.pair.unusual, cached=False)
        self._learned(work.key, scored)
        for job in jobs:
            job.deliver(work.key, scored)


def _run(engine: Engine, works: Sequence[Work]) -> tuple[list[float], float]:
    """Return the logits, NaN for pairs that have none even when they are read alone, and the seconds it took."""
    begun = time.perf_counter()
    logits = _attempt(engine, [work.pair for work in works])
    if len(works) > 1 and not all(map(math.isfinite, logits)):
        logits = [_attempt(engine, [work.pair])[0] for work in works]
    return logits, time.perf_counter() - begun


def _attempt(engine: Engine, pairs: Sequence[EncodedPair]) -> list[float]:
    try:
        logits: list[float] = engine.run(pairs).tolist()
        if len(logits) != len(pairs):
            raise ValueError(f"{len(logits)} logits for {len(pairs)} pairs")
    except Exception as failure:  # noqa: BLE001 - whatever it is, it concerns these pairs alone
        failures.log("engine", failure)
        return [math.nan] * len(pairs)
    return logits
