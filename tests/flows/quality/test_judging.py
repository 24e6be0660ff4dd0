"""How often the verdict is wrong in quiet times, and whether it sees a fall."""

import numpy as np
import pytest
from scipy.stats import binom, permutation_test

from flows.quality import QualityReport, judge
from flows.settings import QualitySettings

SHAPES = [(12, 1), (12, 1), (12, 1), (11, 1), (12, 3), (3, 1), (2, 1)]
SETTINGS = QualitySettings()


def at_look(look: int, ranked, selection, seed: int, sureness: float, settings=SETTINGS) -> QualityReport:
    rng = np.random.default_rng(seed)
    lists, record = ranked(rng, 250, SHAPES, 1.8)
    fresh, measured = ranked(rng, settings.min_queries * 2 ** (look - 1), SHAPES, sureness)
    return judge(selection(lists, fresh, look), record, measured, settings)


def test_quiet_times_raise_no_more_alarms_than_stated(ranked, selection) -> None:
    often = QualitySettings(false_alarm_rate=0.2, min_drop=0)
    trials = 150
    verdicts = [at_look(1, ranked, selection, seed, 1.8, often).verdict for seed in range(trials)]
    # the first look has half of the rate; 1 in 10,000 runs of a right test would have more
    assert verdicts.count("red") <= binom.ppf(0.9999, trials, 0.1)
    assert verdicts.count("red") >= binom.ppf(0.0001, trials, 0.1)  # nor so few that the test is blunt


def test_a_champions_whole_life_keeps_the_rate(ranked, selection) -> None:
    often = QualitySettings(false_alarm_rate=0.2, min_drop=0, min_queries=20)
    trials, alarms = 100, 0
    for seed in range(trials):
        rng = np.random.default_rng([seed, 7])
        lists, record = ranked(rng, 150, SHAPES, 1.8)
        fresh, measured = ranked(rng, 160, SHAPES, 1.8)
        looks = [judge(selection(lists, fresh.head(20 * 2**k), k + 1), record, measured, often) for k in range(4)]
        alarms += any(look.fallen for look in looks)
    assert alarms <= binom.ppf(0.9999, trials, 0.2)


def test_the_looks_share_the_rate(ranked, selection) -> None:
    lists, record = ranked(np.random.default_rng(2), 60, [(12, 1)], 1)
    for look, share in ((1, 1 / 2), (2, 1 / 6), (3, 1 / 12)):
        report = judge(selection(lists, lists, look), record, record, SETTINGS)
        assert report.threshold == pytest.approx(SETTINGS.false_alarm_rate * share)


def test_a_real_fall_is_found(ranked, selection) -> None:
    verdicts = [at_look(3, ranked, selection, seed, 0.9).verdict for seed in range(20)]
    assert verdicts.count("red") >= 18  # corrected NDCG@10 .7 became .4


def test_a_rise_is_no_alarm(ranked, selection) -> None:
    report = at_look(2, ranked, selection, 3, 3.5)
    assert report.verdict == "green"
    assert report.drop < 0


def test_short_lists_are_not_held_against_long_ones(ranked, selection) -> None:
    rng = np.random.default_rng(11)
    lists, record = ranked(rng, 300, [(12, 1), (2, 1), (2, 1), (2, 1), (2, 1)], 1.8)
    for shapes in ([(12, 1)], [(2, 1)], [(12, 1), (2, 1)]):
        fresh, measured = ranked(rng, 200, shapes, 1.8)
        report = judge(selection(lists, fresh, 3), record, measured, SETTINGS)
        assert report.verdict == "green"
        assert abs(report.drop) < 0.15
    # the mean of long lists lies far below that of the record, and this alone would have been an alarm
    fresh, measured = ranked(rng, 200, [(12, 1)], 1.8)
    assert record["ndcg@10"].mean() - measured["ndcg@10"].mean() > 0.1


def test_kinds_the_record_does_not_know_are_never_judged(ranked, selection) -> None:
    rng = np.random.default_rng(1)
    lists, record = ranked(rng, 100, [(12, 1)], 3)
    fresh, measured = ranked(rng, 100, [(3, 1)], 0)
    report = judge(selection(lists, fresh, 2), record, measured, SETTINGS)
    assert report.verdict == "not enough data"


def test_with_one_kind_it_is_scipys_permutation_test(ranked, selection) -> None:
    rng = np.random.default_rng(4)
    lists, record = ranked(rng, 80, [(12, 1)], 1.5)
    fresh, measured = ranked(rng, 50, [(12, 1)], 1.1)
    report = judge(selection(lists, fresh, 1), record, measured, QualitySettings(false_alarm_rate=0.01))
    expected = permutation_test(
        (record["ndcg@10"].to_numpy(), measured["ndcg@10"].to_numpy()),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        vectorized=True,
        alternative="greater",
        n_resamples=20_000,
        rng=1,
    )
    assert report.p_value == pytest.approx(expected.pvalue, abs=0.03)


def test_a_certain_and_tiny_fall_is_no_alarm(ranked, selection) -> None:
    lists, record = ranked(np.random.default_rng(2), 200, [(12, 1)], 1)
    record = record.assign(**{"ndcg@10": 0.9})
    fell = record.assign(**{"ndcg@10": 0.89})
    fresh = lists.head(200)
    report = judge(selection(lists, fresh, 3), record, fell, SETTINGS)
    assert (report.verdict, report.fallen) == ("amber", False)
    assert report.p_value <= report.threshold
    loose = SETTINGS.model_copy(update={"min_drop": 0.001})
    assert judge(selection(lists, fresh, 3), record, fell, loose).fallen


def test_an_uncertain_fall_is_amber(ranked, selection) -> None:
    lists, record = ranked(np.random.default_rng(2), 60, [(12, 1)], 1.5)
    strict = QualitySettings(false_alarm_rate=0.5)
    rng = np.random.default_rng(9)
    fresh, measured = ranked(rng, 50, [(12, 1)], 1.3)
    report = judge(selection(lists, fresh, 30), record, measured, strict)
    assert report.threshold < report.p_value <= 0.5
    assert report.verdict == "amber"


def test_equal_values_everywhere_are_green(ranked, selection) -> None:
    lists, record = ranked(np.random.default_rng(2), 60, [(12, 1)], 1)
    same = record.assign(**{"ndcg@10": 1.0})
    report = judge(selection(lists, lists, 1), same, same, SETTINGS)
    assert (report.verdict, report.drop, report.p_value) == ("green", 0, 1)


def test_the_same_data_give_the_same_report(ranked, selection) -> None:
    assert at_look(1, ranked, selection, 5, 1.5) == at_look(1, ranked, selection, 5, 1.5)


def test_a_record_of_other_queries_is_no_record(ranked, selection) -> None:
    lists, record = ranked(np.random.default_rng(2), 60, [(12, 1)], 1)
    other = record.rename(index=lambda query: f"other {query}")
    report = judge(selection(lists, lists, 1), other, record, SETTINGS)
    assert report.verdict == "not enough data"
    assert "record lacks" in report.reason


def test_one_fresh_query_says_nothing(ranked, selection) -> None:
    lists, record = ranked(np.random.default_rng(2), 60, [(12, 1)], 1)
    report = judge(selection(lists, lists.head(0), 0), record, None, SETTINGS)
    assert (report.verdict, report.p_value) == ("not enough data", None)
    assert report.to_markdown().startswith("# Quality: not enough data")


def test_the_page_shows_both_sides(ranked, selection) -> None:
    page = at_look(1, ranked, selection, 5, 0.5).to_markdown()
    assert "# Quality: red" in page
    assert "| 1 of 12-15 |" in page
    assert "nan" not in page.lower()


def test_a_report_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        QualityReport(verdict="green", reason="", comparable=1, unlike=0, look=1, min_drop=0.1, drop=float("nan"))
