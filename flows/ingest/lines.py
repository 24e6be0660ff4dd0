"""Reading text files line by line, with every byte accounted for."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from flows.ingest.failure import ImportFailed

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is read as several, so that a file without line ends cannot fill the memory."""


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number (from 1) and text of each line, with its end. Broken UTF-8 is decoded with surrogateescape."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImportFailed(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        head = file.read(4)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ImportFailed(f"{path} is UTF-16: save it as UTF-8 and import it again")
        file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            yield number, line.decode("utf-8", "surrogateescape")
