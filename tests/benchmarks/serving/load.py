"""The load generator, in a process of its own: clients that ask again and again, or arrivals that wait for nobody."""

import asyncio
import gc
import multiprocessing
import resource
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.benchmarks.serving.client import Connection, Reply, post


class Outcome(NamedTuple):
    """What became of a request."""

    request: int
    """Its place among the bodies given."""
    sent: float
    """Seconds since the start when it was sent, or should have been."""
    seconds: float
    """From then to the last byte of the answer."""
    reply: Reply
    """Status 0 when there was none; the head is kept of refusals only."""


@dataclass(frozen=True)
class Target:
    """Where requests go."""

    port: int
    path: str


class LoadGenerator:
    """Runs loads in another process. The bodies travel there before the clock starts."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def closed(
        self,
        target: Target,
        bodies: Sequence[bytes],
        clients: int,
        seconds: float,
        order: Sequence[int] | None = None,
    ) -> list[Outcome]:
        """Let `clients` ask, each its next request once the last is answered, until `seconds` are over.

        Args:
            target: Where to.
            bodies: What may be asked.
            clients: How many ask at the same time.
            seconds: No request is sent later; those in flight are waited for.
            order: Places in `bodies`, in which they are sent; by default each once. RuntimeError when it runs out.
        """
        return self._pool.submit(_closed, target, bodies, clients, seconds, order or range(len(bodies))).result()

    def all(self, target: Target, bodies: Sequence[bytes], clients: int) -> list[Outcome]:
        """Ask each body once."""
        return self._pool.submit(_closed, target, bodies, clients, None, range(len(bodies))).result()

    def open(self, target: Target, bodies: Sequence[bytes], times: Sequence[float]) -> list[Outcome]:
        """Send each body at its time (seconds since the start), whether or not others are answered."""
        return self._pool.submit(_open, target, bodies, times).result()


@contextmanager
def load_generator() -> Iterator[LoadGenerator]:
    """Start the process, and end it with the block."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare) as pool:
        yield LoadGenerator(pool)


def completed(outcomes: Sequence[Outcome], seconds: float) -> float:
    """Return how many requests were answered within `seconds`; those still in flight count by the share before."""
    done = (min(1.0, max(0.0, seconds - o.sent) / o.seconds) for o in outcomes if o.reply.status == 200)
    return sum(done)


def _prepare() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))


def _run(load: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
    import uvloop

    gc.collect()
    gc.disable()  # a pause here would be taken for one of the server
    try:
        return uvloop.run(load)
    finally:
        gc.enable()


def _closed(
    target: Target, bodies: Sequence[bytes], clients: int, seconds: float | None, order: Sequence[int]
) -> list[Outcome]:
    requests = [post(target.path, body) for body in bodies]
    places = iter(order)
    outcomes: list[Outcome] = []

    async def client(start: float) -> None:
        idle: list[Connection] = []
        while seconds is None or time.perf_counter() - start < seconds:
            place = next(places, None)
            if place is None:
                if seconds is None:
                    break
                raise RuntimeError("The server is faster than foreseen: more requests must be prepared.")
            sent = time.perf_counter() - start
            outcomes.append(await _outcome(target, idle, requests, place, sent, start))
        _close(idle)

    async def run() -> list[Outcome]:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(start))
        return outcomes

    return _run(run())


def _open(target: Target, bodies: Sequence[bytes], times: Sequence[float]) -> list[Outcome]:
    requests = [post(target.path, body) for body in bodies]
    idle: list[Connection] = []
    outcomes: list[Outcome] = []

    async def arrive(place: int, due: float, start: float) -> None:
        outcomes.append(await _outcome(target, idle, requests, place, due, start))

    async def run() -> list[Outcome]:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for place, due in enumerate(times):
                await asyncio.sleep(start + due - time.perf_counter())
                group.create_task(arrive(place, due, start))
        _close(idle)
        return outcomes

    return _run(run())


async def _outcome(
    target: Target, idle: list[Connection], requests: Sequence[bytes], place: int, sent: float, start: float
) -> Outcome:
    """Ask over an idle connection, or a new one; it is idle again afterwards."""
    while idle and not idle[-1].usable:
        idle.pop()
    try:
        connection = idle.pop() if idle else await Connection.open(target.port)
        status, head, body = await connection.ask(requests[place])
        idle.append(connection)
    except OSError:
        status, head, body = 0, b"", b""
        await asyncio.sleep(0.01)  # a server that is gone is not asked a million times
    kept = Reply(status, b"" if status == 200 else head, body)
    return Outcome(place, sent, time.perf_counter() - start - sent, kept)


def _close(idle: list[Connection]) -> None:
    for connection in idle:
        connection.close()
