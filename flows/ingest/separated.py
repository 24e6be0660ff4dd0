"""CSV and TSV files."""

import csv
from collections.abc import Iterator
from pathlib import Path

from flows.ingest.failure import ImportFailed
from flows.ingest.lines import MAX_LINE_BYTES, lines_of
from flows.ingest.mapping import ColumnMapping
from flows.ingest.record import Record


class _Lines:
    """Lines for csv.reader, remembering those that the row in hand was made of."""

    def __init__(self, path: Path) -> None:
        self._lines = lines_of(path)
        self.first = 0
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        if not self.taken:
            self.first = number
        self.taken.append(line)
        return line


def table_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str] | None, str]]:
    """Yield line, cells and text of each row that is not empty; cells are None where quotes are not well formed.

    Quotes follow RFC 4180, so a cell may hold line ends.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        lines.taken = []
        cells: list[str] | None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = None
        if cells != []:
            yield lines.first, cells, "".join(lines.taken)


def separated_records(path: Path, mapping: ColumnMapping, separator: str) -> Iterator[Record]:
    """Yield the rows of a CSV or TSV file with a header line."""
    rows = table_rows(path, separator)
    _, header, _ = next(rows, (0, [], ""))
    if not header:
        raise ImportFailed(f"{path} is empty, or its first line is no header: name the columns in the first line")
    if any("\0" in name or not name.isprintable() for name in header):
        raise ImportFailed(f"the first line of {path} is not UTF-8 text: is it a {path.suffix} file, saved as UTF-8?")
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise ImportFailed(f"{path} has several columns named {', '.join(map(repr, sorted(twice)))}: rename them")
    columns = {field: header.index(name) for field, name in mapping.found_in(path, header).items()}
    for line, cells, text in rows:
        if cells is None:
            yield Record(line, {}, text, fault="quotes are not closed, or not doubled inside quotes")
        elif len(cells) != len(header):
            yield Record(line, {}, cells, fault="the row has more or fewer cells than the header")
        else:
            values = {field: cells[index] for field, index in columns.items()}
            yield Record(line, values, dict(zip(header, cells, strict=True)))
