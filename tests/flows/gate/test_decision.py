import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from flows.gate import Decision, GateError, decide
from flows.settings import GateSettings

LIMITS = GateSettings(min_ndcg_gain=0.01, max_mrr_fall=0.05, max_map_fall=0.05, min_queries=30)


def side(ndcg, mrr=0.6, mean_precision=0.6, queries=40):
    return pd.DataFrame(
        {"ndcg@10": ndcg, "mrr@10": mrr, "map@10": mean_precision},
        index=pd.Index([f"q{i:03}" for i in range(queries)], name="query_id"),
        dtype=float,
    )


def judge(challenger, incumbent, limits=LIMITS):
    return decide(
        challenger,
        incumbent,
        limits,
        challenger_name="challenger v2",
        incumbent_name="champion v1",
        snapshot="5" * 64,
    )


def test_the_limits_are_the_documented_ones():
    defaults = GateSettings()
    assert (defaults.min_ndcg_gain, defaults.max_mrr_fall, defaults.max_map_fall) == (0.01, 0.05, 0.05)


CASES = [
    # ndcg, mrr, map of the challenger | ndcg, mrr, map of the incumbent | queries | verdict, rules that failed
    ((0.70, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.6101, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.6099, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "reject", ["ndcg@10"]),
    ((0.60, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "reject", ["ndcg@10"]),
    ((0.50, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "reject", ["ndcg@10"]),
    ((0.70, 0.56, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.70, 0.549, 0.60), (0.60, 0.60, 0.60), 40, "reject", ["mrr@10"]),
    ((0.70, 0.60, 0.56), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.70, 0.60, 0.549), (0.60, 0.60, 0.60), 40, "reject", ["map@10"]),
    ((0.70, 0.90, 0.90), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.50, 0.50, 0.50), (0.60, 0.60, 0.60), 40, "reject", ["ndcg@10", "mrr@10", "map@10"]),
    ((0.70, 0.60, 0.60), (0.60, 0.60, 0.60), 30, "promote", []),
    ((0.70, 0.60, 0.60), (0.60, 0.60, 0.60), 29, "cannot-tell", ["queries"]),
    ((0.50, 0.60, 0.60), (0.60, 0.60, 0.60), 29, "cannot-tell", ["queries", "ndcg@10"]),
    # Exactly at the limit. In floats 0.11 - 0.1 is 0.00999..., 0.6 - 0.65 is -0.05000000000000004.
    ((0.11, 0.60, 0.60), (0.10, 0.60, 0.60), 40, "promote", []),
    ((0.61, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.70, 0.60, 0.60), (0.60, 0.65, 0.60), 40, "promote", []),
    ((0.70, 0.60, 0.30), (0.60, 0.60, 0.35), 40, "promote", []),
    # Just over it, by a thousand times the tolerance.
    ((0.109999, 0.60, 0.60), (0.10, 0.60, 0.60), 40, "reject", ["ndcg@10"]),
    ((0.70, 0.599999, 0.60), (0.60, 0.65, 0.60), 40, "reject", ["mrr@10"]),
    ((0.70, 0.60, 0.299999), (0.60, 0.60, 0.35), 40, "reject", ["map@10"]),
]


@pytest.mark.parametrize(("challenger", "incumbent", "queries", "verdict", "failed"), CASES)
def test_every_rule_in_both_directions(challenger, incumbent, queries, verdict, failed):
    decision = judge(side(*challenger, queries=queries), side(*incumbent, queries=queries))
    assert decision.verdict == verdict
    assert [rule.name for rule in decision.rules if not rule.passed] == failed
    assert decision.promoted == (verdict == "promote")


@given(base=st.integers(0, 989), gain=st.integers(1, 10), seed=st.integers(0, 2**16))
@budget(max_examples=15, deadline=None)
def test_a_gain_of_exactly_the_limit_passes_wherever_it_lies(base, gain, seed):
    """Every query gains the limit, over values of its own: the means are sums of many roundings."""
    values = np.random.default_rng(seed).integers(0, base + 1, 40) / 1000
    limits = LIMITS.model_copy(update={"min_ndcg_gain": gain / 1000})
    assert judge(side(values + gain / 1000), side(values), limits).promoted


def test_the_limits_come_from_the_settings():
    better, worse = side(0.62), side(0.60)
    assert judge(better, worse).promoted
    assert not judge(better, worse, LIMITS.model_copy(update={"min_ndcg_gain": 0.03})).promoted
    assert judge(better, worse, LIMITS.model_copy(update={"min_queries": 41})).verdict == "cannot-tell"


def test_rules_show_what_was_observed_and_asked():
    rules = {rule.name: rule for rule in judge(side(0.7, 0.5, 0.58), side(0.6)).rules}
    assert rules["ndcg@10"].observed == pytest.approx(0.1)
    assert rules["ndcg@10"].limit == 0.01
    assert rules["mrr@10"].observed == pytest.approx(-0.1)
    assert rules["mrr@10"].limit == -0.05
    assert rules["queries"].observed == 40


def test_queries_are_paired_by_id_not_by_row():
    values = np.linspace(0, 1, 40)
    incumbent = side(values)
    decision = judge(incumbent.iloc[::-1] + 0.02, incumbent)
    assert decision.evidence[0].better == 40
    assert decision.evidence[0].worse == 0


def test_the_decision_survives_json():
    decision = judge(side(0.7), side(0.6))
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_other_queries_on_the_two_sides_are_an_error():
    with pytest.raises(GateError, match=r"different queries: 1 stand on one side alone, such as q039"):
        judge(side(0.7).iloc[:-1], side(0.6))


def test_the_same_number_of_other_queries_is_an_error_too():
    with pytest.raises(GateError, match="different queries: 2 stand"):
        judge(side(0.7).rename(index={"q000": "elsewhere"}), side(0.6))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.drop(columns="map@10"), "lacks the metrics map@10"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "query q000 more than once"),
        (lambda f: f.assign(**{"ndcg@10": np.nan}), "not finite"),
        (lambda f: f.assign(extra=1.0), "different metrics"),
    ],
)
def test_a_side_that_cannot_be_compared_is_named(spoil, says):
    with pytest.raises(GateError, match=says):
        judge(spoil(side(0.7)), side(0.6))


def test_no_queries_at_all_is_an_error():
    with pytest.raises(GateError, match="no queries to compare"):
        judge(side(0.7).iloc[:0], side(0.6).iloc[:0])
