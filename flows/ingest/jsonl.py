"""JSONL files: one JSON object a line."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from flows.ingest.lines import lines_of
from flows.ingest.mapping import ColumnMapping
from flows.ingest.record import Record
from flows.store.bounded import bounded

_LOOK_AHEAD = 1_000  # lines whose fields count as the file's columns
_LOOK_AHEAD_CHARACTERS = 16_000_000


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any] | str, str]]:
    """Yield line, object and text of each line that is not blank; in place of the object, why it is none."""
    for line, text in lines_of(path):
        if text.isspace():
            continue
        found: Any
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = "the line is not JSON"
        else:
            if not isinstance(found, dict):
                found = "the line is not a JSON object"
        yield line, found, text.rstrip("\r\n")


def jsonl_records(path: Path, mapping: ColumnMapping) -> Iterator[Record]:
    """Yield the rows of a JSONL file."""
    lines = json_objects(path)
    first = next(bounded(lines, _LOOK_AHEAD, lambda line: len(line[2]), _LOOK_AHEAD_CHARACTERS), [])
    seen = {name: None for _, found, _ in first if isinstance(found, dict) for name in found}
    if seen:
        mapping.found_in(path, seen)
    columns = mapping.model_dump()
    for line, found, text in chain(first, lines):
        if isinstance(found, str):
            yield Record(line, {}, text, fault=found)
        else:
            yield Record(line, {field: found.get(column) for field, column in columns.items()}, text)
