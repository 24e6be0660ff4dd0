"""A table and a snapshot that meet every expectation, for tests to break."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA
from flows.settings import CleaningSettings, ValidationSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def now():
    return NOW


@pytest.fixture
def settings():
    return ValidationSettings(min_pairs=200, min_queries=50, min_test_queries=5)


@pytest.fixture
def cleaning():
    return CleaningSettings(max_query_characters=100, max_document_characters=200)


@pytest.fixture
def rows():
    """60 queries of 6 candidates, 2 of them relevant, one query an hour; the last is an hour old."""
    return [
        {
            "query": f"question {query}",
            "document": f"answer {candidate} to question {query}",
            "relevance": int(candidate < 2),
            "source": "test",
            "created_at": NOW - timedelta(hours=60 - query),
            "grade": candidate % 4,
            "subject_id": None,
        }
        for query in range(60)
        for candidate in range(6)
    ]


@pytest.fixture
def make_table():
    return lambda rows: pa.Table.from_pylist(rows, schema=PAIR_SCHEMA)
