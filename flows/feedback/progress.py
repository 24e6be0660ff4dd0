"""How far the feedback was read, on disk."""

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from flows.feedback.votes import Vote


class BrokenProgressError(Exception):
    """The file of the progress cannot be read; the message says what to do."""


class Place(BaseModel):
    """How much of a file was read."""

    bytes: int = 0
    lines: int = 0


class Entry(BaseModel):
    """A vote and the line it came from."""

    origin: str
    position: int
    """Line of the file, counted from 1."""
    vote: Vote


class Progress(BaseModel):
    """What was read, and what could not be used yet."""

    files: dict[str, Place] = {}
    """By name of the file."""
    waiting: list[Entry] = []
    """Votes on requests that are not on record yet: the service writes the two side by side."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the progress in `path`, an empty one where there is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as failure:
            raise BrokenProgressError(
                f"{path} cannot be read: remove it, and all feedback that is still on file is collected again, which "
                "doubles nothing"
            ) from failure

    def save(self, path: Path) -> None:
        """Write the progress, whole or not at all, and for good."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(self.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
