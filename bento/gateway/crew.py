"""The workers of one server, as they know of each other: which are ready, and whether they drain.

They share a folder. Each holds a lock on a file of its own there for as long as it lives, which the kernel lets go of
however it dies; so nobody has to be asked, and no number of a dead process is ever taken for a living one.
"""

import asyncio
import fcntl
import logging
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from bento.telemetry.workers import server_name

logger = logging.getLogger("bentoml.reranker")

_DRAINING = "draining"
PATIENCE = 30.0
"""Seconds a lost worker may take to be replaced. BentoML does that, except inside a container."""


class Crew:
    """This worker among its siblings."""

    def __init__(self, size: int, folder: Path) -> None:
        """Make `folder` if needed; `size` workers are expected."""
        self._size = size
        self._folder = folder
        self._draining = str(folder / _DRAINING)
        self._lock: TextIO | None = None
        self._was_complete = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to somebody else, who could stop this service: remove it")

    @classmethod
    def of_this_server(cls, size: int, alone: bool = False) -> "Crew":
        """Return the crew of the workers that this process's parent started, or of this process `alone`."""
        leader = server_name(os.getpid() if alone else os.getppid())
        return cls(size, Path(tempfile.gettempdir()) / f"reranker-crew-{os.getuid()}-{leader}")

    def join(self) -> None:
        """Count as alive from now on, until this process ends; again where somebody cleared the folder."""
        path = self._folder / f"worker-{os.getpid()}"
        while self._lock is None or not path.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = path.open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def leave(self) -> None:
        """Count as gone; the last one takes the folder away."""
        if self._lock is not None:
            Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
        if not self._alive():
            for file in (*self._folder.glob("worker-*"), self._folder / _DRAINING):
                file.unlink(missing_ok=True)
        with suppress(OSError):  # a sibling is still there
            self._folder.rmdir()

    @property
    def complete(self) -> bool:
        """Whether every worker is there."""
        complete = self._alive() >= self._size
        self._was_complete |= complete
        return complete

    @property
    def draining(self) -> bool:
        """Whether somebody asked all of them to take no more requests."""
        return os.path.exists(self._draining)  # noqa: PTH110 - asked with every request, and several times as fast

    def drain(self, on: bool) -> None:
        """Ask all of them to take no more requests, or to take them again."""
        if on:
            (self._folder / _DRAINING).touch()
        else:
            (self._folder / _DRAINING).unlink(missing_ok=True)

    async def watch(self, patience: float = PATIENCE) -> None:
        """End the whole server when a lost worker is not replaced: whoever runs it then starts a whole one.

        A worker whose server was killed ends too: nobody would replace it, and it holds the port.
        """
        leader = os.getppid()
        lost = 0.0
        step = min(1.0, patience)
        while True:
            await asyncio.sleep(step)
            self.join()  # whatever tidies the folder for temporary files knows nothing of locks
            orphaned = os.getppid() != leader
            missing = not self.complete and self._was_complete  # at the start, some take longer than others
            lost = lost + step if orphaned or missing else 0.0
            if lost >= patience:
                logger.critical("a worker is gone and was not replaced in %g s: the server ends", patience)
                os.kill(os.getpid() if orphaned else leader, signal.SIGTERM)
                return

    def _alive(self) -> int:
        return sum(_is_locked(file) for file in self._folder.glob("worker-*"))


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            # Shared, so that two who look at the same time do not take each other for the owner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # it is locked, or there is no file left to look with: then it is not known to be gone
        return True
    return False
