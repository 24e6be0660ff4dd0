"""Which slices a query belongs to, and what a scorer comes to in each."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluation import OTHER_SOURCES, SLICES, EvaluationError, slice_means, slices

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def table(rows: list[tuple[str, int, int, str, int]]) -> pa.Table:
    """Make a table of (query, its length, the document's length, source, day)."""
    return pa.table(
        {
            "query_id": pa.array([row[0] for row in rows], pa.string()),
            "query": pa.array(["é" * row[1] for row in rows], pa.string()),
            "document": pa.array(["d" * row[2] for row in rows], pa.string()),
            "source": pa.array([row[3] for row in rows], pa.string()),
            "created_at": pa.array([DAY + timedelta(days=row[4]) for row in rows], pa.timestamp("us", tz="UTC")),
        }
    )


def spread(column: pd.Series) -> dict[str, int]:
    return column.value_counts().to_dict()


def test_many_queries_make_three_buckets_of_about_one_size():
    found = slices(table([(f"q{i:03}", i + 1, 100 + i, "one", i) for i in range(90)]))
    assert spread(found["query length"]) == {
        "short: up to 30 characters": 30,
        "medium: 31 to 60 characters": 30,
        "long: over 60 characters": 30,
    }
    assert spread(found["document length"]) == {
        "short: up to 129 characters": 30,
        "medium: 130 to 159 characters": 30,
        "long: over 159 characters": 30,
    }
    assert spread(found["age"]) == {
        "new: up to 29 days old": 30,
        "older: 30 to 59 days old": 30,
        "oldest: over 59 days old": 30,
    }
    assert found.loc["q089", "age"] == "new: up to 29 days old"


@pytest.mark.parametrize(("queries", "buckets"), [(1, 1), (59, 1), (60, 2), (89, 2), (90, 3), (900, 3)])
def test_buckets_are_no_finer_than_a_useful_size(queries, buckets):
    found = slices(table([(f"q{i:03}", i + 1, i + 1, "one", i) for i in range(queries)]))
    assert [found[name].nunique() for name in SLICES] == [1, buckets, buckets, buckets]


def test_one_date_and_one_length_make_one_bucket():
    found = slices(table([(f"q{i}", 12, 40, "wikiqa", 0) for i in range(300)]))
    assert found.drop_duplicates().values.tolist() == [
        ["wikiqa", "all: 12 characters", "all: 40 characters", "all: 0 days old"]
    ]


def test_most_alike_and_few_below_them_are_one_bucket():
    found = slices(table([(f"q{i:02}", 5 if i < 95 else 1, 1, "one", 0) for i in range(100)]))
    assert spread(found["query length"]) == {"all: 1 to 5 characters": 100}


def test_the_age_is_that_of_the_newest_pair_and_the_length_the_median():
    rows = [("old", 3, 1, "one", 0), ("old", 3, 10, "one", 4), ("old", 3, 100, "one", 2), ("new", 3, 50, "one", 10)]
    found = slices(table(rows), min_queries=1)
    assert found.loc["old"].tolist() == [
        "one",
        "all: 3 characters",
        "short: up to 10 characters",
        "oldest: over 0 days old",
    ]
    assert found.loc["new"].tolist() == [
        "one",
        "all: 3 characters",
        "long: over 10 characters",
        "new: up to 0 days old",
    ]


def of_sources(**sizes: int) -> pd.Series:
    names = [name.replace("_", " ") for name, size in sizes.items() for _ in range(size)]
    return slices(table([(f"q{i}", 1, 1, name, 0) for i, name in enumerate(names)]))["source"]


def test_small_sources_are_one_bucket():
    assert spread(of_sources(a=40, b=30, c=29, d=1)) == {"a": 40, "b": 30, OTHER_SOURCES: 30}


def test_a_small_source_alone_keeps_its_name():
    assert spread(of_sources(a=40, b=2)) == {"a": 40, "b": 2}
    assert spread(of_sources(a=3)) == {"a": 3}


def test_small_sources_alone_are_one_bucket():
    assert spread(of_sources(a=3, b=2)) == {OTHER_SOURCES: 5}


def test_many_large_sources_are_the_eight_largest_and_the_others():
    found = spread(of_sources(**{f"s{i}": 50 - i for i in range(12)}))
    assert found == {**{f"s{i}": 50 - i for i in range(8)}, OTHER_SOURCES: 42 + 41 + 40 + 39}


def test_a_source_may_be_called_like_the_others():
    assert spread(of_sources(other_sources=40, b=2, c=1)) == {OTHER_SOURCES: 43}


def test_a_query_belongs_to_the_source_of_most_of_its_pairs():
    found = slices(table([("q", 1, 1, "few", 0), ("q", 1, 1, "most", 0), ("q", 1, 1, "most", 0)]))
    assert found["source"].to_dict() == {"q": "most"}


def test_an_empty_split_has_no_slices():
    found = slices(table([]))
    assert found.empty
    assert found.columns.tolist() == list(SLICES)


def test_a_missing_column_is_named():
    with pytest.raises(EvaluationError, match="created_at"):
        slices(table([("q", 1, 1, "one", 0)]).drop_columns(["created_at"]))


rows = st.lists(
    st.tuples(
        st.sampled_from([f"q{i}" for i in range(12)]),
        st.integers(0, 30),
        st.integers(0, 300),
        st.sampled_from(["a", "b", "c", OTHER_SOURCES, ""]),
        st.integers(0, 400),
    ),
    min_size=1,
    max_size=60,
)


def bounds(name: str) -> tuple[float, float]:
    """Return the smallest and the largest value that the name of a bucket admits."""
    numbers = [int(number) for number in re.findall(r"\d+", name)]
    if "up to" in name:
        return -np.inf, numbers[0]
    if "over" in name:
        return numbers[0] + 1, np.inf
    return numbers[0], numbers[-1]


@given(rows=rows, min_queries=st.integers(1, 6), order=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_every_query_has_the_bucket_that_its_name_says(rows, min_queries, order):
    found = slices(table(rows), min_queries)
    frame = pd.DataFrame(rows, columns=["query_id", "query", "document", "source", "day"])
    of_query = frame.groupby("query_id")
    assert found.index.tolist() == sorted(set(frame["query_id"]))
    values = {
        "query length": of_query["query"].max(),
        "document length": of_query["document"].median().round(),
        "age": frame["day"].max() - of_query["day"].max(),
    }
    for name, expected in values.items():
        assert found[name].nunique() <= 3
        for query, bucket in found[name].items():
            low, high = bounds(bucket)
            assert low <= expected[query] <= high
    for query, source in found["source"].items():
        assert source in {*frame.loc[frame["query_id"] == query, "source"], OTHER_SOURCES}
    order.shuffle(rows)
    assert slices(table(rows), min_queries).equals(found)


@given(rows=rows, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_slices_means_make_up_the_mean_of_all(rows, seed):
    found = slices(table(rows), 3)
    judged = found.index[np.random.default_rng(seed).random(len(found)) < 0.7]
    per_query = pd.DataFrame({"x": np.random.default_rng(seed).random(len(judged))}, index=judged)
    means = slice_means(per_query, found)
    assert (means["queries"] > 0).all()
    if len(judged):
        for name in SLICES:
            of_name = means.loc[name]
            assert of_name["queries"].sum() == len(judged)
            assert np.average(of_name["x"], weights=of_name["queries"]) == pytest.approx(per_query["x"].mean())


def test_queries_of_another_split_are_refused():
    found = slices(table([("a", 1, 1, "one", 0)]))
    with pytest.raises(EvaluationError, match="1 judged queries are not in the table that was sliced, such as b"):
        slice_means(pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"]), found)
