"""Pairs to clean, split and freeze."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    """Return the rows as a batch; what a row leaves out has an ordinary value."""
    ordinary = {"source": "test", "created_at": NOW - timedelta(days=1), "grade": None, "subject_id": None}
    return pa.RecordBatch.from_pylist([{**ordinary, **row} for row in rows], schema=PAIR_SCHEMA)


def make_lists(queries: int, candidates: int = 4, positives: int = 1) -> list[dict[str, Any]]:
    """Return rows of candidate lists; query number 0 is the oldest, one hour apart."""
    return [
        {
            "query": f"question {query}",
            "document": f"answer {candidate} to question {query}",
            "relevance": int(candidate < positives),
            "created_at": NOW - timedelta(hours=queries - query),
        }
        for query in range(queries)
        for candidate in range(candidates)
    ]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def batch() -> Callable[..., pa.RecordBatch]:
    return make_batch


@pytest.fixture
def lists() -> Callable[..., list[dict[str, Any]]]:
    return make_lists
