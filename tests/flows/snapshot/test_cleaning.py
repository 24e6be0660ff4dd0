"""What cleaning keeps, what it drops and how it counts."""

from datetime import timedelta

import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA, normalise
from flows.contracts.snapshot import DROP_REASONS
from flows.settings import CleaningSettings
from flows.snapshot import InvalidPairsError, NoPairsError, clean
from flows.snapshot.cleaning import CLEANED_SCHEMA

SETTINGS = CleaningSettings(max_query_characters=30, max_document_characters=40, min_candidates=2)


def good_list():
    return [
        {"query": "How to sort?", "document": "Call sort.", "relevance": 1},
        {"query": "How to sort?", "document": "Call hash.", "relevance": 0},
    ]


def test_good_pairs_pass_unchanged(batch, now):
    rows = good_list()
    cleaned = clean([batch(*rows)], SETTINGS, now)
    assert cleaned.table.schema == CLEANED_SCHEMA
    kept = cleaned.table.select(["query", "document", "relevance"]).to_pylist()
    assert sorted(kept, key=str) == sorted(rows, key=str)
    assert (cleaned.counts.read, cleaned.counts.kept, cleaned.counts.dropped) == (2, 2, {})


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("missing_value", {"source": None}),
        ("missing_value", {"created_at": None}),
        ("invalid_label", {"relevance": 2}),
        ("invalid_label", {"relevance": -1}),
        ("invalid_label", {"relevance": None}),
        ("invalid_label", {"grade": 4}),
        ("invalid_label", {"grade": -1}),
        ("blank_text", {"query": " \t\n"}),
        ("blank_text", {"document": "\u3000"}),
        ("blank_text", {"query": None}),
        ("blank_text", {"document": None}),
        ("query_too_long", {"query": "ä" * 31}),
        ("document_too_long", {"document": "x" * 41}),
        ("document_too_long", {"document": "x" * 1_000_000}),
    ],
)
def test_a_bad_row_is_dropped_under_its_reason(batch, now, reason, row):
    bad = {"query": "How to sort?", "document": "Another.", "relevance": 0, **row}
    cleaned = clean([batch(*good_list(), bad)], SETTINGS, now)
    assert cleaned.counts.dropped == {reason: 1}
    assert cleaned.table.num_rows == 2


def test_rows_at_the_limits_stay(batch, now):
    rows = [
        {"query": "ä" * 30, "document": "x" * 40, "relevance": 1, "grade": 3, "created_at": now},
        {"query": "ä" * 30, "document": "y" * 40, "relevance": 0, "grade": 0, "created_at": now},
    ]
    assert clean([batch(*rows)], SETTINGS, now).counts.kept == 2


def test_a_date_in_the_future_is_dropped_but_not_a_clock_that_is_ahead(batch, now):
    soon = {"query": "How to sort?", "document": "Now.", "relevance": 0, "created_at": now + timedelta(minutes=1)}
    later = {"query": "How to sort?", "document": "Then.", "relevance": 0, "created_at": now + timedelta(hours=1)}
    cleaned = clean([batch(*good_list(), soon, later)], SETTINGS, now)
    assert cleaned.counts.dropped == {"future_date": 1}
    assert "Now." in cleaned.table["document"].to_pylist()


def test_a_repeated_pair_counts_once_and_the_newest_stays(batch, now):
    older = {"query": "HOW to  sort?", "document": " call SORT. ", "relevance": 1, "created_at": now - timedelta(9)}
    cleaned = clean([batch(older), batch(*good_list())], SETTINGS, now)
    assert cleaned.counts.dropped == {"duplicate": 1}
    assert set(cleaned.table["document"].to_pylist()) == {"Call sort.", "Call hash."}


def test_of_two_labels_the_newest_wins(batch, now):
    retracted = {"query": "how to sort?", "document": "call hash.", "relevance": 1, "created_at": now - timedelta(9)}
    cleaned = clean([batch(retracted, *good_list())], SETTINGS, now)
    assert cleaned.counts.dropped == {"conflict": 1}
    labels = dict(zip(cleaned.table["document"].to_pylist(), cleaned.table["relevance"].to_pylist(), strict=True))
    assert labels == {"Call sort.": 1, "Call hash.": 0}


def test_of_two_labels_of_the_same_time_the_positive_wins(batch, now):
    rows = [*good_list(), {"query": "How to sort?", "document": "call hash.", "relevance": 1}]
    rows.append({"query": "How to sort?", "document": "Call stop.", "relevance": 0})
    for order in (rows, rows[::-1]):
        cleaned = clean([batch(*order)], SETTINGS, now)
        assert cleaned.counts.dropped == {"conflict": 1}
        assert cleaned.table.to_pylist() == clean([batch(*rows)], SETTINGS, now).table.to_pylist()
        assert sum(cleaned.table["relevance"].to_pylist()) == 2


@pytest.mark.parametrize(
    ("reason", "labels"), [("too_few_candidates", [1]), ("no_positive", [0, 0, 0]), ("no_negative", [1, 1])]
)
def test_a_query_that_cannot_be_ranked_is_dropped_whole(batch, now, reason, labels):
    odd = [{"query": "odd", "document": f"text {i}", "relevance": label} for i, label in enumerate(labels)]
    cleaned = clean([batch(*good_list(), *odd)], SETTINGS, now)
    assert cleaned.counts.dropped == {reason: len(labels)}
    assert cleaned.counts.dropped_queries == {reason: 1}
    assert set(cleaned.table["query"].to_pylist()) == {"How to sort?"}


def test_one_query_has_one_spelling_that_of_its_newest_pair(batch, now):
    rows = good_list()
    rows[0] |= {"query": "how TO sort?", "created_at": now - timedelta(hours=1)}
    cleaned = clean([batch(*rows)], SETTINGS, now)
    assert cleaned.table["query"].to_pylist() == ["how TO sort?"] * 2
    assert len(set(cleaned.table["query_id"].to_pylist())) == 1


def test_no_pairs_says_what_to_do(batch, now):
    for batches in ([], [batch()]):
        with pytest.raises(NoPairsError, match="Import"):
            clean(batches, SETTINGS, now)


def test_nothing_left_says_why(batch, now):
    with pytest.raises(NoPairsError, match=f"1: {DROP_REASONS['no_positive']}|2: {DROP_REASONS['no_positive']}"):
        clean([batch(*(row | {"relevance": 0} for row in good_list()))], SETTINGS, now)
    with pytest.raises(NoPairsError, match=DROP_REASONS["blank_text"]):
        clean([batch(*(row | {"query": ""} for row in good_list()))], SETTINGS, now)


def test_a_missing_column_is_named(batch, now):
    broken = pa.RecordBatch.from_pydict({"query": ["a"], "document": ["b"], "relevance": [1], "source": ["s"]})
    with pytest.raises(InvalidPairsError, match="created_at"):
        clean([broken], SETTINGS, now)


def test_a_column_of_another_type_is_named(batch, now):
    good = batch(*good_list())
    index = PAIR_SCHEMA.get_field_index("relevance")
    words = good.set_column(index, "relevance", pa.array(["yes", "no"]))
    with pytest.raises(InvalidPairsError, match="relevance must be int8"):
        clean([words], SETTINGS, now)
    wide = good.set_column(index, "relevance", good["relevance"].cast(pa.int64()))
    assert clean([wide], SETTINGS, now).counts.kept == 2


def test_progress_is_told_the_pairs_read(batch, lists, now):
    seen: list[int] = []
    clean([batch(*lists(3)), batch(*lists(5))], CleaningSettings(), now, seen.append)
    assert seen == [12, 32]


def test_ids_are_those_of_the_normalised_text(batch, lists, now):
    from flows.contracts.pair import text_id

    for row in clean([batch(*lists(4))], CleaningSettings(), now).table.to_pylist():
        assert row["query_id"] == text_id(row["query"]) == text_id(normalise(row["query"]))
        assert row["document_id"] == text_id(row["document"])
