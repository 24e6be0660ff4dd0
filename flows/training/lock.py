"""One training of a challenger at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.training.failures import AlreadyTrainingError, UnwritableModelError


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold the right to write `output`; a process that dies gives it back.

    Raises AlreadyTrainingError when another process, or another thread of this one, holds it.
    """
    lock = output.with_name(output.name + ".lock")
    descriptor = _take(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _take(lock: Path) -> int:
    """Return the descriptor of the locked file."""
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UnwritableModelError(f"Nothing can be written to {lock.parent}: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyTrainingError(
                f"Another process trains {lock.stem} now: wait until it is done, or stop it and start again."
            ) from error
        os.close(descriptor)  # its holder has just removed the file: take the one that comes after it
