"""What the scheduler believes of the engine's speed, on real time."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from bento.model.encoded import EncodedPair
from bento.scoring.job import Job
from bento.scoring.scheduler import Scheduler
from bento.telemetry.metrics import Metrics

SECONDS, TOKENS = 0.005, 64


class SlowEngine:
    """Takes `SECONDS` for a micro-batch."""

    streams = 1

    def run(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        time.sleep(SECONDS)
        return np.zeros(len(pairs), dtype=np.float32)


def test_a_busy_event_loop_makes_no_engine_look_faster_than_it_is() -> None:
    """Results that wait for the loop together look as if the later ones had taken no time."""

    async def story() -> float:
        metrics = Metrics("slow:1", CollectorRegistry())
        loop = asyncio.get_running_loop()
        scheduler = Scheduler(SlowEngine(), TOKENS, metrics, clock=time.monotonic, learned=lambda key, scored: None)
        pairs = [
            (bytes([n]), EncodedPair([1] * TOKENS, [0] * TOKENS, truncated=False, unusual=False)) for n in range(9)
        ]
        await scheduler.measure([pairs[0][1]])
        job = Job(len(pairs), time.monotonic() + 60, loop.create_future())
        scheduler.add(job, pairs)
        while not job.done.done():
            await asyncio.sleep(0)
            time.sleep(4 * SECONDS)  # the loop is busy
        scheduler.shut_down()
        return scheduler.throughput.rate

    assert asyncio.run(story()) <= TOKENS / SECONDS
