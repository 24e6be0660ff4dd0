"""The scores of a request's pairs: from the cache, or from the engine in its turn."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Protocol

from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.model.encoded import EncodedPair
from bento.model.engine import Engine
from bento.scoring import failures
from bento.scoring.admission import TokenEstimate, admit
from bento.scoring.cache import ScoreCache
from bento.scoring.job import Job
from bento.scoring.keys import PairKeys
from bento.scoring.scheduler import AHEAD, Scheduler
from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics

DIRECT_CHARACTERS = 8_000
"""So much text is tokenised on the event loop, within a few milliseconds; more goes to a thread, in such chunks."""
_SAMPLE = "how do I sort a list?", "sorted returns a new list and leaves the old one as it was. " * 6


class Identity(Protocol):
    """Which model it is."""

    @property
    def digest(self) -> str: ...  # noqa: D102


class Model(Protocol):
    """What the scorer needs of a model."""

    @property
    def manifest(self) -> Identity: ...  # noqa: D102
    @property
    def engine(self) -> Engine: ...  # noqa: D102
    @property
    def max_length(self) -> int: ...  # noqa: D102
    def encode(  # noqa: D102
        self, pairs: Sequence[tuple[str, str]], max_document_tokens: int | None = None
    ) -> list[EncodedPair]: ...


class Scorer:
    """Scores pairs for all requests of a worker. Belongs to one event loop."""

    def __init__(
        self,
        model: Model,
        settings: ServiceSettings,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
        ahead: int = AHEAD,
        tokeniser: Executor | None = None,
    ) -> None:
        """`clock` is the one of deadlines; `executor` runs the engine, by default in a thread for each stream.

        `tokeniser` tokenises what is too much for the event loop, by default in one thread.
        """
        self._model = model
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._keys = PairKeys(model.manifest.digest, model.max_length)
        self._cache = ScoreCache(settings.cache_bytes)
        self._estimate = TokenEstimate(model.max_length)
        self._scheduler = Scheduler(
            model.engine,
            settings.batch_tokens,
            metrics,
            clock=clock,
            executor=executor,
            ahead=ahead,
            learned=self._cache.put,
        )
        self._tokeniser = tokeniser or ThreadPoolExecutor(1, thread_name_prefix="tokeniser")
        self._announced = 0  # tokens of admitted pairs that are not tokenised yet, about
        self._requests = 0
        self._closing = False
        self._finished = asyncio.Event()

    async def start(self) -> None:
        """Warm the engine up and measure it; call it on the event loop that will score."""
        (sample,) = self._model.encode([_SAMPLE])
        await self._scheduler.measure([sample] * max(1, self._settings.batch_tokens // len(sample)))

    async def close(self) -> None:
        """Take no new work, finish what is in flight, and let go of the threads."""
        self._closing = True
        if self._requests:
            await self._finished.wait()
        self._scheduler.shut_down()
        self._tokeniser.shutdown(wait=False, cancel_futures=True)

    @property
    def queued_tokens(self) -> int:
        """Tokens that wait for the engine, those not yet tokenised by estimate."""
        return self._scheduler.waiting_tokens + self._announced

    def fault(self) -> str | None:
        """Return why nothing is scored any more, or None."""
        if self._scheduler.stalled > self._settings.timeout:
            return f"The engine has not answered for {self._scheduler.stalled:.0f} seconds"
        return None

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, deadline: float, max_document_tokens: int | None = None
    ) -> list[ScoredPair]:
        """Return the verdict on each (query, document), in the order given. `deadline` is of the clock.

        RefusedError: 429 when it would not be ready in time, 504 when it is not, 500 when one of its pairs has no
        score, 503 when the scorer closes. Cancelling drops what no other request waits for.
        """
        keys = self._keys.of(pairs, max_document_tokens)
        found: list[ScoredPair] = []
        for key in keys:
            if (known := self._cache.get(key)) is None:
                break
            found.append(known)
        else:
            return found
        return await self._score(keys, pairs, deadline, max_document_tokens)

    async def _score(
        self, keys: list[bytes], pairs: Sequence[tuple[str, str]], deadline: float, max_document_tokens: int | None
    ) -> list[ScoredPair]:
        known = {key: cached for key in keys if (cached := self._cache.get(key)) is not None}
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
        joined = [key for key in missing if key in self._scheduler]
        new = {key: pair for key, pair in missing.items() if key not in self._scheduler}
        sizes = self._estimate.of(new.values(), max_document_tokens)
        seconds = deadline - self._clock()
        self._admit(sum(sizes), seconds)

        job = Job(len(missing), deadline, asyncio.get_running_loop().create_future())
        self._requests += 1
        try:
            async with asyncio.timeout(seconds):
                for key in joined:
                    self._scheduler.join(job, key)
                await self._feed(job, new, sizes, max_document_tokens)
                ready = self._clock()
                await job.done
        except TimeoutError:
            raise failures.late() from None
        finally:
            job.done.cancel()
            self._scheduler.drop(job)
            self._requests -= 1
            if self._closing and not self._requests:
                self._finished.set()
        if job.failure is not None:
            raise job.failure
        started = ready if job.started is None else job.started
        self._metrics.stage("queue", max(0.0, started - ready))
        self._metrics.stage("engine", self._clock() - started)
        known.update(job.scores)
        return [known[key] for key in keys]

    def _admit(self, own: int, seconds: float) -> None:
        if self._closing:
            raise RefusedError(503, "unavailable", "The service is ending: send the request again.")
        if seconds <= 0:
            raise failures.late()
        if own:
            before = self.queued_tokens + self._scheduler.running_tokens
            rate = self._scheduler.throughput.rate
            admit(own, before, self._settings.max_queue_tokens, rate, seconds)

    async def _feed(
        self, job: Job, pairs: dict[bytes, tuple[str, str]], sizes: list[int], max_document_tokens: int | None
    ) -> None:
        """Tokenise, and let wait what is tokenised: a large request is being scored before all of it is."""
        announced = sum(sizes)
        self._announced += announced
        start = self._clock()
        try:
            chunks = list(_chunks(list(pairs.items())))
            for chunk in chunks:
                texts = [pair for _, pair in chunk]
                if len(chunks) == 1:
                    encoded = self._model.encode(texts, max_document_tokens)
                else:
                    loop = asyncio.get_running_loop()
                    encoded = await loop.run_in_executor(
                        self._tokeniser, self._model.encode, texts, max_document_tokens
                    )
                if job.done.done():  # one of its pairs has failed
                    return
                self._estimate.learn(texts, encoded)
                done, sizes = sum(sizes[: len(chunk)]), sizes[len(chunk) :]
                announced -= done
                self._announced -= done
                self._scheduler.add(job, zip((key for key, _ in chunk), encoded, strict=True))
        except Exception as failure:  # noqa: BLE001 - whatever it is, it concerns this request alone
            failures.log("tokenizer", failure)
            job.fail(failures.no_score())
        finally:
            self._announced -= announced
        self._metrics.stage("tokenise", self._clock() - start)


def _chunks(items: list[tuple[bytes, tuple[str, str]]]) -> Iterator[list[tuple[bytes, tuple[str, str]]]]:
    """Cut so that each chunk has about `DIRECT_CHARACTERS` of text."""
    chunk: list[tuple[bytes, tuple[str, str]]] = []
    characters = 0
    for item in items:
        _, (query, document) = item
        if chunk and characters + len(query) + len(document) > DIRECT_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        chunk.append(item)
        characters += len(query) + len(document)
    if chunk:
        yield chunk
