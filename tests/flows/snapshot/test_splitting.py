"""The split by query and time, and the undersampling of its training side."""

from collections import defaultdict
from datetime import timedelta

import pytest

from flows.settings import CleaningSettings
from flows.snapshot import TooFewQueriesError, clean, split, undersample

SETTINGS = CleaningSettings()


def sides_of(table):
    sides = defaultdict(set)
    for row in table.to_pylist():
        sides[row["split"]].add(row["query"])
    return sides


@pytest.fixture
def cleaned(batch, lists, now):
    return lambda rows, settings=SETTINGS: clean([batch(*rows)], settings, now).table


def test_the_newest_queries_are_the_test_side(cleaned, lists):
    sides = sides_of(split(cleaned(lists(100)), SETTINGS))
    assert sides["test"] == {f"question {i}" for i in range(85, 100)}
    assert sides["validation"] == {f"question {i}" for i in range(77, 85)}  # 10 % of 85, rounded
    assert sides["train"] == {f"question {i}" for i in range(77)}


def test_a_query_is_as_new_as_its_newest_pair(cleaned, lists, now):
    rows = lists(20)
    rows.append({"query": "Question  0", "document": "a new answer", "relevance": 0, "created_at": now})
    table = split(cleaned(rows), SETTINGS)
    assert {row["split"] for row in table.to_pylist() if row["query"] == "Question  0"} == {"test"}
    newest_training = max(row["created_at"] for row in table.to_pylist() if row["split"] == "train")
    for query in sides_of(table)["test"]:
        assert newest_training <= max(row["created_at"] for row in table.to_pylist() if row["query"] == query)


def test_equal_times_are_split_by_the_hash_of_the_query(cleaned, lists, now):
    rows = [row | {"created_at": now - timedelta(days=1)} for row in lists(40)]
    table = split(cleaned(rows), SETTINGS)
    test_ids = {row["query_id"] for row in table.to_pylist() if row["split"] == "test"}
    assert test_ids == set(sorted(set(table["query_id"].to_pylist()))[-6:])


def test_three_queries_make_three_sides_and_two_do_not(cleaned, lists):
    assert {side: len(queries) for side, queries in sides_of(split(cleaned(lists(3)), SETTINGS)).items()} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    with pytest.raises(TooFewQueriesError, match="2 queries are too few"):
        split(cleaned(lists(2)), SETTINGS)


def test_without_a_validation_share_there_is_no_validation_side(cleaned, lists):
    settings = CleaningSettings(validation_share=0)
    assert set(sides_of(split(cleaned(lists(10)), settings))) == {"train", "test"}


def test_undersampling_reaches_the_share_on_the_training_side_alone(cleaned, lists):
    before = split(cleaned(lists(40, candidates=12)), SETTINGS)
    after = undersample(before, SETTINGS)
    for side in ("validation", "test"):
        assert after.filter(after_is(after, side)).equals(before.filter(after_is(before, side)))
    training = after.filter(after_is(after, "train"))
    labels = training["relevance"].to_pylist()
    assert sum(labels) / len(labels) == pytest.approx(0.30, abs=0.005)
    assert sum(labels) == len(sides_of(before)["train"])  # every positive stays


def after_is(table, side):
    import pyarrow.compute as pc

    return pc.equal(table["split"], side)


def test_undersampling_leaves_every_query_a_negative(cleaned, lists):
    rows = lists(30, candidates=3) + [
        {"query": "question 0", "document": f"more {i}", "relevance": 0, "created_at": lists(30)[0]["created_at"]}
        for i in range(500)
    ]
    after = undersample(split(cleaned(rows), SETTINGS), SETTINGS)
    negatives = {row["query"] for row in after.to_pylist() if row["relevance"] == 0}
    assert negatives == {f"question {i}" for i in range(30)}


def test_undersampling_is_drawn_by_the_seed(cleaned, lists):
    table = split(cleaned(lists(40, candidates=12)), SETTINGS)
    again, other = CleaningSettings(seed=13), CleaningSettings(seed=14)
    assert undersample(table, SETTINGS).equals(undersample(table, again))
    assert not undersample(table, SETTINGS).equals(undersample(table, other))


def test_undersampling_adds_nothing_where_positives_abound(cleaned, lists):
    table = split(cleaned(lists(20, candidates=4, positives=3)), SETTINGS)
    assert undersample(table, SETTINGS).equals(table)
