"""The watch itself: prepare both sides, measure, calibrate, decide, explain, write."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from flows.drift.calibration import Quiet, calibrate, holm
from flows.drift.channels import NAMES, Channel, channels
from flows.drift.movement import moved_sources, moved_words
from flows.drift.period import Period
from flows.drift.report import ChannelResult, DriftReport, PeriodSummary, Verdict
from flows.drift.vocabulary import Vocabulary
from flows.settings import DriftSettings


def watch(
    reference: pa.Table,
    current: pa.Table,
    settings: DriftSettings,
    folder: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> DriftReport:
    """Judge `current` against `reference` and write `drift.json`, and Evidently's `drift.html` and `evidently.json`.

    Args:
        reference: the champion's training snapshot (SNAPSHOT_SCHEMA). Its undersampled negatives do no harm: within
            a query, relevant and other documents weigh the same on both sides.
        current: the newest window (PAIR_SCHEMA or SNAPSHOT_SCHEMA), see `select_window`. A column that a side lacks
            leaves its channels out; queries that a snapshot would drop are left out and counted.
        settings: rates and limits.
        folder: made where it is missing; an older report in it is replaced. Where nothing can be compared, only
            `drift.json` is written.
        progress: called with the share done, 0..1.
    """
    report, measured = _examine(reference, current, settings, progress)
    folder.mkdir(parents=True, exist_ok=True)
    for old in ("drift.html", "evidently.json"):
        (folder / old).unlink(missing_ok=True)
    if measured:
        from flows.drift.page import write_page

        report = report.model_copy(update={"report": write_page(report, measured, folder)})
    report.save(folder / "drift.json")
    progress(1.0)
    return report


def judge(reference: pa.Table, current: pa.Table, settings: DriftSettings) -> DriftReport:
    """Return what `watch` returns, and write nothing: for simulations of many windows."""
    return _examine(reference, current, settings, lambda share: None)[0]


def _examine(
    reference: pa.Table, current: pa.Table, settings: DriftSettings, progress: Callable[[float], None]
) -> tuple[DriftReport, list[Channel]]:
    whole = Period.of(reference), Period.of(current)
    rankable = [side.rankable() for side in whole]
    before, now = (side.sample(settings.max_rows, settings.seed) for side in rankable)
    report = DriftReport(
        verdict="not enough data",
        reason="",
        reference=_summary(whole[0], rankable[0], before),
        current=_summary(whole[1], rankable[1], now),
        false_alarm_rate=settings.false_alarm_rate,
        quiet_windows=0,
    )
    missing = _too_small(report, settings)
    measured: list[Channel] = []
    if not missing:
        vocabulary = Vocabulary(before, now)
        measured = list(channels(before, now, vocabulary))
        missing = "" if measured else "The two sides share no column that holds anything."
    if missing:
        return report.model_copy(update={"reason": missing, "notes": tuple(_notes(report, ()))}), []
    report = _decide(report, measured, settings, progress)
    sources = next((moved_sources(c, settings.false_alarm_rate) for c in measured if c.name == "source"), ())
    words = moved_words(vocabulary, settings.false_alarm_rate)
    return report.model_copy(update={"sources": sources, "words": words}), measured


def _decide(
    report: DriftReport, measured: Sequence[Channel], settings: DriftSettings, progress: Callable[[float], None]
) -> DriftReport:
    rate = settings.false_alarm_rate
    # With fewer windows not even the rarest p value would pass Holm's first step.
    windows = max(settings.quiet_windows, math.ceil(len(measured) / rate))
    quiet = calibrate(measured, windows, settings.seed, lambda share: progress(0.9 * share))
    statistics = [channel.statistic() for channel in measured]
    p_values = [q.p_value(s) for q, s in zip(quiet, statistics, strict=True)]
    level = holm(p_values, rate)
    results = {
        channel.name: ChannelResult(
            name=channel.name,
            test=channel.test,
            statistic=statistic,
            threshold=q.threshold(level),
            p_value=p,
            dispersion=q.dispersion,
            drifted=p <= level,
        )
        for channel, statistic, q, p in zip(measured, statistics, quiet, p_values, strict=True)
    }
    drifted = [name for name, result in results.items() if result.drifted]
    verdict: Verdict = "red" if drifted else "amber" if min(p_values) <= rate else "green"
    reason = {
        "red": f"Drift in {', '.join(drifted)}: more than in quiet windows of the same size.",
        "amber": f"One channel alone is unusual ({measured[p_values.index(min(p_values))].name}); "
        f"with {len(measured)} channels this can be chance.",
        "green": "The window looks like the quiet windows of the reference.",
    }[verdict]
    return report.model_copy(
        update={
            "verdict": verdict,
            "reason": reason,
            "quiet_windows": windows,
            "channels": tuple(results.get(name, ChannelResult(name=name, test=test)) for name, test in NAMES.items()),
            "notes": tuple(_notes(report, quiet)),
        }
    )


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
            f"The reference holds {held:.1f} windows of this size; stretches of it differ up to {stretch:.2f} times "
            "as much as random draws, and the thresholds contain that."
        )
        if held < 3:
            notes.append(
                "That is too few to know how much whole windows differ in quiet times: shorter stretches stood in, "
                "and an ordinary change between windows may raise an alarm."
            )
        if len(quiet) < len(NAMES):
            notes.append("Some channels were left out: their column is missing or empty on one side.")
    for name, side in (("reference", report.reference), ("window", report.current)):
        if side.unrankable_queries:
            notes.append(
                f"{side.unrankable_queries:,} queries of the {name} have no relevant or no other document and stayed "
                "out, as they stay out of a snapshot."
            )
        if side.compared_queries < side.queries - side.unrankable_queries:
            notes.append(f"The {name} was sampled by query, seeded: {side.compared_rows:,} of {side.rows:,} rows.")
    return notes


def _summary(whole: Period, rankable: Period, compared: Period) -> PeriodSummary:
    first, last = whole.span()
    return PeriodSummary(
        rows=whole.rows.num_rows,
        queries=whole.queries,
        unrankable_queries=whole.queries - rankable.queries,
        compared_rows=compared.rows.num_rows,
        compared_queries=compared.queries,
        first=first,
        last=last,
    )
