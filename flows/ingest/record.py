"""What readers hand over: rows of values, and rows that could not even be taken apart."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file."""

    position: int
    """Its line or row, counted from 1."""
    values: Mapping[str, Any]
    """Field of the pair -> value as the file has it. Text that is not UTF-8 is decoded with surrogateescape."""
    raw: Any
    """The row as the file has it, for the quarantine: cells by column name, or the line."""
    origin: str | None = None
    """The file, where one import reads several."""
    fault: str | None = None
    """Why the row could not be taken apart, in words; `values` is empty then."""

    def characters(self) -> int:
        """Return about how much text the row holds."""
        texts = (*self.values.values(), self.raw)
        return sum(len(text) for text in texts if isinstance(text, str))


def raw_json(raw: Any) -> str:
    """Return `raw` as JSON text that every database can store and that gives back the file's bytes.

    Text stays readable, whatever its script; only where a row holds lone surrogates (which is how broken UTF-8 was
    decoded) is everything beyond ASCII escaped.
    """
    text = json.dumps(raw, ensure_ascii=False, default=_plain)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(raw, default=_plain)
    return text


def _plain(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
