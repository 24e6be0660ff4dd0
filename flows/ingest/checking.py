"""From a row of a file to a pair of the contract, or to the reason why not."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

MAX_TEXT_CHARACTERS = 100_000
"""Of a query or a document. A reranker reads a few thousand at most; more is a parsing accident."""
MAX_NAME_CHARACTERS = 256
"""Of a source or subject_id."""
CLOCK_SKEW = timedelta(minutes=10)
"""How far ahead of ours another machine's clock may be."""

_LABELS: Mapping[str, int] = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


class UnusableRow(Exception):
    """The row breaks the contract; the message says how, without quoting it."""


class Pair(NamedTuple):
    """The columns of PAIR_SCHEMA, in order."""

    query: str
    document: str
    relevance: int
    source: str
    created_at: datetime
    grade: int | None
    subject_id: str | None


def pair_from(values: Mapping[str, Any], default_source: str, now: datetime) -> Pair:
    """Return the pair that `values` (field -> value) describe; UnusableRow says what is wrong.

    `now` (UTC) dates rows that have no date, and is the limit for those that have.
    """
    return Pair(
        query=_text("query", values.get("query")),
        document=_text("document", values.get("document")),
        relevance=_relevance(values.get("relevance")),
        source=_name("source", values.get("source")) or default_source,
        created_at=_created_at(values.get("created_at"), now),
        grade=_grade(values.get("grade")),
        subject_id=_name("subject_id", values.get("subject_id")),
    )


def _text(field: str, value: Any) -> str:
    if value is None or _is_nan(value):
        raise UnusableRow(f"{field} is missing")
    if not isinstance(value, str):
        raise UnusableRow(f"{field} is not text")
    if not value:
        raise UnusableRow(f"{field} is empty")
    _check_characters(field, value)
    if len(value) > MAX_TEXT_CHARACTERS:
        raise UnusableRow(f"{field} is longer than {MAX_TEXT_CHARACTERS:,} characters")
    if value.isspace():
        raise UnusableRow(f"{field} is blank")
    return value


def _name(field: str, value: Any) -> str | None:
    """Return a short optional text; blank is none. Whole numbers are names too, as ids often are."""
    if value is None or _is_nan(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise UnusableRow(f"{field} is not text")
    _check_characters(field, value)
    if len(value) > MAX_NAME_CHARACTERS:
        raise UnusableRow(f"{field} is longer than {MAX_NAME_CHARACTERS} characters")
    return value.strip() or None


def _check_characters(field: str, value: str) -> None:
    if "\0" in value:
        raise UnusableRow(f"{field} holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnusableRow(f"{field} is not valid UTF-8") from None


def _relevance(value: Any) -> int:
    if value is None or _is_nan(value) or value == "":
        raise UnusableRow("relevance is missing")
    label = _LABELS.get(value.strip().lower()) if isinstance(value, str) else _whole(value)
    if label not in (0, 1):
        raise UnusableRow("relevance is not 0 or 1")
    return label


def _grade(value: Any) -> int | None:
    if isinstance(value, str):
        value = value.strip()
    if value is None or _is_nan(value) or value == "":
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    grade = None if isinstance(value, bool) else _whole(value)
    if grade not in (0, 1, 2, 3):
        raise UnusableRow("grade is not 0, 1, 2 or 3")
    return grade


def _whole(value: Any) -> int | None:
    """Return a bool, int or float without a fraction as int, anything else as None."""
    if isinstance(value, int):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _created_at(value: Any, now: datetime) -> datetime:
    """Return a time in UTC; one without a zone is taken as UTC."""
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "" or _is_nan(value):
        return now
    try:
        at = _time(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnusableRow("created_at is not a date: use ISO 8601, such as 2026-01-31T12:00:00Z") from None
    if at > now + CLOCK_SKEW:
        raise UnusableRow("created_at is in the future")
    return at


def _time(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    raise ValueError


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
