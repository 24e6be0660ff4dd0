import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from flows.gate.evidence import evidence, holm
from flows.settings import GateSettings

SETTINGS = GateSettings(resamples=2_000)


def sureness(differences, limits=SETTINGS):
    return evidence(pd.DataFrame({"ndcg@10": differences}), limits)[0]


def test_a_clear_difference_is_sure_and_signed():
    differences = np.random.default_rng(1).normal(0.1, 0.1, 200)
    found = sureness(differences)
    assert 0 < found.low < found.difference < found.high
    assert found.p_value < 0.001
    mirrored = sureness(-differences)
    assert mirrored.high < 0
    assert mirrored.p_value < 0.001


def test_the_exact_p_value_of_a_small_case():
    # Four gains of one: of the 16 ways to set signs, only all-plus and all-minus reach a mean of 1.
    assert sureness(np.ones(4)).p_value == pytest.approx(2 / 16)


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_the_p_value_is_scipys(count):
    differences = np.random.default_rng(count).normal(0.1, 0.3, count)
    if count == 1:
        assert sureness(differences).p_value == 1.0  # either sign is as large
        return
    theirs = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1)
    assert sureness(differences).p_value == pytest.approx(theirs.pvalue, abs=0.03 if count > 10 else 1e-12)


def test_the_interval_of_normal_differences_is_the_textbook_one():
    differences = np.random.default_rng(2).normal(0.0, 0.3, 1000)
    found = sureness(differences)
    half = 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    assert found.high - found.difference == pytest.approx(half, rel=0.1)
    assert found.difference - found.low == pytest.approx(half, rel=0.1)
    narrow = sureness(differences, SETTINGS.model_copy(update={"confidence": 0.6}))
    assert found.low < narrow.low < narrow.high < found.high


def test_no_difference_is_no_evidence():
    found = sureness(np.zeros(50))
    assert (found.low, found.high, found.p_value, found.better, found.worse) == (0, 0, 1, 0, 0)


def test_metrics_are_judged_each_for_itself():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.normal(0.1, 0.2, 80), "b": np.zeros(80), "c": rng.normal(0, 0.2, 80)})
    together = evidence(frame, SETTINGS)
    assert [found.metric for found in together] == ["a", "b", "c"]
    assert together[1].p_value == 1.0
    assert together[0].p_value == sureness(frame["a"]).p_value
    assert evidence(frame, SETTINGS) == together


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_odd_differences_still_give_numbers_in_order(values):
    found = sureness(np.array(values))
    assert found.low <= found.difference <= found.high
    assert 0 < found.p_value <= 1


def test_holm_of_a_known_case():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=6), st.floats(0.0001, 1))
def test_holm_lies_between_nothing_and_bonferroni_and_grows_with_every_challenger(p_values, another):
    corrected = holm(p_values)
    assert all(p <= c <= min(1, len(p_values) * p) + 1e-12 for p, c in zip(p_values, corrected, strict=True))
    more = holm([*p_values, another])[:-1]
    assert all(c <= m for c, m in zip(corrected, more, strict=True))
    for (p, c), (q, d) in itertools.combinations(zip(p_values, corrected, strict=True), 2):
        assert (p <= q) == (c <= d) or c == d
