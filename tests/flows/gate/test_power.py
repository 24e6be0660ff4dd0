import numpy as np
import pytest

from flows.gate import GateError
from flows.gate.power import queries_needed
from flows.settings import GateSettings
from tests.flows.gate.sides import frame, judge

SETTINGS = GateSettings(resamples=1_000, seed_deviation=0)


def spread(deviation, count=200):
    values = np.random.default_rng(0).normal(size=count)
    return deviation * (values - values.mean()) / values.std(ddof=1)


def test_the_number_is_the_textbooks():
    # ((1.960 + 1.282) 0.2 / 0.03)^2, and the same at 0.3 with the level halved for two challengers.
    assert queries_needed(spread(0.2, 10**6), SETTINGS) == pytest.approx(467, abs=2)
    two = queries_needed(spread(0.3, 10**6), SETTINGS, challengers=2)
    assert two == pytest.approx((2.2414 + 1.2816) ** 2 * 100, abs=4)


def test_a_spread_known_from_few_queries_asks_for_more():
    needed = [queries_needed(spread(0.2, count), SETTINGS) for count in (30, 100, 1_000)]
    assert needed == sorted(needed, reverse=True)
    assert 467 < needed[-1] < 0.8 * needed[0]


@pytest.mark.parametrize("changed", [1.0, 0.1])
def test_the_spread_is_seldom_taken_for_less_than_it_is(changed):
    """Also where nine of ten queries do not change: the interval is one of 80 %."""
    rng = np.random.default_rng(11)
    deviation = 0.5 * changed**0.5
    enough = (3.2415 * deviation / 0.03) ** 2
    pilots = rng.normal(0, 0.5, (400, 150)) * (rng.random((400, 150)) < changed)
    assert np.mean([queries_needed(pilot, SETTINGS) >= enough for pilot in pilots]) >= 0.7


def test_the_least_gain_asks_for_more_where_it_lies_close_to_what_is_to_be_seen():
    close = SETTINGS.model_copy(update={"min_ndcg_gain": 0.025})
    assert queries_needed(spread(0.2, 10**6), close) == pytest.approx((1.2816 * 0.2 / 0.005) ** 2, abs=5)


def test_seeds_ask_for_more_queries_until_none_are_enough():
    numbers = [
        queries_needed(spread(0.2, 10**6), SETTINGS.model_copy(update={"seed_deviation": deviation}))
        for deviation in (0.0, 0.003, 0.006, 0.009)
    ]
    assert numbers == sorted(numbers)
    # At 0.006: the error x with 1.645 sqrt(x^2 + 2 0.006^2) + 1.282 x = 0.03 is 0.00823.
    assert numbers[2] == pytest.approx((0.2 / 0.00823) ** 2, rel=0.005)
    close = SETTINGS.model_copy(update={"seed_deviation": 0.009})
    with pytest.raises(GateError, match=r"With 20 challengers a gain of 0\.03 cannot be told"):
        queries_needed(spread(0.2), close, challengers=20)


@pytest.mark.parametrize("differences", [np.zeros(50), np.zeros(1), np.zeros(0)])
def test_never_fewer_than_the_least_test_set(differences):
    assert queries_needed(differences, SETTINGS) == SETTINGS.min_queries


@pytest.mark.parametrize("make", ["normal", "rare"])
def test_so_many_queries_do_promote_a_true_gain(make):
    """Normal differences, and some where nine of ten queries do not change."""
    rng = np.random.default_rng(7)

    def draw(count):
        values = rng.normal(0.03, 0.15, count) if make == "normal" else np.zeros(count)
        if make == "rare":
            changed = rng.random(count) < 0.1
            values[changed] = rng.choice([-0.37, 0.63], changed.sum(), p=[0.33, 0.67])
        return values

    needed = queries_needed(draw(20_000), SETTINGS)
    promoted = sum(judge(frame(draw(needed), queries=needed), frame(0.0, queries=needed)).promoted for _ in range(60))
    assert promoted >= 48  # of 54 expected; fewer are chance in one of a hundred
