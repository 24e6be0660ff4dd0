"""The engine of the service alone, in a process of its own: the most that any server could get out of it."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bento.model.model import Model
from bento.processors import available_processors

Pairs = Sequence[tuple[str, str]]

BLOCK = 256
"""Pairs that a stream tokenises and sorts by length before it reads them."""
SIZES = 4, 8, 16, 32
"""Pairs in a micro-batch that are tried; the fastest is used."""

_model: Model
_size = 8


class BareEngine:
    """Tokenises and scores in the other process."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def tune(self, pairs: Pairs, seconds: float) -> float:
        """Choose the micro-batch that reads `pairs` fastest, and return its pairs a second."""
        return self._pool.submit(_tune, pairs, seconds).result()

    def throughput(self, pairs: Pairs, seconds: float) -> float:
        """Return pairs a second with all streams busy, tokenising included."""
        return self._pool.submit(_throughput, pairs, seconds).result()

    def latencies(self, pairs: Pairs, seconds: float) -> list[float]:
        """Return the seconds that each pair takes on its own."""
        return self._pool.submit(_latencies, pairs, seconds).result()

    def scores(self, pairs: Pairs) -> npt.NDArray[np.float64]:
        """Return the relevance of each pair, 0..1, each read alone."""
        return self._pool.submit(_scores, pairs).result()


@contextmanager
def bare_engine(folder: Path) -> Iterator[BareEngine]:
    """Open the model that the service serves, in a process that ends with the block."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_open, initargs=(folder,)) as pool:
        yield BareEngine(pool)


def _open(folder: Path) -> None:
    global _model
    _model = Model.open(folder, threads=available_processors())


def _tune(pairs: Pairs, seconds: float) -> float:
    global _size
    rates = {size: _rate(pairs, seconds, size) for size in SIZES}
    _size = max(rates, key=lambda size: rates[size])
    return rates[_size]


def _throughput(pairs: Pairs, seconds: float) -> float:
    return _rate(pairs, seconds, _size)


def _rate(pairs: Pairs, seconds: float, size: int) -> float:
    blocks = iter([pairs[first : first + BLOCK] for first in range(0, len(pairs), BLOCK)])

    def stream(_: int) -> float:
        start = time.perf_counter()
        done = 0
        for block in blocks:
            encoded = sorted(_model.encode(block), key=len)
            for first in range(0, len(encoded), size):
                done += len(_model.engine.run(encoded[first : first + size]))
                if (passed := time.perf_counter() - start) > seconds:
                    return done / passed
        raise RuntimeError("The engine is faster than foreseen: more pairs must be prepared.")

    streams = _model.engine.streams
    with ThreadPoolExecutor(streams) as threads:
        return sum(threads.map(stream, range(streams)))


def _latencies(pairs: Pairs, seconds: float) -> list[float]:
    taken: list[float] = []
    start = before = time.perf_counter()
    for pair in pairs:
        if before - start > seconds:
            return taken
        _model.engine.run(_model.encode([pair]))
        taken.append((after := time.perf_counter()) - before)
        before = after
    raise RuntimeError("The engine is faster than foreseen: more pairs must be prepared.")


def _scores(pairs: Pairs) -> npt.NDArray[np.float64]:
    logits = np.array([_model.engine.run([pair])[0] for pair in _model.encode(pairs)], dtype=np.float64)
    return np.asarray(1 / (1 + np.exp(-logits)))
