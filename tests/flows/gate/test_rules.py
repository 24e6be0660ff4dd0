"""Every rule in both directions, on hand-made cases."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from flows.gate import Decision, GateError
from flows.settings import GateSettings
from tests.flows.gate.sides import QUICK, costs, frame, judge, noisy


def failed(decision: Decision) -> list[str]:
    return [rule.name for rule in decision.judgements[0].failed]


def test_the_limits_are_the_documented_ones():
    s = GateSettings()
    assert (s.mode, s.min_ndcg_gain, s.max_p_value, s.confidence) == ("enabled", 0.01, 0.05, 0.95)
    assert (s.max_mrr_fall, s.max_map_fall, s.detectable_gain, s.power) == (0.05, 0.05, 0.03, 0.9)
    assert s.seed_deviation == 0.006


GAIN = ["ndcg@10"]
UNSURE = ["p-value", "interval"]
MEANS = [
    # ndcg, mrr, map of the challenger | of the incumbent | queries | verdict, rules that failed
    ((0.70, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.6101, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.6099, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "reject", GAIN),
    ((0.60, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "reject", GAIN + UNSURE),
    ((0.50, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "reject", [*GAIN, "interval"]),
    ((0.70, 0.56, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.70, 0.549, 0.60), (0.60, 0.60, 0.60), 40, "reject", ["mrr@10"]),
    ((0.70, 0.60, 0.56), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.70, 0.60, 0.549), (0.60, 0.60, 0.60), 40, "reject", ["map@10"]),
    ((0.70, 0.90, 0.90), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.50, 0.50, 0.50), (0.60, 0.60, 0.60), 40, "reject", [*GAIN, "interval", "mrr@10", "map@10"]),
    ((0.70, 0.60, 0.60), (0.60, 0.60, 0.60), 30, "promote", []),
    ((0.70, 0.60, 0.60), (0.60, 0.60, 0.60), 29, "cannot-tell", ["queries"]),
    ((0.50, 0.60, 0.60), (0.60, 0.60, 0.60), 29, "cannot-tell", ["queries", *GAIN, "interval"]),
    # Exactly at the limit. In floats 0.11 - 0.1 is 0.00999..., 0.6 - 0.65 is -0.05000000000000004.
    ((0.11, 0.60, 0.60), (0.10, 0.60, 0.60), 40, "promote", []),
    ((0.61, 0.60, 0.60), (0.60, 0.60, 0.60), 40, "promote", []),
    ((0.70, 0.60, 0.60), (0.60, 0.65, 0.60), 40, "promote", []),
    ((0.70, 0.60, 0.30), (0.60, 0.60, 0.35), 40, "promote", []),
    # Just over it, by a thousand times the tolerance.
    ((0.109999, 0.60, 0.60), (0.10, 0.60, 0.60), 40, "reject", GAIN),
    ((0.70, 0.599999, 0.60), (0.60, 0.65, 0.60), 40, "reject", ["mrr@10"]),
    ((0.70, 0.60, 0.299999), (0.60, 0.60, 0.35), 40, "reject", ["map@10"]),
]


@pytest.mark.parametrize(("challenger", "incumbent", "queries", "verdict", "rules"), MEANS)
def test_means(challenger, incumbent, queries, verdict, rules):
    decision = judge(frame(*challenger, queries=queries), frame(*incumbent, queries=queries))
    assert (decision.verdict, failed(decision)) == (verdict, rules)
    assert decision.promoted == (verdict == "promote")
    assert decision.winner == ("version 2" if decision.promoted else None)


SPREADS = [
    # gain, queries at a spread of 0.2 | verdict, rules that failed; about 500 queries would tell
    (0.05, 100, "promote", []),
    (0.03, 100, "cannot-tell", UNSURE),
    (0.03, 300, "promote", []),
    (0.02, 300, "cannot-tell", UNSURE),
    (0.013, 600, "reject", UNSURE),  # enough queries, and still not sure
    (0.02, 600, "promote", []),
    (0.009, 300, "cannot-tell", GAIN + UNSURE),  # it may well be 0.01
    (0.009, 3000, "reject", GAIN),  # surely above 0, not enough
    (0.0, 200, "cannot-tell", GAIN + UNSURE),
    (-0.02, 100, "cannot-tell", GAIN + UNSURE),
    (-0.02, 300, "reject", GAIN + UNSURE),  # few queries, and clearly no gain of 0.01
    (-0.05, 100, "reject", [*GAIN, "interval"]),  # p is small on the wrong side
]


@pytest.mark.parametrize(("gain", "queries", "verdict", "rules"), SPREADS)
def test_gains_that_chance_may_explain(gain, queries, verdict, rules):
    decision = judge(noisy(gain, queries), frame(0.5, queries=queries))
    assert (decision.verdict, failed(decision)) == (verdict, rules)
    needed = decision.judgements[0].queries_needed
    assert 467 < needed < 560  # more than the textbook's, the less the spread is known
    assert decision.queries_needed == (needed if verdict == "cannot-tell" else None)


SEEDS = [
    # gain, spread, queries | rules that failed; 1.645 sqrt(spread^2 / queries + 2 0.006^2) is what seeds explain
    (0.0141, 0.0, 400, []),
    (0.0138, 0.0, 400, ["seeds"]),  # every query gains, and another seed may have made it
    (0.0160, 0.1, 400, ["seeds"]),
    (0.0164, 0.1, 400, []),
    (0.0009, 0.0, 400, ["ndcg@10", "seeds"]),
]


@pytest.mark.parametrize(("gain", "spread", "queries", "rules"), SEEDS)
def test_gains_that_another_seed_may_explain(gain, spread, queries, rules):
    decision = judge(noisy(gain, queries, spread), frame(0.5, queries=queries), GateSettings(resamples=1_000))
    assert failed(decision) == rules
    (judgement,) = decision.judgements
    limit = next(rule.limit for rule in judgement.rules if rule.name == "seeds")
    assert limit == pytest.approx(1.6449 * (spread**2 / queries + 2 * 0.006**2) ** 0.5, abs=1e-5)


def test_an_outlier_is_not_evidence():
    """Two queries of 200 gain 1: their mean passes, and neither test is convinced."""
    values = np.zeros(200)
    values[:2] = 1.0
    assert failed(judge(frame(values, queries=200), frame(0.0, queries=200))) == UNSURE


COSTS = [
    # of the challenger | of the incumbent | rules that failed
    (costs(), costs(), []),
    (costs(latency_ms=150), costs(), []),
    (costs(latency_ms=151), costs(), ["latency-ratio"]),
    (costs(latency_ms=151), None, []),
    (costs(latency_ms=1000), None, []),
    (costs(latency_ms=1001), None, ["latency"]),
    (costs(latency_ms=1001), costs(), ["latency", "latency-ratio"]),
    (costs(memory_mb=750), costs(), []),
    (costs(memory_mb=751), costs(), ["memory-ratio"]),
    (costs(memory_mb=4001), None, ["memory"]),
    (costs(memory_mb=600), costs(memory_mb=0), []),  # nothing to be a multiple of
    (costs(artifact_mb=135), costs(), []),
    (costs(artifact_mb=136), costs(), ["artifact-ratio"]),
    (costs(artifact_mb=2001), None, ["artifact"]),
    (None, costs(), []),
]


@pytest.mark.parametrize(("ours", "theirs", "rules"), COSTS)
def test_costs(ours, theirs, rules):
    decision = judge(frame(0.7), frame(0.6), challenger_costs=ours, incumbent_costs=theirs)
    assert failed(decision) == rules
    assert decision.verdict == ("reject" if rules else "promote")


def test_what_costs_too_much_is_rejected_on_any_number_of_queries():
    decision = judge(frame(0.7, queries=9), frame(0.6, queries=9), challenger_costs=costs(latency_ms=5000))
    assert (decision.verdict, failed(decision)) == ("reject", ["queries", "latency"])


def parts(sizes):
    """One column of buckets of these sizes."""
    names = [name for name, size in zip("abcdefgh", sizes, strict=False) for _ in range(size)]
    return pd.DataFrame({"source": names}, index=frame(0.5, queries=len(names)).index)


SLICES = [
    # sizes and differences of the slices, spread of the differences | vetoed
    ((100, 30), (0.1, -0.04), 0.0, []),
    ((100, 30), (0.1, -0.06), 0.0, ["b"]),
    ((100, 19), (0.1, -0.06), 0.0, []),  # too small to veto
    ((100, 20), (0.1, -0.06), 0.0, ["b"]),
    ((200, 30), (0.1, -0.06), 0.3, []),  # chance explains it
    ((200, 30), (0.1, -0.30), 0.3, ["b"]),
    ((200, 30, 30), (0.2, -0.06, -0.2), 0.01, ["c", "b"]),
    ((130,), (0.1,), 0.0, []),
]


@pytest.mark.parametrize(("sizes", "differences", "spread", "vetoed"), SLICES)
def test_slices(sizes, differences, spread, vetoed):
    each = enumerate(zip(differences, sizes, strict=True))
    inner = [noisy(d, size, spread, seed)["ndcg@10"] for seed, (d, size) in each]
    ours = frame(np.concatenate(inner), queries=sum(sizes))
    decision = judge(ours, frame(0.5, queries=sum(sizes)), slices=parts(sizes))
    found = decision.judgements[0]
    assert [part.bucket for part in found.slices if part.vetoed] == vetoed
    assert failed(decision) == (["slices"] if vetoed else [])
    assert decision.verdict == ("reject" if vetoed else "promote")
    assert {part.bucket: part.queries for part in found.slices} == dict(zip("abcdefgh", sizes, strict=False))


LIMITS = [
    # setting that is as strict or as lax as the case needs | rule that it turns
    ({"min_ndcg_gain": 0.02}, "ndcg@10", True),
    ({"min_ndcg_gain": 0.021}, "ndcg@10", False),
    ({"max_p_value": 0.3}, "p-value", True),
    ({"max_p_value": 0.10}, "p-value", False),
    ({"confidence": 0.7}, "interval", True),
    ({"confidence": 0.9}, "interval", False),
    ({"max_mrr_fall": 0.02}, "mrr@10", True),
    ({"max_mrr_fall": 0.019}, "mrr@10", False),
    ({"max_map_fall": 0.02}, "map@10", True),
    ({"max_map_fall": 0.019}, "map@10", False),
    ({"min_queries": 200}, "queries", True),
    ({"min_queries": 201}, "queries", False),
    ({"max_slice_fall": 0.2}, "slices", True),
    ({"max_slice_fall": 0.01}, "slices", False),
    ({"max_slice_fall": 0.01, "min_slice_queries": 51}, "slices", True),
    ({"max_latency_ms": 100}, "latency", True),
    ({"max_latency_ms": 99}, "latency", False),
    ({"max_memory_mb": 500}, "memory", True),
    ({"max_memory_mb": 499}, "memory", False),
    ({"max_artifact_mb": 90}, "artifact", True),
    ({"max_artifact_mb": 89}, "artifact", False),
    ({"max_latency_ratio": 2}, "latency-ratio", True),
    ({"max_latency_ratio": 1.9}, "latency-ratio", False),
    ({"max_memory_ratio": 2}, "memory-ratio", True),
    ({"max_memory_ratio": 1.9}, "memory-ratio", False),
    ({"max_artifact_ratio": 2}, "artifact-ratio", True),
    ({"max_artifact_ratio": 1.9}, "artifact-ratio", False),
]


@pytest.mark.parametrize(("limits", "name", "passes"), LIMITS)
def test_each_limit_is_a_setting(limits, name, passes):
    """A gain of 0.02 at p about 0.16; MRR and MAP fall by 0.02; 50 of 200 queries fall by 0.1; costs are twice."""
    values = noisy(0.06, 200)["ndcg@10"].to_numpy() - 0.16 * (np.arange(200) < 50)
    ours = frame(values, 0.58, 0.58, queries=200)
    decision = judge(
        ours,
        frame(0.5, queries=200),
        GateSettings.model_validate({**QUICK.model_dump(), **limits}),
        parts((50, 150)),
        costs(),
        costs(50, 250, 45),
    )
    rule = next(rule for rule in decision.judgements[0].rules if rule.name == name)
    assert rule.passed == passes
    assert rule.demand


def test_costs_without_limits_have_no_rules():
    lax = {f"max_{what}": None for what in ("latency_ms", "memory_mb", "artifact_mb")}
    lax |= {f"max_{what}_ratio": None for what in ("latency", "memory", "artifact")}
    decision = judge(frame(0.7), frame(0.6), QUICK.model_copy(update=lax), None, costs(9e9), costs())
    assert {rule.about for rule in decision.judgements[0].rules} == {"queries", "gain", "harm"}
    assert decision.promoted


def test_a_gain_that_cannot_be_told_from_the_least_is_no_setting():
    with pytest.raises(ValueError, match="cannot be told from min_ndcg_gain"):
        GateSettings(min_ndcg_gain=0.03)


@given(base=st.integers(0, 989), gain=st.integers(1, 10), seed=st.integers(0, 2**16))
@budget(max_examples=15, deadline=None)
def test_a_gain_of_exactly_the_limit_passes_wherever_it_lies(base, gain, seed):
    """Every query gains the limit, over values of its own: the means are sums of many roundings."""
    values = np.random.default_rng(seed).integers(0, base + 1, 40) / 1000
    limits = QUICK.model_copy(update={"min_ndcg_gain": gain / 1000})
    assert judge(frame(values + gain / 1000), frame(values), limits).promoted


def test_queries_are_paired_by_id_not_by_row():
    values = np.linspace(0, 1, 40)
    incumbent = frame(values)
    found = judge(incumbent.iloc[::-1] + 0.02, incumbent).judgements[0].evidence[0]
    assert (found.better, found.worse) == (40, 0)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.iloc[:-1], "different queries: 1 stand on one side alone, such as q039"),
        (lambda f: f.rename(index={"q000": "elsewhere"}), "different queries: 2 stand"),
        (lambda f: f.drop(columns="map@10"), "version 2 lacks the metrics map@10"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "version 2 holds query q000 more than once"),
        (lambda f: f.assign(**{"ndcg@10": np.nan}), "not finite"),
        (lambda f: f.assign(extra=1.0), "different metrics"),
    ],
)
@pytest.mark.parametrize("mode", ["enabled", "disabled"])
def test_a_side_that_cannot_be_compared_is_named(spoil, says, mode):
    with pytest.raises(GateError, match=says):
        judge(spoil(frame(0.7)), frame(0.6), QUICK.model_copy(update={"mode": mode}))


def test_no_queries_at_all_is_an_error():
    with pytest.raises(GateError, match="no queries to compare"):
        judge(frame(0.7).iloc[:0], frame(0.6).iloc[:0])


@pytest.mark.parametrize("spoil", [lambda f: f.iloc[:-1], lambda f: pd.concat([f, f.iloc[:1]])])
def test_slices_of_other_queries_are_an_error(spoil):
    with pytest.raises(GateError, match="one row of slices"):
        judge(frame(0.7), frame(0.6), slices=spoil(parts((40,))))
