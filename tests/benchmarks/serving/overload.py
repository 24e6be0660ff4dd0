"""Four times what the service can do: it must refuse politely, keep its word to whom it lets in, and not grow."""

import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from bento.configuration import ServiceSettings
from tests.benchmarks.serving.answers import check
from tests.benchmarks.serving.bench import Bench
from tests.benchmarks.serving.client import header
from tests.benchmarks.serving.load import Outcome, completed
from tests.benchmarks.serving.report import Line, at_least, at_most, fact
from tests.benchmarks.serving.systems import System
from tests.benchmarks.serving.texts import Request, Texts

TIMES = 4
SIZES = {1: 50, 5: 25, 10: 15, 50: 8, 200: 2}
"""Documents of a request, and how many of a hundred requests have so many."""
TOKENS = 20, 120
CLIENTS = 8
"""While the capacity is measured: enough to keep it busy, too few to be refused."""
GROWTH = 1.05
"""Resident memory of the last quarter over that of the second, when the queue is full already."""
CALM_SECONDS = 0.5
"""Between two looks at the memory."""


def four_times(bench: Bench, seconds: float) -> Iterator[Line]:
    """Offer four times the capacity for so long, at arrival times that wait for no answer."""
    mixture = random.Random(1)
    system = bench.systems["service"]
    capacity = _capacity(bench, mixture)
    rate = TIMES * capacity / _mean_size()
    times = _arrivals(mixture, rate, seconds)
    requests = _mixed(bench.texts, mixture, len(times))
    with _memory(system) as samples:
        outcomes = bench.load.open(system.target, [request.body for request in requests], times)
    bench.rate("service", bench.texts.requests(500, 1, 84), 1, 1.0)  # it answers as before

    part = f"{TIMES} x capacity, {seconds:g} s"
    accepted = [outcome for outcome in outcomes if outcome.reply.status == 200]
    refused = [outcome for outcome in outcomes if outcome.reply.status == 429]
    check("service", requests, accepted, bench.references["service"])
    yield fact(part, "capacity", [capacity], "pairs/s")
    yield fact(part, "offered", [sum(len(r.documents) for r in requests) / seconds], "pairs/s")
    yield fact(part, "answered meanwhile", [_pairs(requests, accepted, seconds)], "pairs/s")
    for status, count in sorted(Counter(outcome.reply.status for outcome in outcomes).items()):
        yield fact(part, f"status {status or 'none: hung up'}", [count], "requests")
    yield at_most(part, "neither 200 nor 429", [len(outcomes) - len(accepted) - len(refused)], 0, "requests")
    yield at_least(part, "refused", [len(refused)], 1, "requests")
    silent = sum(header(outcome.reply, b"retry-after") is None for outcome in refused)
    yield at_most(part, "429 without Retry-After", [silent], 0, "requests")
    if refused:
        waits = [outcome.seconds * 1_000 for outcome in refused]
        yield fact(part, "refused within, p99", [float(np.percentile(waits, 99))], "ms")
    yield fact(part, "accepted within, median", [statistics.median(o.seconds for o in accepted)], "s")
    yield at_most(part, "accepted within, worst", [max(o.seconds for o in accepted)], ServiceSettings().timeout, "s")
    yield from _growth(part, samples, seconds)


def _capacity(bench: Bench, mixture: random.Random) -> float:
    """Return pairs a second of the same mixture of sizes, from clients that wait for their answers."""
    seconds = max(bench.seconds, 5.0)
    requests = _mixed(bench.texts, mixture, int(200 * seconds))
    _, outcomes = bench.rate("service", requests, CLIENTS, seconds)
    return _pairs(requests, outcomes, seconds)


def _pairs(requests: Sequence[Request], outcomes: Sequence[Outcome], seconds: float) -> float:
    return sum(completed([o], seconds) * len(requests[o.request].documents) for o in outcomes) / seconds


def _mixed(texts: Texts, mixture: random.Random, count: int) -> list[Request]:
    sizes = mixture.choices(list(SIZES), list(SIZES.values()), k=count)
    return [texts.request(size, TOKENS) for size in sizes]


def _mean_size() -> float:
    return sum(size * share for size, share in SIZES.items()) / sum(SIZES.values())


def _arrivals(mixture: random.Random, rate: float, seconds: float) -> list[float]:
    """Return the times of a Poisson process."""
    times: list[float] = []
    now = 0.0
    while (now := now + mixture.expovariate(rate)) < seconds:
        times.append(now)
    return times


@contextmanager
def _memory(system: System) -> Iterator[list[tuple[float, int]]]:
    """Note (seconds, resident bytes of all processes together) until the block ends."""
    samples: list[tuple[float, int]] = []
    ended = threading.Event()
    start = time.perf_counter()

    def look() -> None:
        while not ended.wait(CALM_SECONDS):
            samples.append((time.perf_counter() - start, sum(system.resident().values())))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield samples
    finally:
        ended.set()
        watcher.join()


def _growth(part: str, samples: Sequence[tuple[float, int]], seconds: float) -> Iterator[Line]:
    def quarter(number: int) -> float:
        first, last = seconds * (number - 1) / 4, seconds * number / 4
        return statistics.median(size for at, size in samples if first <= at < last)

    second, fourth = quarter(2), quarter(4)
    yield fact(part, "resident, second quarter", [second / 1e6], "MB")
    yield fact(part, "resident, last quarter", [fourth / 1e6], "MB")
    yield fact(part, "resident, highest", [max(size for _, size in samples) / 1e6], "MB")
    yield at_most(part, "resident, last / second quarter", [fourth / second], GROWTH, "")
