"""What GET /metrics tells: the counts of all workers, and what is worked out of them."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from bento.gateway.exchange import Reply, Request, Route
from bento.telemetry.workers import VARIABLE, living_workers

WINDOW = 300.0
"""Seconds that "recent" looks back."""
_STEP = 5.0


class Exposition(Collector):
    """Collects the metrics of all workers of this server.

    BentoML's workers write their counts to files of one folder, each to its own; whoever is asked reads them all.
    """

    def __init__(
        self,
        hourly_price: float | None,
        registry: CollectorRegistry = REGISTRY,
        folder: Path | None = None,
        server: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder` is the one of prometheus_client's multi-process mode; without one, `registry` has all there is.

        `server` is the process that started the workers; by default the parent of this one.
        """
        self._registry = registry
        self._folder = folder
        self._server = server or os.getppid()
        self._clock = clock
        self._one_at_a_time = Lock()
        self._cost = None if hourly_price is None else _Cost(hourly_price)

    @classmethod
    def of_this_server(cls, hourly_price: float | None) -> "Exposition":
        """Return the exposition for the mode that prometheus_client is in."""
        folder = os.environ.get(VARIABLE)
        return cls(hourly_price, folder=Path(folder) if folder else None)

    def route(self) -> Route:
        """Return GET /metrics."""
        return Route("GET", "/metrics", "metrics", self._answer)

    async def _answer(self, request: Request) -> Reply:
        # Reading the files takes milliseconds, in which the event loop has better to do.
        return Reply(await asyncio.to_thread(self.text), media_type=CONTENT_TYPE_LATEST)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        everything = CollectorRegistry()
        everything.register(self)
        with self._one_at_a_time:
            return generate_latest(everything)

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted, and what follows from it."""
        if self._folder is None:
            workers = {os.getpid()}
            recorded = list(self._registry.collect())
        else:
            workers = living_workers(self._folder, self._server)
            # A file that was only just made holds nothing, not even the number of its entries.
            files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
            recorded = list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]
        yield from recorded
        yield from _processes(workers)
        yield from _padding_share(recorded)
        if self._cost is not None:
            yield from self._cost.collect(recorded, self._clock())


class _Cost:
    """What 1,000 requests cost: price of an hour x hours / thousands of requests whose pairs were scored.

    The host costs the same whether it is asked or not, so an idle host makes its few requests dear, which is the
    truth; without any request in the window there is no value. A window begins with the first worker ("start"), or at
    the oldest of this worker's scrapes within `WINDOW` ("recent").
    """

    def __init__(self, hourly_price: float) -> None:
        self._price = hourly_price
        self._scrapes: deque[tuple[float, float]] = deque()

    def collect(self, recorded: Iterable[Metric], now: float) -> Iterator[Metric]:
        """Yield the price and the costs, and remember this scrape."""
        started = _total(recorded, "reranker_start_time_seconds")
        requests = _total(recorded, "reranker_ranked_requests_total")
        yield GaugeMetricFamily("reranker_hourly_price", "Of the host, as configured.", value=self._price)
        costs = GaugeMetricFamily(
            "reranker_cost_per_1000_requests",
            "Hourly price x hours / thousands of ranked requests, since the start and over the last minutes.",
            labels=["window"],
        )
        while self._scrapes and self._scrapes[0][0] < now - WINDOW:
            self._scrapes.popleft()
        begins = {"start": (started, 0.0)}
        if self._scrapes:
            begins["recent"] = self._scrapes[0]
        for window, (since, before) in begins.items():
            if requests > before and now > since:
                costs.add_metric([window], self._price * (now - since) / 3_600 / ((requests - before) / 1_000))
        yield costs
        if not self._scrapes or now - self._scrapes[-1][0] >= _STEP:  # whoever asks often fills no memory
            self._scrapes.append((now, requests))


def _padding_share(recorded: Iterable[Metric]) -> Iterator[Metric]:
    padding, tokens = _total(recorded, "reranker_padding_tokens_total"), _total(recorded, "reranker_tokens_total")
    if padding + tokens:
        share = padding / (padding + tokens)
        yield GaugeMetricFamily("reranker_padding_share", "Share of padding in all that was read.", value=share)


def _total(metrics: Iterable[Metric], sample: str) -> float:
    return sum(found.value for metric in metrics for found in metric.samples if found.name == sample)


def _processes(workers: Iterable[int]) -> Iterator[Metric]:
    resident = GaugeMetricFamily("reranker_worker_resident_bytes", "Memory of each worker.", labels=["worker"])
    busy = CounterMetricFamily("reranker_worker_cpu_seconds", "Processor time of each worker.", labels=["worker"])
    files = GaugeMetricFamily("reranker_worker_open_files", "File descriptors of each worker.", labels=["worker"])
    for worker in sorted(workers):
        with suppress(psutil.NoSuchProcess):  # it ended just now
            process = psutil.Process(worker)
            times = process.cpu_times()
            resident.add_metric([str(worker)], process.memory_info().rss)
            busy.add_metric([str(worker)], times.user + times.system)
            files.add_metric([str(worker)], process.num_fds())
    yield from (resident, busy, files)
