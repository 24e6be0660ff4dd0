"""The watch: the newest window judged, the ones before it where that decides on an alarm, and the report written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from flows.drift.judging import examine, judge
from flows.drift.period import Encode, Score
from flows.drift.profile import Profile
from flows.drift.report import DriftReport, Traffic, WatchedWindow
from flows.settings import DriftSettings


@dataclass(frozen=True)
class Window:
    """What came in during one window."""

    pairs: pa.Table
    sampled_from: int | None = None
    """Rows that there were, where `pairs` are a sample of them."""


ReadWindow = Callable[[datetime], Window]
"""The end of a window -> what came in until then, `window_days` long."""


def watch(
    profile: Profile,
    read: ReadWindow,
    now: datetime,
    settings: DriftSettings,
    folder: Path,
    encode: Encode | None = None,
    score: Score | None = None,
    *,
    traffic: Traffic = "labelled pairs",
    progress: Callable[[float], None] = lambda share: None,
) -> DriftReport:
    """Judge the window up to `now` and write `drift.json`, and Evidently's `drift.html` and `evidently.json`.

    Where it is red, the windows before it are judged as well: an alarm needs several.

    Args:
        profile: Of the champion's snapshot.
        read: Reads a window; called with `now`, and with ends `window_days` apart before it.
        now: With a time zone.
        settings: Rates and limits.
        folder: Made where it is missing; an older report in it is replaced. Where nothing can be compared, only
            `drift.json` is written.
        encode: As the profile was fitted with.
        score: As the profile was fitted with.
        traffic: What is watched.
        progress: Called with the share done, 0..1.
    """
    window = read(now)
    report, measured = examine(profile, window.pairs, settings, encode, score, traffic=traffic, progress=progress)
    if window.sampled_from is not None:
        sampled = f"The window is a seeded sample of whole queries from {window.sampled_from:,} rows."
        report = report.model_copy(update={"notes": (*report.notes, sampled)})
    watched = [_watched(report, now)]
    if report.drifted:
        for back in range(1, settings.watched_windows):
            until = now - back * timedelta(days=settings.window_days)
            watched.append(
                _watched(judge(profile, read(until).pairs, settings, encode, score, traffic=traffic), until)
            )
    report = report.model_copy(update={"windows": tuple(watched), "alarm_windows": settings.alarm_windows})
    folder.mkdir(parents=True, exist_ok=True)
    for old in ("drift.html", "evidently.json"):
        (folder / old).unlink(missing_ok=True)
    if measured:
        from flows.drift.page import write_page

        report = report.model_copy(update={"report": write_page(report, measured, folder)})
    report.save(folder / "drift.json")
    progress(1.0)
    return report


def _watched(report: DriftReport, until: datetime) -> WatchedWindow:
    return WatchedWindow(until=until, verdict=report.verdict, queries=report.current.compared_queries)
