"""Several challengers, modes, and what holds whatever the numbers are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from flows.gate import Contender, Decision, GateError, decide
from tests.flows.gate.sides import QUICK, costs, frame, judge, noisy

BASE = Contender("version 1", frame(0.5, queries=300))


def judge_all(challengers, incumbent=BASE, **limits) -> Decision:
    return decide(challengers, incumbent, QUICK.model_copy(update=limits), slices=None, snapshot="5" * 64)


def verdicts(decision: Decision) -> dict[str, str]:
    return {judgement.challenger: judgement.verdict for judgement in decision.judgements}


GOOD = Contender("good", noisy(0.05, 300), costs(latency_ms=100))
BETTER = Contender("better", noisy(0.08, 300), costs(latency_ms=300))
WORSE = Contender("worse", noisy(-0.05, 300), costs(latency_ms=10))
UNSURE = Contender("unsure", noisy(0.015, 300))


@pytest.mark.parametrize(
    ("challengers", "prefer", "winner"),
    [
        ([GOOD, BETTER, WORSE], "quality", "better"),
        ([GOOD, BETTER, WORSE], "speed", "good"),  # the fastest of all did not pass
        ([WORSE, GOOD], "quality", "good"),
        ([WORSE], "quality", None),
        ([Contender("unmeasured", BETTER.per_query), GOOD], "speed", "good"),
        ([GOOD, Contender("twin", GOOD.per_query, GOOD.costs)], "quality", "good"),
    ],
)
def test_the_best_or_the_fastest_that_passes_wins(challengers, prefer, winner):
    decision = judge_all(challengers, prefer=prefer)
    assert decision.winner == winner
    assert decision.promoted == (winner is not None)


def test_the_verdict_is_the_best_that_any_challenger_got():
    assert judge_all([WORSE, UNSURE, GOOD]).verdict == "promote"
    undecided = judge_all([WORSE, UNSURE])
    assert (undecided.verdict, verdicts(undecided)) == ("cannot-tell", {"worse": "reject", "unsure": "cannot-tell"})
    assert undecided.leading.challenger == "unsure"
    assert judge_all([WORSE]).verdict == "reject"


def test_what_passes_alone_may_fail_among_many_since_one_of_many_is_lucky():
    lucky = Contender("lucky", noisy(0.027, 300))  # p is about 0.02
    assert judge_all([lucky]).promoted
    others = [Contender(f"other {i}", noisy(0.0, 300, seed=i)) for i in range(2, 6)]
    among = judge_all([lucky, *others])
    assert not among.promoted
    assert verdicts(among)["lucky"] == "cannot-tell"
    alone, more = judge_all([lucky]).judgements[0].queries_needed, among.judgements[0].queries_needed
    assert more > alone


def test_a_dry_run_says_what_it_would_do_and_promotes_nobody():
    decision = judge_all([GOOD], mode="dry_run")
    assert (decision.verdict, decision.winner, decision.promoted) == ("promote", "good", False)


@pytest.mark.parametrize(("prefer", "winner"), [("quality", "better"), ("speed", "worse")])
def test_a_disabled_gate_judges_nobody_and_says_so(prefer, winner, caplog):
    decision = judge_all([GOOD, BETTER, WORSE], mode="disabled", prefer=prefer)
    assert (decision.verdict, decision.winner, decision.promoted) == ("unjudged", winner, True)
    assert decision.judgements == ()
    assert decision.leading is None
    assert "unjudged" in caplog.text


def test_the_decision_survives_json_with_all_that_it_was_made_on():
    slices = pd.DataFrame({"source": ["a", "b"] * 20}, index=frame(0.5).index)
    decision = judge(noisy(0.1, 40), frame(0.5), slices=slices, challenger_costs=costs(), incumbent_costs=costs(90))
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert decision.settings == QUICK
    assert decision.incumbent_costs == costs(90)
    assert decision.judgements[0].costs == costs()


def test_nobody_to_judge_and_two_of_one_name_are_errors():
    with pytest.raises(GateError, match="no challenger"):
        judge_all([])
    with pytest.raises(GateError, match="Several challengers are named good"):
        judge_all([GOOD, GOOD])


VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.63, 1.0]), min_size=60, max_size=60)


@given(VALUES, VALUES)
@budget(max_examples=30, deadline=None)
def test_of_two_sides_at_most_one_takes_over_from_the_other(ours, theirs):
    one, other = frame(ours, queries=60), frame(theirs, queries=60)
    assert not (judge(one, other).promoted and judge(other, one).promoted)


@given(gain=st.floats(-0.05, 0.1), order=st.permutations(range(60)))
@budget(max_examples=30, deadline=None)
def test_the_order_of_queries_does_not_matter(gain, order):
    ours, theirs = noisy(gain, 60), frame(0.5, queries=60)
    slices = pd.DataFrame({"source": ["a", "b", "c"] * 20}, index=ours.index)
    given, shuffled = judge(ours, theirs, slices=slices), judge(ours.iloc[order], theirs, slices=slices.iloc[order])
    assert given == shuffled


@given(gains=st.lists(st.floats(-0.03, 0.06), min_size=1, max_size=3), twin=st.floats(-0.03, 0.06))
@budget(max_examples=25, deadline=None)
def test_one_more_challenger_never_helps_another_to_pass(gains, twin):
    base = Contender("champion", frame(0.5, queries=100))
    few = [Contender(f"c{i}", noisy(gain, 100, seed=i)) for i, gain in enumerate(gains)]
    before, after = (
        verdicts(judge_all(few, base)),
        verdicts(judge_all([*few, Contender("more", noisy(twin, 100))], base)),
    )
    assert all(before[name] == "promote" for name in before if after[name] == "promote")


@given(seed=st.integers(0, 10_000), copies=st.integers(1, 3))
@budget(max_examples=20, deadline=None)
def test_the_incumbent_itself_never_takes_over(seed, copies):
    same = frame(np.random.default_rng(seed).uniform(size=80), queries=80)
    decision = judge_all([Contender(f"c{i}", same) for i in range(copies)], Contender("champion", same))
    assert decision.verdict == "reject"


@given(gain=st.floats(0, 0.1), more=st.floats(0, 0.1))
@budget(max_examples=25, deadline=None)
def test_a_larger_gain_everywhere_never_loses_what_a_smaller_one_won(gain, more):
    theirs = frame(0.5, queries=80)
    smaller, larger = noisy(gain, 80), noisy(gain + more, 80)
    assert judge(larger, theirs).promoted or not judge(smaller, theirs).promoted
