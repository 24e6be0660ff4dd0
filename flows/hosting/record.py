"""The append-only record of releases: one JSON object a line."""

import os
from pathlib import Path

from flows.contracts.release import Release


class ReleaseRecord:
    """A file that only grows; a line is on disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, release: Release) -> None:
        """Add `release`. A line that a crash left unfinished is closed first, so that it cannot swallow this one."""
        line = release.model_dump_json() + "\n"
        with self._path.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Release]:
        """Return all releases, oldest first; an unfinished line is no release."""
        if not self._path.is_file():
            return []
        lines = self._path.read_bytes().splitlines()
        return [Release.model_validate_json(line) for line in lines if line.endswith(b"}")]

    def last_live(self) -> Release | None:
        """Return the release that got the traffic last and kept it."""
        return next((release for release in reversed(self.read()) if release.outcome == "live"), None)
