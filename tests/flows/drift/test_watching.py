"""An alarm needs several windows; the fixed mode needs none of the calibration."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from flows.drift import DriftReport, Profile, Window, judge, watch
from flows.settings import DriftSettings

Traffic = Callable[..., pa.Table]

NOW = datetime(2025, 6, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
QUIET = {"arrays": 0.4, "tables": 0.4, "models": 0.2}
CHANGED = {"arrays": 0.3, "tensors": 0.7}


@pytest.fixture(scope="module")
def profile(traffic: Traffic) -> Profile:
    return Profile.fit(traffic(300, seed=1, days=42), DriftSettings())


@pytest.mark.parametrize(
    ("weeks", "needed", "watched", "alarm"),
    [
        ("r", 1, 1, True),
        ("g", 1, 1, False),
        ("rg-", 2, 3, False),
        ("rrg", 2, 3, True),
        ("rgr", 2, 3, True),
        ("grr", 2, 3, False),  # it is over
        ("r-r", 3, 3, False),
        ("rrr", 3, 3, True),
        ("r--", 2, 3, False),
    ],
)
def test_an_alarm_needs_so_many_red_windows_and_the_newest(
    profile: Profile, traffic: Traffic, tmp_path: Path, weeks: str, needed: int, watched: int, alarm: bool
) -> None:
    settings = DriftSettings(alarm_windows=needed, watched_windows=watched)
    kinds: Mapping[str, pa.Table] = {
        "g": traffic(60, seed=2, topics=QUIET),
        "r": traffic(60, seed=3, topics=CHANGED),
        "-": traffic(3, seed=4),
    }
    read: list[datetime] = []

    def window(until: datetime) -> Window:
        read.append(until)
        return Window(kinds[weeks[(NOW - until) // WEEK]])

    report = watch(profile, window, NOW, settings, tmp_path)
    verdicts = {"g": "green", "r": "red", "-": "not enough data"}
    expected = weeks if weeks[0] == "r" else weeks[0]  # older windows decide nothing where the newest is not red
    assert [found.verdict for found in report.windows] == [verdicts[kind] for kind in expected]
    assert read == [NOW - back * WEEK for back in range(len(expected))]
    assert report.alarm == alarm
    assert DriftReport.model_validate_json((tmp_path / "drift.json").read_text("utf-8")).alarm == alarm
    assert ("Alarm." in report.to_markdown()) == alarm


def test_a_sample_says_how_much_there_was(profile: Profile, traffic: Traffic, tmp_path: Path) -> None:
    report = watch(profile, lambda until: Window(traffic(60, seed=2), 5_000_000), NOW, DriftSettings(), tmp_path)
    assert any("from 5,000,000 rows" in note for note in report.notes)


def test_an_alarm_that_can_never_come_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot need 3 red windows of 2"):
        DriftSettings(alarm_windows=3, watched_windows=2)


def test_the_fixed_threshold_is_told_beside_and_decides_in_its_mode(profile: Profile, traffic: Traffic) -> None:
    for topics in (QUIET, CHANGED):
        week = traffic(40, seed=5, topics=topics)
        calibrated = judge(profile, week, DriftSettings())
        fixed = judge(profile, week, DriftSettings(mode="fixed", fixed_threshold=0.25))
        assert {m.threshold for channel in fixed.channels for m in channel.measures} == {0.25}
        passed = {(c.name, m.test) for c in fixed.channels for m in c.measures if m.statistic > 0.25}
        assert (
            {f"{name} ({test})" for name, test in passed} == set(fixed.fixed_drifted) == set(calibrated.fixed_drifted)
        )
        assert fixed.drifted == bool(passed)
        assert "fixed threshold of 0.25" in calibrated.to_markdown()
    assert calibrated.verdict == "red"


def test_queries_alone_are_watched_by_what_is_known_of_queries(profile: Profile, traffic: Traffic) -> None:
    """Live traffic has no labels, and its documents are others than a snapshot's."""
    for topics, red in ((QUIET, False), (CHANGED, True)):
        asked = traffic(150, seed=6, topics=topics, candidates=2).select(["query", "created_at"])
        report = judge(profile, asked, DriftSettings(), traffic="live traffic")
        assert report.drifted == red
        assert {c.name for c in report.channels if c.measures} == {
            "query length",
            "query words",
            "query text",
            "query out of distribution",
        }
        assert report.to_markdown().startswith(f"# Drift of live traffic: {report.verdict}")
