"""Which freshly labelled queries are judged, and how many of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA, text_id
from flows.contracts.snapshot import Snapshot
from flows.quality import Selection, select
from flows.settings import CleaningSettings, QualitySettings
from flows.snapshot import freeze

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SETTINGS = QualitySettings(min_queries=4, min_record=3)
CLEANING = CleaningSettings(test_share=0.5)


def lists(names: range, day: float, candidates: int = 4, relevant: int = 1, word: str = "question") -> pa.RecordBatch:
    """Return the lists of queries that are called by number, one an hour from `day` on."""
    rows: list[dict[str, Any]] = [
        {
            "query": f"{word} {name}",
            "document": f"answer {candidate} to {word} {name}",
            "relevance": int(candidate < relevant),
            "source": "test",
            "created_at": START + timedelta(days=day, hours=position),
        }
        for position, name in enumerate(names)
        for candidate in range(candidates)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=PAIR_SCHEMA)


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Twenty queries of four candidates, ten of them the test side."""
    return freeze([lists(range(20), 0)], CLEANING, tmp_path, {}, NOW).snapshot


def choose(snapshot: Snapshot, *batches: pa.RecordBatch, settings: QualitySettings = SETTINGS) -> Selection:
    return select(batches, snapshot, settings, CLEANING, NOW)


def names(*numbers: int, word: str = "question") -> set[str]:
    return {text_id(f"{word} {number}") for number in numbers}


@pytest.mark.parametrize(("queries", "look", "judged"), [(3, 0, 0), (4, 1, 4), (7, 1, 4), (8, 2, 8), (17, 3, 16)])
def test_the_oldest_are_judged_whenever_they_have_doubled(
    snapshot: Snapshot, queries: int, look: int, judged: int
) -> None:
    found = choose(snapshot, lists(range(100, 100 + queries), 10))
    assert (found.look, found.comparable, len(found.fresh)) == (look, queries, judged)
    assert set(found.fresh.index) == names(*range(100, 100 + judged))
    assert (found.pairs is None) == (judged == 0)
    if found.pairs is not None:
        assert set(found.pairs["query_id"].to_pylist()) == set(found.fresh.index)
        assert found.pairs.num_rows == 4 * judged


def test_what_the_snapshot_held_is_not_fresh(snapshot: Snapshot) -> None:
    held_again = lists(range(10, 20), 10, candidates=5)  # five more labels of queries that it knows
    found = choose(snapshot, lists(range(20), 0), held_again, lists(range(100, 105), 10))
    assert set(found.fresh.index) == names(100, 101, 102, 103)
    assert found.comparable == 5


def test_what_is_not_newer_than_the_snapshot_is_not_fresh(snapshot: Snapshot) -> None:
    end = (snapshot.manifest.last_pair_at - START) / timedelta(days=1)
    found = choose(snapshot, lists(range(100, 101), end), lists(range(200, 201), end + 1e-6))
    assert found.comparable == 1


def test_fresh_pairs_are_cleaned(snapshot: Snapshot) -> None:
    hopeless = [lists(range(200, 209), 10, candidates=4, relevant=r) for r in (0, 4)]
    alone = lists(range(300, 309), 10, candidates=1, word="alone")
    found = choose(snapshot, *hopeless, alone)
    assert (found.look, found.comparable, found.unlike) == (0, 0, 0)


def test_lists_of_another_kind_are_counted_and_not_judged(snapshot: Snapshot) -> None:
    found = choose(snapshot, lists(range(100, 104), 10), lists(range(6), 10, candidates=2, word="short"))
    assert (found.comparable, found.unlike) == (4, 6)
    assert set(found.fresh.index) == names(100, 101, 102, 103)


def test_a_kind_that_is_rare_in_the_record_is_no_record(snapshot: Snapshot) -> None:
    found = choose(snapshot, lists(range(100, 105), 10), settings=QualitySettings(min_queries=4, min_record=11))
    assert (found.look, found.comparable, found.unlike) == (0, 0, 5)


def test_more_than_the_limit_are_sampled_alike(snapshot: Snapshot) -> None:
    few = QualitySettings(min_queries=4, min_record=3, max_queries=5)
    batch = lists(range(100, 117), 10)
    found = choose(snapshot, batch, settings=few)
    assert (len(found.fresh), len(found.record), found.look) == (5, 5, 3)
    assert set(found.fresh.index) == set(sorted(names(*range(100, 116)))[:5])


@pytest.mark.parametrize("batches", [[], [lists(range(0), 10)], [lists(range(20), 0)]], ids=["none", "empty", "old"])
def test_without_fresh_pairs_there_is_nothing_to_judge(snapshot: Snapshot, batches: list[pa.RecordBatch]) -> None:
    found = choose(snapshot, *batches)
    assert (found.pairs, found.look, found.comparable, found.unlike) == (None, 0, 0, 0)
    assert len(found.record) == 10
