"""Is an alarm right? Quiet weeks, changed weeks, and the reasons that are given."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import binom

from flows.drift import DriftReport
from flows.settings import CleaningSettings, DriftSettings
from tests.flows.drift.fresh import judge_afresh

Traffic = Callable[..., pa.Table]

SETTINGS = DriftSettings(false_alarm_rate=0.05, quiet_windows=200)


@pytest.fixture(scope="module")
def reference(traffic: Traffic) -> pa.Table:
    return traffic(500, seed=1, days=70)


def drifted(report: DriftReport) -> set[str]:
    return {channel.name for channel in report.channels if channel.drifted}


def test_quiet_windows_raise_alarms_at_the_stated_rate(traffic: Traffic) -> None:
    windows = 40
    alarms = 0
    for seed in range(windows):
        history, week = traffic(300, seed=2 * seed, days=42), traffic(60, seed=2 * seed + 1, day=42)
        alarms += judge_afresh(history, week, SETTINGS).drifted
    # More than this many would happen once in a thousand, were the true rate 5 %.
    assert alarms <= binom.isf(0.001, windows, 0.05)


def test_a_week_unlike_the_others_is_ordinary_where_weeks_differ(traffic: Traffic) -> None:
    """The same mix of topics is an alarm after a steady history, and none after one that swings."""
    mixes = [{"arrays": 0.75, "models": 0.25}, {"arrays": 0.25, "models": 0.75}]
    swinging = pa.concat_tables(traffic(80, seed=i, topics=mixes[i % 2], day=7 * i) for i in range(8))
    steady = traffic(640, seed=9, topics={"arrays": 0.5, "models": 0.5}, days=56)
    week = traffic(80, seed=20, topics=mixes[0], day=56)
    assert "source" in drifted(judge_afresh(steady, week, SETTINGS))
    tolerant = judge_afresh(swinging, week, SETTINGS)
    assert "source" not in drifted(tolerant)
    assert {c.name: c.dispersion for c in tolerant.channels}["source"] > 2


def test_a_replaced_topic_is_red_and_named(traffic: Traffic, reference: pa.Table) -> None:
    week = traffic(120, seed=2, day=70, topics={"arrays": 0.4, "tables": 0.4, "tensors": 0.2})
    report = judge_afresh(reference, week, SETTINGS)
    assert report.verdict == "red"
    assert drifted(report) >= {"source", "document text"}
    assert report.sources[0].name == "tensors"  # what came stands first, however much else moved
    sources = {shift.name: shift for shift in report.sources}
    assert sources["tensors"].came
    assert sources["tensors"].now == pytest.approx(0.2, abs=0.1)
    assert sources["models"].went
    assert {"gradient", "autograd", "cuda"} & {shift.name for shift in report.words}
    assert "Source **tensors** is new" in report.to_markdown()
    assert "Source **models** is gone" in report.to_markdown()


@pytest.mark.parametrize(
    ("change", "channels"),
    [
        ({"longer": 1.3}, {"document length", "document words"}),
        ({"relevant": 2.6}, {"relevant documents"}),
        ({"topics": {"arrays": 0.1, "tables": 0.7, "models": 0.2}}, {"source"}),
    ],
)
def test_each_change_is_found_in_its_own_channel(
    traffic: Traffic, reference: pa.Table, change: dict[str, object], channels: set[str]
) -> None:
    report = judge_afresh(reference, traffic(150, seed=3, day=70, **change), SETTINGS)
    assert report.verdict == "red"
    assert drifted(report) >= channels
    assert not drifted(report) & {"query length", "query words"}
    assert all(name in report.reason for name in channels)


def test_every_channel_agrees_with_its_threshold(traffic: Traffic, reference: pa.Table) -> None:
    for seed in range(3, 9):
        week = traffic(60, seed=seed, day=70, topics={"arrays": 0.4, "tables": 0.3, "models": 0.1, "tensors": 0.2})
        for channel in judge_afresh(reference, week, SETTINGS).channels:
            passed = [m.statistic > m.threshold for m in channel.measures]
            assert channel.drifted == any(passed)


def test_undersampled_negatives_are_no_drift(traffic: Traffic) -> None:
    """A snapshot's training side has a part of its negatives; the window has all of them, and longer ones."""
    history, week = (traffic(n, seed=s, days=50, candidates=10) for n, s in ((500, 1), (150, 2)))
    history, week = (with_longer_negatives(table) for table in (history, week))
    kept = np.random.default_rng(0).random(history.num_rows) < 0.3
    undersampled = history.filter(pa.array(kept | (history["relevance"].to_numpy() == 1)))
    share = pc.mean(undersampled["relevance"]).as_py()
    assert share > CleaningSettings().positive_share > 1.5 * pc.mean(week["relevance"]).as_py()
    assert judge_afresh(undersampled, week, SETTINGS).verdict != "red"


def with_longer_negatives(table: pa.Table) -> pa.Table:
    pairs = zip(table["document"].to_pylist(), table["relevance"].to_pylist(), strict=True)
    documents = [text if relevant else f"{text} baran cotel divis" for text, relevant in pairs]
    return table.set_column(1, table.schema.field("document"), pa.array(documents))


def test_the_same_input_gives_the_same_report(traffic: Traffic, reference: pa.Table) -> None:
    week = traffic(60, seed=4, day=70)
    shuffled = week.take(np.random.default_rng(0).permutation(week.num_rows))
    first = judge_afresh(reference, week, SETTINGS)
    assert judge_afresh(reference, week, SETTINGS) == first
    assert judge_afresh(reference, shuffled, SETTINGS).verdict == first.verdict


def test_a_stricter_rate_draws_as_many_windows_as_it_needs(traffic: Traffic, reference: pa.Table) -> None:
    week = traffic(120, seed=2, day=70, topics={"tensors": 1.0})
    report = judge_afresh(reference, week, DriftSettings(false_alarm_rate=0.005, quiet_windows=20))
    assert report.quiet_windows >= 8 / 0.005
    assert report.verdict == "red"


def test_a_large_side_is_sampled_by_whole_queries_and_says_so(traffic: Traffic, reference: pa.Table) -> None:
    settings = SETTINGS.model_copy(update={"max_rows": 1_000})
    report = judge_afresh(reference, traffic(60, seed=5, day=70), settings)
    assert report.reference.rows == 3_000
    assert report.reference.compared_rows == 6 * report.reference.compared_queries <= 1_000
    assert report.reference.compared_rows > 990
    assert f"3,000 ({report.reference.compared_rows:,} compared)" in report.to_markdown()
    assert any("sampled" in note for note in report.notes)


def test_every_one_of_many_new_sources_is_named(traffic: Traffic, reference: pa.Table) -> None:
    week = traffic(300, seed=6, day=70)
    names = pa.array([f"new{row // 6 % 15}" for row in range(week.num_rows)])  # 6 rows a query
    renamed = week.set_column(3, week.schema.field("source"), names)
    assert {f"new{i}" for i in range(15)} <= {
        shift.name for shift in judge_afresh(reference, renamed, SETTINGS).sources
    }


@pytest.mark.parametrize(("strangers", "red"), [(1, False), (2, False), (12, True)])
def test_a_new_source_is_drift_when_it_is_more_than_a_query_or_two(
    traffic: Traffic, reference: pa.Table, strangers: int, red: bool
) -> None:
    week = traffic(100, seed=8, day=70)
    names = ["new" if row < 6 * strangers else name for row, name in enumerate(week["source"].to_pylist())]
    changed = week.set_column(3, week.schema.field("source"), pa.array(names))
    assert ("source" in drifted(judge_afresh(reference, changed, SETTINGS))) == red
