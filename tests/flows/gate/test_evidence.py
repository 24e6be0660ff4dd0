import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.gate.evidence import evidence


def test_a_clear_difference_is_sure_and_signed():
    differences = np.random.default_rng(1).normal(0.1, 0.1, 200)
    found = evidence("ndcg@10", differences)
    assert 0 < found.low < found.difference < found.high
    assert found.p_value < 0.001
    mirrored = evidence("ndcg@10", -differences)
    assert mirrored.high < 0
    assert mirrored.p_value < 0.001


def test_the_exact_p_value_of_a_small_case():
    # Four gains of one: of the 16 ways to set signs, only all-plus and all-minus reach a mean of 1.
    assert evidence("ndcg@10", np.ones(4)).p_value == pytest.approx(2 / 16)


def test_the_interval_of_normal_differences_is_the_textbook_one():
    differences = np.random.default_rng(2).normal(0.0, 0.3, 1000)
    found = evidence("ndcg@10", differences)
    half = 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    assert found.high - found.difference == pytest.approx(half, rel=0.1)
    assert found.difference - found.low == pytest.approx(half, rel=0.1)


def test_no_difference_is_no_evidence():
    found = evidence("mrr@10", np.zeros(50))
    assert (found.low, found.high, found.p_value, found.better, found.worse) == (0, 0, 1, 0, 0)


def test_the_same_differences_give_the_same_evidence():
    differences = np.random.default_rng(3).normal(0.01, 0.2, 60)
    assert evidence("map@10", differences) == evidence("map@10", differences)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_odd_differences_still_give_numbers_in_order(values):
    found = evidence("ndcg@10", np.array(values))
    assert found.low <= found.difference <= found.high
    assert 0 < found.p_value <= 1
