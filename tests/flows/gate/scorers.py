"""Scorers of a known cost. They stand in a module, so that another process can open them."""

import time
from pathlib import Path

import numpy as np

from flows.gate import GateError

MEGABYTE = 1 << 20


class Slow:
    """Takes some milliseconds a list and holds some memory."""

    name = "slow"

    def __init__(self, seconds: float, megabytes: int = 0) -> None:
        self._seconds = seconds
        self._held = np.ones(megabytes * MEGABYTE, dtype=np.uint8)

    def score(self, queries, documents):
        time.sleep(self._seconds)
        return np.zeros(len(queries), dtype=np.float32)


def broken() -> Slow:
    raise GateError("this model cannot be opened")


def write(folder: Path, size: int) -> Path:
    (folder / "inner").mkdir(parents=True)
    (folder / "weights").write_bytes(b"0" * size)
    (folder / "inner" / "more").write_bytes(b"0" * size)
    return folder
