"""Tasks on all processors, each with the histories and the embeddings at hand."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from tests.benchmarks.drift.embeddings import Embeddings
from tests.benchmarks.drift.history import History

Task = TypeVar("Task")
Result = TypeVar("Result")

REPORT_SECONDS = 15.0

_folder: Path
_with_embeddings: bool


class Workers:
    """Processes that live for the whole run."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def spread(self, work: Callable[[Task], Sequence[Result]], tasks: Sequence[Task], what: str) -> list[Result]:
        """Return everything that `work` found for every task, in the order of the tasks; says how far it is."""
        start = told = time.monotonic()
        running = [self._pool.submit(work, task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(running), 1):
                future.result()  # what fails ends the run now, not at its end
                now = time.monotonic()
                if now - told > REPORT_SECONDS or done == len(tasks):
                    told = now
                    print(f"{what}: {done} of {len(tasks)}, {now - start:.0f} s", file=sys.stderr, flush=True)
            return [finding for future in running for finding in future.result()]
        finally:
            for future in running:
                future.cancel()


@contextmanager
def workers(count: int, folder: Path, *, with_embeddings: bool) -> Iterator[Workers]:
    """Start `count` processes that read the histories in `folder`, and the embeddings if asked to.

    Each uses one processor: libraries that start threads of their own would only stand in each other's way.
    """
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))
    try:
        with ProcessPoolExecutor(
            count, multiprocessing.get_context("spawn"), initializer=_open, initargs=(folder, with_embeddings)
        ) as pool:
            yield Workers(pool)
    finally:
        for name, value in threads.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@cache
def history(name: str) -> History:
    """Return the history of that name, in a worker."""
    return History.read(_folder / f"{name}.parquet")


@cache
def embeddings() -> Embeddings | None:
    """Return the texts' embeddings, in a worker; None where none are wanted."""
    return Embeddings.read(_folder) if _with_embeddings else None


def _open(folder: Path, with_embeddings: bool) -> None:
    global _folder, _with_embeddings
    _folder, _with_embeddings = folder, with_embeddings
