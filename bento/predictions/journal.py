"""Append-only files of JSON lines: whole lines, rotated, never written again once they are left.

A file is left when it is large or old enough, after any failure to write, and when the process ends; so only the last
line of a file can be torn, and only a reader of the file that is still written has to expect more.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

SUFFIX = ".jsonl"


class Journal:
    """The file of one worker for one kind of record. Not safe to share between threads."""

    def __init__(
        self, folder: Path, kind: str, worker: str, *, max_file_bytes: int, max_file_seconds: float = 3_600
    ) -> None:
        """Write `<folder>/<kind>-<time>-<worker>.jsonl`; `worker` must differ between the processes that write."""
        self.folder = folder
        self.kind = kind
        self._worker = worker
        self._max_file_bytes = max_file_bytes
        self._max_file_seconds = max_file_seconds
        self._descriptor: int | None = None
        self._bytes = 0
        self._opened = 0.0

    def append(self, lines: bytes, *, durable: bool = False) -> None:
        """Write whole lines, each with its line feed; OSError when the disk refuses, and the next call starts anew.

        With `durable`, they have reached the disk when this returns.
        """
        try:
            descriptor = self._usable(len(lines))
            rest = memoryview(lines)
            while rest:
                written = os.write(descriptor, rest)
                rest = rest[written:]
                self._bytes += written
            if durable:
                os.fsync(descriptor)
        except OSError:
            self.close()  # the next line must not stand behind a torn one
            raise

    def close(self) -> None:
        """Leave the file; what was written is with the operating system already."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _usable(self, coming: int) -> int:
        """Return a descriptor of a file that has a name and room."""
        if self._descriptor is not None and (
            (self._bytes and self._bytes + coming > self._max_file_bytes)
            or time.monotonic() - self._opened > self._max_file_seconds
            or os.fstat(self._descriptor).st_nlink == 0  # somebody removed the file, or the folder
        ):
            self.close()
        if self._descriptor is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self.folder / f"{self.kind}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{self._worker}{SUFFIX}"
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            self._bytes, self._opened = 0, time.monotonic()
            _sync_folder(self.folder)
        return self._descriptor


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def journal_files(folder: Path, kind: str) -> Iterator[tuple[Path, int]]:
    """Yield the files of a kind and their bytes, oldest first; nothing where there is no folder."""
    for path in sorted(folder.glob(f"{kind}-*{SUFFIX}")):
        try:
            yield path, path.stat().st_size
        except FileNotFoundError:
            continue  # another worker removed it


def remove_oldest(folder: Path, kind: str, max_bytes: int) -> int:
    """Remove files of a kind, oldest first, until at most `max_bytes` are left; return how many went."""
    files = list(journal_files(folder, kind))
    total, removed = sum(size for _, size in files), 0
    for path, size in files:
        if total <= max_bytes:
            break
        path.unlink(missing_ok=True)
        total -= size
        removed += 1
    return removed
