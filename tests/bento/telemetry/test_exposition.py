import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bento.gateway.exchange import Request
from bento.scoring.scored import ScoredPair
from bento.telemetry.exposition import WINDOW, Exposition
from bento.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[3]
WORKER = """
import sys
from bento.telemetry.metrics import Metrics
from bento.scoring.scored import ScoredPair
metrics = Metrics("reranker:3")
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""

Sample = tuple[str, tuple[tuple[str, str], ...]]


def read(text: bytes) -> dict[Sample, float]:
    """Return the samples, as a scraper of others reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


class Worker:
    """A process that counts as a worker of BentoML's does."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        )
        self.label = (("worker", str(self._process.pid)),)

    def do(self, statement: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(statement + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def kill(self, reap: bool = True) -> None:
        self._process.kill()
        if reap:
            self._process.communicate()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.kill()


PAIR = ScoredPair(0.0, 80, False, False, False)


def test_workers_are_added_up_and_dead_ones_let_their_gauges_go(tmp_path: Path, worker: Callable[[], Worker]) -> None:
    first, second = worker(), worker()
    first.do("metrics.answered('/v1/rerank', 200, 0.01); metrics.queued(100); metrics.started(1.0)")
    second.do("metrics.answered('/v1/rerank', 200, 0.3); metrics.queued(20); metrics.started(2.5)")
    second.do("metrics.scored([ScoredPair(0.0, 80, True, True, False)] * 3); metrics.ran(75, 100)")
    answers = ("reranker_requests_total", (("model", "reranker:3"), ("route", "/v1/rerank"), ("status", "200")))
    exposition = Exposition(None, folder=tmp_path, server=os.getpid())

    samples = read(exposition.text())
    assert samples[answers] == 2
    assert samples["reranker_request_seconds_count", (("route", "/v1/rerank"),)] == 2
    assert samples["reranker_request_seconds_bucket", (("le", "0.01"), ("route", "/v1/rerank"))] == 1
    assert samples["reranker_queue_tokens", ()] == 120
    assert samples["reranker_cold_start_seconds", ()] == 2.5
    assert samples["reranker_truncated_documents_total", ()] == 3
    assert samples["reranker_padding_share", ()] == 0.25
    assert samples["reranker_model_info", (("model", "reranker:3"),)] == 1
    for one in (first, second):
        assert samples["reranker_worker_resident_bytes", one.label] > 10 * 2**20
        assert samples["reranker_worker_cpu_seconds_total", one.label] > 0
        assert samples["reranker_worker_open_files", one.label] > 2

    second.kill(reap=False)  # a zombie is as dead
    asyncio.run(_until(lambda: second.label not in [key[1] for key in read(exposition.text())]))
    samples = read(exposition.text())
    assert samples[answers] == 2  # what was answered stays answered
    assert samples["reranker_queue_tokens", ()] == 100


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def test_a_dead_workers_number_that_a_stranger_got_is_no_worker(tmp_path: Path) -> None:
    for name in ("gauge_livesum", "counter"):
        (tmp_path / f"{name}_{os.getpid()}.db").write_bytes(bytes(2**16))  # this process is no child of itself
    text = Exposition(None, folder=tmp_path, server=os.getpid()).text()
    assert b"reranker_worker_resident_bytes{" not in text
    assert not (tmp_path / f"gauge_livesum_{os.getpid()}.db").exists()
    assert (tmp_path / f"counter_{os.getpid()}.db").exists()


def test_a_file_that_was_only_just_made_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / f"counter_{os.getpid()}.db").touch()
    assert b"reranker_worker_resident_bytes{" in Exposition(None, folder=tmp_path).text()


def test_one_process_tells_its_own_registry() -> None:
    registry = CollectorRegistry()
    Metrics("reranker:3", registry).answered("/v1/rerank", 200, 0.01)
    exposition = Exposition(None, registry)
    request = Request("id", "/metrics", b"", {}, "anonymous", time.monotonic() + 1)
    route = exposition.route()
    reply = asyncio.run(route.handle(request))
    assert (route.method, route.path, route.access) == ("GET", "/metrics", "metrics")
    assert reply.media_type.startswith("text/plain; version=")
    samples = read(reply.body)
    assert samples["reranker_worker_resident_bytes", (("worker", str(os.getpid())),)] > 0
    assert not any(name.startswith("reranker_cost") or name == "reranker_hourly_price" for name, _ in samples)


def test_the_cost_of_1000_requests_follows_the_price_and_the_rate() -> None:
    registry = CollectorRegistry()
    metrics = Metrics("reranker:3", registry)
    started = registry.get_sample_value("reranker_start_time_seconds")
    assert started is not None
    now = [started]
    exposition = Exposition(0.36, registry, clock=lambda: now[0])
    since_start = ("reranker_cost_per_1000_requests", (("window", "start"),))
    recent = ("reranker_cost_per_1000_requests", (("window", "recent"),))

    samples = read(exposition.text())
    assert samples["reranker_hourly_price", ()] == 0.36
    assert since_start not in samples  # nothing was asked: 1,000 requests have no price
    for _ in range(500):
        metrics.scored([PAIR])
    now[0] += 100
    assert read(exposition.text())[since_start] == pytest.approx(0.36 * 100 / 3_600 / 0.5)

    for _ in range(1_000):
        metrics.scored([PAIR])
    now[0] += WINDOW
    samples = read(exposition.text())
    assert samples[since_start] == pytest.approx(0.36 * 400 / 3_600 / 1.5)
    assert samples[recent] == pytest.approx(0.36 * 300 / 3_600 / 1.0)

    now[0] += 100
    samples = read(exposition.text())
    assert recent not in samples  # an idle window has none
    assert samples[since_start] == pytest.approx(0.36 * 500 / 3_600 / 1.5)


def test_asking_often_fills_no_memory() -> None:
    registry = CollectorRegistry()
    Metrics("reranker:3", registry)
    now = [0.0]
    exposition = Exposition(1.0, registry, clock=lambda: now[0])
    for _ in range(2_000):
        now[0] += 0.3
        list(exposition._cost.collect([], now[0]))  # type: ignore[union-attr]
    assert len(exposition._cost._scrapes) <= 61  # type: ignore[union-attr]


def test_this_server_means_the_folder_that_bentoml_names(tmp_path: Path, worker: Callable[[], Worker]) -> None:
    worker().do("metrics.refused('overloaded')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        samples = read(Exposition.of_this_server(1.0).text())
        patch.delenv("PROMETHEUS_MULTIPROC_DIR")
        other = read(Exposition.of_this_server(None).text())
    assert samples["reranker_refusals_total", (("reason", "overloaded"),)] == 1
    assert ("reranker_refusals_total", (("reason", "overloaded"),)) not in other
