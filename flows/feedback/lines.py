"""Reading files that others still write, remove, or left torn."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    """A whole line of a file."""

    content: bytes
    """Without its line feed."""
    end: int
    """Where the next one starts, in bytes."""


def whole_lines(path: Path, start: int = 0) -> Iterator[Line]:
    """Yield the lines from byte `start` on that end in a line feed; nothing of a file that is gone.

    What stands after the last line feed is still being written, or was torn by the end of its writer.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        end = start
        for content in file:
            if not content.endswith(b"\n"):
                return
            end += len(content)
            yield Line(content[:-1], end)
