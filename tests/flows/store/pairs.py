"""Pairs for the tests of stores."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.contracts.pair import PAIR_SCHEMA
from flows.settings import StoreSettings
from flows.store import AppendCounts, LabelStore, QuarantinedRow, open_store

START = datetime(2026, 1, 1, tzinfo=UTC)


def pair(**fields: Any) -> dict[str, Any]:
    """Return a pair with `fields` and plain values for the others."""
    plain = {"query": "q", "document": "d", "relevance": 1, "source": "s", "created_at": START}
    return {**plain, "grade": None, "subject_id": None, **fields}


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=PAIR_SCHEMA)


def many(numbers: Iterable[int]) -> pa.RecordBatch:
    """Return pairs that differ, a minute apart."""
    return batch(*(pair(query=f"query {n}", created_at=START + timedelta(minutes=n)) for n in numbers))


def stored(store: LabelStore, **window: Any) -> list[dict[str, Any]]:
    """Return everything in the store, by text."""
    rows = pa.Table.from_batches(store.scan(**window), schema=PAIR_SCHEMA).to_pylist()
    return sorted(rows, key=itemgetter("query", "document", "source", "relevance"))


def write(settings: StoreSettings, path: Path, first: int) -> AppendCounts:
    """Append 400 pairs of which half are new, and quarantine 59 rows: work for one of several processes."""
    with open_store(settings, path) as store:
        counts = [store.append(many(range(n, n + 40))) for n in range(first, first + 200, 20)]
        store.quarantine([QuarantinedRow("pairs.csv", line, "query is missing", "{}") for line in range(1, 60)])
    return AppendCounts(*map(sum, zip(*counts, strict=True)))
