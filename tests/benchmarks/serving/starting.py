"""How soon the service is ready, and how large it is."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.contracts.release import PackagedBento
from tests.benchmarks.serving.report import Line, at_most, fact
from tests.benchmarks.serving.systems import System, seconds_until_ready


def starts(bento: PackagedBento, folder: Path, count: int, options: Mapping[str, str]) -> Iterator[Line]:
    """From the start of the process to /readyz; every start must be in time."""
    seconds = [seconds_until_ready(bento, folder, options) for _ in range(count)]
    yield fact("start", "ready after, median", seconds, "s")
    yield at_most("start", "ready after, worst", [max(seconds)], 3.0, "s")


def memory(system: System) -> Iterator[Line]:
    """Resident memory of each process now, after the load."""
    (_, leader), *workers = system.resident().items()
    if workers:
        yield fact("memory", "process that watches the workers", [leader / 1e6], "MB")
    sizes = [size / 1e6 for _, size in workers] or [leader / 1e6]
    yield at_most("memory", "largest worker after load", [max(sizes)], 400, "MB")
