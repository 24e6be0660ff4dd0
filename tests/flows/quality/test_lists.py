"""What chance gets on a list, and which lists are alike."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluation import per_query_metrics
from flows.quality import corrected, expected_ndcg, kinds


def labels(**queries: list[int | tuple[int, int]]) -> pd.DataFrame:
    """labels(q=[1, 0, (1, 3)]): relevances, or (relevance, grade)."""
    rows = [
        (query, f"d{i}", *(label if isinstance(label, tuple) else (label, None)))
        for query, candidates in queries.items()
        for i, label in enumerate(candidates)
    ]
    frame = pd.DataFrame(rows, columns=["query_id", "document_id", "relevance", "grade"])
    return frame.astype({"grade": "Int8"})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5).filter(any))
def test_the_expectation_is_the_mean_over_all_orders(grades: list[int]) -> None:
    base = labels(q=[(int(grade > 0), grade) for grade in grades])
    orders = [base.assign(query_id=f"q{n}", score=order) for n, order in enumerate(permutations(range(len(base))))]
    measured = per_query_metrics(pd.concat(orders, ignore_index=True))["ndcg@10"]
    assert expected_ndcg(grades) == pytest.approx(measured.mean(), abs=1e-9)


def test_only_ten_ranks_count_for_the_expectation() -> None:
    rng = np.random.default_rng(5)
    gain = [1, 1, 3] + [0] * 17
    base = labels(q=[(int(g > 0), g) for g in gain])
    orders = [base.assign(query_id=f"q{n}", score=rng.permutation(20)) for n in range(3_000)]
    measured = per_query_metrics(pd.concat(orders, ignore_index=True))["ndcg@10"]
    assert expected_ndcg(gain) == pytest.approx(measured.mean(), abs=4 * measured.std() / np.sqrt(len(measured)))


def test_chance_has_zero_and_the_best_order_one() -> None:
    expected = pd.Series([expected_ndcg([1, 0]), expected_ndcg([2, 1, 0, 0])])
    assert corrected(expected, expected).tolist() == [0, 0]
    assert corrected(pd.Series([1.0, 1.0]), expected).tolist() == [1, 1]


def test_lists_without_a_better_order_are_left_out() -> None:
    found = kinds(labels(none=[0, 0], every=[1, 1], graded=[(1, 1), (0, 1)], one=[1], good=[1, 0]))
    assert list(found.index) == ["good"]
    assert np.isnan(expected_ndcg([0, 0]))
    assert np.isnan(expected_ndcg([]))


def test_no_lists_have_no_kinds() -> None:
    assert kinds(labels()).empty


def test_lists_of_about_the_same_size_are_of_a_kind() -> None:
    found = kinds(
        labels(
            two=[1, 0],
            three=[1, 0, 0],
            twelve=[1, *[0] * 11],
            fifteen=[1, *[0] * 14],
            sixteen=[1, *[0] * 15],
            many=[1] * 4 + [0] * 8,
            graded=[(1, 3), *[0] * 11],
        )
    )
    assert found["kind"].to_dict() == {
        "two": "1 of 2",
        "three": "1 of 3",
        "twelve": "1 of 12-15",
        "fifteen": "1 of 12-15",
        "sixteen": "1 of 16-22",
        "many": "4-5 of 12-15",
        "graded": "1 of 12-15, graded",
    }


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_kind_says_which_sizes_it_holds(one: int, other: int) -> None:
    def kind(number: int) -> str:
        return str(kinds(labels(q=[1] * number + [0] * number))["kind"].iloc[0]).partition(" ")[0]

    low, _, high = kind(one).partition("-")
    assert (int(low) <= other <= int(high or low)) == (kind(one) == kind(other))
    assert int(low) <= one <= int(high or low) < 1.5 * int(low)
