"""One window against the reference: measure, decide, explain."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.drift.calibration import Quiet, holm
from flows.drift.channels import NAMES, Source
from flows.drift.movement import moved_sources, moved_words
from flows.drift.period import Encode, Floats, Period, Score
from flows.drift.profile import Profile, ReferenceChannel, prepared
from flows.drift.report import ChannelResult, DriftReport, Measure, PeriodSummary, Traffic, Verdict
from flows.drift.statistics import STATISTICS, measure
from flows.settings import DriftSettings

_RAREST = 3
"""So many quiet windows must be at or beyond the p value of Holm's first step: each of the two tests of a channel may
have a rarest window of its own."""


@dataclass(frozen=True)
class Measured:
    """A channel of both sides."""

    reference: ReferenceChannel
    statistics: tuple[float, ...]
    """One for each test of the channel."""
    queries: int
    """Of the window."""
    shown: npt.NDArray[Any]
    """One plain value for each of them."""


def judge(
    profile: Profile,
    window: pa.Table,
    settings: DriftSettings,
    encode: Encode | None = None,
    score: Score | None = None,
    *,
    traffic: Traffic = "labelled pairs",
    progress: Callable[[float], None] = lambda share: None,
) -> DriftReport:
    """Return the verdict on `window` (PAIR_SCHEMA or SNAPSHOT_SCHEMA, see `select_window`) and its evidence.

    A column that a side lacks leaves its channels out; queries that a snapshot would drop are left out and counted.
    `encode` and `score` are those that the profile was fitted with.
    """
    return examine(profile, window, settings, encode, score, traffic=traffic, progress=progress)[0]


def examine(
    profile: Profile,
    window: pa.Table,
    settings: DriftSettings,
    encode: Encode | None = None,
    score: Score | None = None,
    *,
    traffic: Traffic = "labelled pairs",
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[DriftReport, tuple[Measured, ...]]:
    """Return what `judge` returns, with what was measured; nothing where there is no verdict."""
    whole = Period.of(window)
    rankable = whole.rankable()
    compared = rankable.sample(settings.max_rows, settings.seed)
    report = DriftReport(
        traffic=traffic,
        verdict="not enough data",
        reason="",
        reference=profile.summary,
        current=PeriodSummary.of(whole, rankable, compared),
        mode=settings.mode,
        false_alarm_rate=settings.false_alarm_rate,
        fixed_threshold=settings.fixed_threshold,
    )
    missing = _too_small(report, settings)
    measured: tuple[Measured, ...] = ()
    if not missing:
        period = prepared(rankable, settings, encode, score, profile.trained)
        progress(0.5)
        sampled = period.sample(settings.max_text_rows, settings.seed)
        measured = tuple(_measure(profile.channels, period, sampled))
        missing = "" if measured else "The two sides share no column that holds anything."
    if missing:
        return report.model_copy(update={"reason": missing, "notes": tuple(_notes(report, ()))}), ()
    report = _decide(report, profile, measured, settings)
    progress(0.9)
    sources = _moved_sources(measured, period, settings.false_alarm_rate)
    words = moved_words(profile.words, sampled, settings.false_alarm_rate)
    return report.model_copy(update={"sources": sources, "words": words}), measured


def _measure(channels: Sequence[ReferenceChannel], period: Period, sampled: Period) -> list[Measured]:
    found = []
    for reference in channels:
        vectors = reference.channel.vectors(sampled if reference.channel.sampled else period)
        queries = next(iter(vectors.values())).shape[0] if vectors else 0
        if vectors is None or not queries:
            continue
        means = {test: np.asarray(matrix.mean(axis=0)).reshape(1, -1) for test, matrix in vectors.items()}
        statistics = tuple(
            float(measure(test, reference.mean(test)[None], mean, reference.queries, queries)[0])
            for test, mean in means.items()
        )
        shown = reference.channel.shown(vectors, reference.mean(next(iter(means))))
        found.append(Measured(reference, statistics, queries, shown))
    return found


def _decide(
    report: DriftReport, profile: Profile, measured: Sequence[Measured], settings: DriftSettings
) -> DriftReport:
    rate = settings.false_alarm_rate
    # With fewer windows not even the rarest p value would pass Holm's first step.
    windows = max(settings.quiet_windows, math.ceil(_RAREST * len(measured) / rate))
    quiet = [profile.quiet(m.reference, m.queries, windows, settings.seed) for m in measured]
    p_values = [q.p_value(m.statistics) for q, m in zip(quiet, measured, strict=True)]
    level = holm(p_values, rate)
    fixed = settings.fixed_threshold if settings.mode == "fixed" else None
    results = {
        m.reference.name: _result(m, q, p, level, settings.fixed_threshold, fixed is not None)
        for m, q, p in zip(measured, quiet, p_values, strict=True)
    }
    drifted = [name for name, result in results.items() if result.drifted]
    unusual = min(p_values) <= rate and fixed is None
    verdict: Verdict = "red" if drifted else "amber" if unusual else "green"
    reason = {
        "red": f"Drift in {', '.join(drifted)}: more than "
        + ("in quiet windows of the same size." if fixed is None else f"the fixed threshold of {fixed:g}."),
        "amber": f"One channel alone is unusual ({measured[p_values.index(min(p_values))].reference.name}); "
        f"with {len(measured)} channels this can be chance.",
        "green": "The window looks like the quiet windows of the reference."
        if fixed is None
        else f"No distance passes the fixed threshold of {fixed:g}.",
    }[verdict]
    channels = tuple(results.get(name, ChannelResult(name=name)) for name in NAMES)
    report = report.model_copy(
        update={"verdict": verdict, "reason": reason, "quiet_windows": windows, "channels": channels}
    )
    return report.model_copy(update={"notes": tuple(_notes(report, quiet))})


def _result(m: Measured, quiet: Quiet, p: float, level: float, fixed: float, fixed_decides: bool) -> ChannelResult:
    bounded = [STATISTICS[test].bounded for test in quiet.tests]
    thresholds = [fixed] * len(bounded) if fixed_decides else quiet.thresholds(level)
    measures = tuple(
        Measure(test=test, statistic=s, threshold=t, fixed=s > fixed if is_bounded else None)
        for test, s, t, is_bounded in zip(quiet.tests, m.statistics, thresholds, bounded, strict=True)
        if is_bounded or not fixed_decides
    )
    return ChannelResult(
        name=m.reference.name,
        measures=measures,
        p_value=p,
        dispersion=quiet.dispersion,
        queries=m.queries,
        drifted=any(found.statistic > found.threshold for found in measures),
    )


def _moved_sources(measured: Sequence[Measured], period: Period, rate: float) -> tuple[Any, ...]:
    for m in measured:
        if isinstance(m.reference.channel, Source):
            shares: Floats = m.reference.mean("chi-square")[:-1]
            return moved_sources(m.reference.channel.labels, shares, m.reference.queries, period, rate)
    return ()


def _too_small(report: DriftReport, settings: DriftSettings) -> str:
    for name, side in (("reference", report.reference), ("window", report.current)):
        if side.compared_rows < settings.min_rows or side.compared_queries < settings.min_queries:
            return (
                f"The {name} has {side.rows:,} rows, and {side.compared_rows:,} of {side.compared_queries:,} queries "
                f"can be compared; a verdict needs {settings.min_rows:,} rows of {settings.min_queries:,} queries."
            )
    return ""


def _notes(report: DriftReport, quiet: Sequence[Quiet]) -> list[str]:
    notes = []
    if quiet:
        held = report.reference.compared_queries / report.current.compared_queries
        stretch = max(q.dispersion for q in quiet)
        notes.append(
            f"The reference holds {held:.1f} windows of this size; stretches of it differ from what came before them "
            f"up to {stretch:.2f} times as much as random draws, and the thresholds contain that."
        )
        if held < 3:
            notes.append(
                "That is too few to know how much whole windows differ in quiet times: shorter stretches stood in, "
                "and an ordinary change between windows may raise an alarm."
            )
        left_out = [channel.name for channel in report.channels if not channel.measures]
        if left_out:
            notes.append(f"Left out, because a side has nothing to compare: {', '.join(left_out)}.")
    for name, side in (("reference", report.reference), ("window", report.current)):
        if side.unrankable_queries:
            notes.append(
                f"{side.unrankable_queries:,} queries of the {name} have no relevant or no other document and stayed "
                "out, as they stay out of a snapshot."
            )
        if side.compared_queries < side.queries - side.unrankable_queries:
            notes.append(f"The {name} was sampled by query, seeded: {side.compared_rows:,} of {side.rows:,} rows.")
    return notes
