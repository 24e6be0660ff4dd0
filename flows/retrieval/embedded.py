"""Qdrant in a folder, without a server: `qdrant-client`'s local mode, for one process at a time."""

import fcntl
import pickle
import sqlite3
import time
from pathlib import Path
from typing import IO

from qdrant_client import QdrantClient
from qdrant_client.local.qdrant_local import QdrantLocal

from flows.retrieval.retriever import IndexUnavailableError, RetrievalError

_POLL_SECONDS = 0.1
_DAMAGED = (
    *(ValueError, TypeError, LookupError, AttributeError, ImportError, EOFError),  # of JSON and pickle
    *(sqlite3.DatabaseError, pickle.UnpicklingError),
)


class EmbeddedQdrant:
    """A client of the folder, and the lock that keeps other processes out of it until `close`."""

    def __init__(self, folder: Path, patience: float) -> None:
        """Open `folder`, made where it is not there, after at most `patience` seconds of waiting for its lock.

        Qdrant's own lock is taken after the points are read, too late for two processes that start together.

        Raises:
            IndexUnavailableError: another process holds the folder.
            RetrievalError: what lies in it cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = _take(folder, patience)
        try:
            self.client = QdrantClient(path=str(folder))
        except _DAMAGED as error:
            self._lock.close()
            raise RetrievalError(
                f"The embedded Qdrant in {folder} is damaged ({type(error).__name__}: {error}): remove the folder. "
                "It holds vectors alone, which the next indexing computes again."
            ) from error
        except RuntimeError as error:  # somebody who does not know our lock
            self._lock.close()
            raise _busy(folder) from error

    def hurry(self, collection: str) -> None:
        """Write points of `collection` without waiting for the disk after each.

        Local mode commits point by point, and a commit takes SQLite two waits of the disk: 19 ms a point were
        measured. A killed process loses nothing by it; after a power cut the file may be damaged, which `__init__`
        reports.
        """
        local = self.client._client
        assert isinstance(local, QdrantLocal)
        points = local.collections[collection].storage
        assert points is not None
        points.storage.execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        """Close the client, then let others in."""
        self.client.close()
        self._lock.close()


def _take(folder: Path, patience: float) -> IO[str]:
    lock = (folder / "reranker.lock").open("w")
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                lock.close()
                raise _busy(folder) from None
            time.sleep(_POLL_SECONDS)
        else:
            return lock


def _busy(folder: Path) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"The embedded Qdrant in {folder} is in use, and it serves one process at a time: wait until the other run "
        "ends, or set RERANKER_RETRIEVAL__QDRANT_URL to a server."
    )
