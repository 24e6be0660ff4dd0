"""A picture of each channel over the last weeks, from the reports that the watch left.

One HTML file with plain SVG: no script, nothing from elsewhere, light and dark as the reader's system is. A mark's
shape says what its colour says, and a table says it in words.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import quote

from flows.drift.report import ChannelResult, DriftReport, Traffic, Verdict

_STAMP = "%Y-%m-%dT%H%M%S"
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 340, 130, 34, 8, 18, 8
_FURTHEST = 8
"""The axis reaches from an eighth of the threshold to eight times it; marks beyond stand at its ends."""

_MARKS = {
    "green": '<circle class="green" cx="{x}" cy="{y}" r="3.5">{title}</circle>',
    "amber": '<path class="amber" d="M{x} {y}m0 -5l5 9h-10z">{title}</path>',
    "red": '<path class="red" d="M{x} {y}m-4 -4h8v8h-8z">{title}</path>',
    "not enough data": '<path class="none" d="M{x} {y}m-4 -4l8 8m0 -8l-8 8">{title}</path>',
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --faint: #6e7781; --paper: #ffffff;
  --green: #1a7f37; --amber: #9a6700; --red: #cf222e; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6edf3; --faint: #8b949e; --paper: #0d1117;
  --green: #3fb950; --amber: #d29922; --red: #f85149; }} }}
body {{ margin: 2rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }}
figure {{ margin: 0; }} figcaption {{ font-weight: 600; }}
svg {{ width: 100%; height: auto; }} .legend svg {{ width: 1em; height: 1em; vertical-align: -0.1em; }}
text {{ font-size: 10px; fill: var(--faint); }} .line {{ fill: none; stroke: var(--faint); }}
.axis {{ stroke: var(--faint); stroke-opacity: 0.4; }} .threshold {{ stroke: var(--ink); stroke-dasharray: 4 3; }}
.green {{ fill: var(--green); }} .amber {{ fill: var(--amber); }} .red {{ fill: var(--red); }}
.none {{ stroke: var(--faint); stroke-width: 2; }}
a {{ color: inherit; }} td, th {{ padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Each mark is the newest check of a day: how far the window is from the reference, as a multiple of the threshold
(dashed, ×1). The axis is logarithmic. A channel with several tests shows the one that is furthest.</p>
<p class="legend">{legend}</p>
<main>
{figures}
</main>
<h2>The same in words</h2>
<table>
<thead><tr><th>window up to</th><th>verdict</th><th>alarm</th><th>channels beyond their threshold</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""
_LEGEND = {
    "green": "ordinary",
    "amber": "unusual, had it been the only channel",
    "red": "drift",
    "not enough data": "not enough data",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Check:
    """One report, where it lies, and the end of its window."""

    report: DriftReport
    folder: Path
    until: datetime


def page_name(traffic: Traffic) -> str:
    """Return the file name of the picture, such as `history-labelled-pairs.html`."""
    return f"history-{traffic.replace(' ', '-')}.html"


def write_history(folder: Path, traffic: Traffic, now: datetime, weeks: int) -> Path | None:
    """Draw every channel of `traffic` from the reports `folder/<time stamp>/drift.json`; return the page's path.

    What cannot be read as a report is passed over with one warning.

    Args:
        folder: Where the reports lie, and where `page_name(traffic)` is written, whole or not at all.
        traffic: Reports of the other are left out.
        now: The right end of the picture, with a time zone.
        weeks: How far it goes back.

    Returns:
        None where no report is young enough; nothing is written then.
    """
    if now.tzinfo is None:
        raise ValueError("`now` has no time zone: pass an aware time, such as datetime.now(UTC)")
    start = now - timedelta(weeks=weeks)
    near = (c for c in _read(folder) if c.report.traffic == traffic and start < c.until <= now + timedelta(days=1))
    checks = _newest_a_day(near)
    if not checks:
        return None
    title = f"Drift of {traffic}: the last {weeks} weeks"
    names = dict.fromkeys(channel.name for c in checks for channel in c.report.channels if channel.measures)
    page = folder / page_name(traffic)
    figures = [_verdicts(checks, start, now), *(_channel(name, checks, start, now) for name in names)]
    rows = "\n".join(_row(check) for check in reversed(checks))
    written = _PAGE.format(title=title, legend=_legend(), figures="\n".join(figures), rows=rows)
    with NamedTemporaryFile("w", encoding="utf-8", dir=folder, suffix=".partial", delete=False) as partial:
        partial.write(written)
    Path(partial.name).chmod(0o644)
    Path(partial.name).replace(page)
    return page


def _read(folder: Path) -> list[_Check]:
    found, foreign = [], 0
    for path in sorted(folder.glob("*/drift.json")):  # in order of their time stamps
        try:
            report = DriftReport.model_validate_json(path.read_bytes())
            found.append(_Check(report, path.parent, _until(report, path.parent)))
        except (OSError, ValueError, OverflowError):
            foreign += 1
    if foreign:
        log.warning(
            "%d files drift.json below %s are no drift reports of this version and are left out", foreign, folder
        )
    return found


def _until(report: DriftReport, folder: Path) -> datetime:
    """Return the end of the window; ValueError where neither the report nor its folder's name tells."""
    if not report.windows:
        return datetime.strptime(folder.name[: len("2025-01-06T120000")], _STAMP).replace(tzinfo=UTC)
    until = report.windows[0].until
    return until.astimezone(UTC) if until.tzinfo else until.replace(tzinfo=UTC)


def _newest_a_day(checks: Iterable[_Check]) -> list[_Check]:
    by_day = {check.until.date(): check for check in checks}
    return [by_day[day] for day in sorted(by_day)]


def _verdict(report: DriftReport, channel: ChannelResult) -> Verdict:
    if channel.drifted:
        return "red"
    unusual = (
        report.mode == "calibrated" and channel.p_value is not None and channel.p_value <= report.false_alarm_rate
    )
    return "amber" if unusual else "green"


def _times_threshold(channel: ChannelResult) -> float:
    """Return the largest statistic over its threshold: above 1 where the channel drifted."""
    return max(_ratio(m.statistic, m.threshold) for m in channel.measures)


def _ratio(statistic: float, threshold: float) -> float:
    if threshold > 0:
        return statistic / threshold
    return math.inf if statistic > threshold else 0.0


def _verdicts(checks: Sequence[_Check], start: datetime, now: datetime) -> str:
    y = (_HEIGHT - _TOP - _BOTTOM) / 2 + _TOP
    marks = [
        _mark(c.report.verdict, _x(c.until, start, now), y, f"{c.until:%Y-%m-%d}: {c.report.verdict}") for c in checks
    ]
    said = f"The verdict of {len(checks)} checks; the newest: {checks[-1].report.verdict}."
    return _figure("Verdict", said, [*_dates(start, now), *marks])


def _channel(name: str, checks: Sequence[_Check], start: datetime, now: datetime) -> str:
    """Return the panel of one channel."""
    points, marks, beyond, last = [], [], 0, 0.0
    for check in checks:
        channel = next((c for c in check.report.channels if c.name == name and c.measures), None)
        if channel is None:
            continue
        last = _times_threshold(channel)
        beyond += channel.drifted
        x, y = _x(check.until, start, now), _y(last)
        points.append(f"{x:.1f},{y:.1f}")
        tests = "; ".join(f"{m.test} {m.statistic:.4g}, threshold {m.threshold:.4g}" for m in channel.measures)
        marks.append(_mark(_verdict(check.report, channel), x, y, f"{check.until:%Y-%m-%d}: {tests}"))
    said = f"{name}: {len(marks)} checks, {beyond} beyond the threshold"
    said += f"; the newest is {last:.2g} times the threshold." if marks else "."
    scale = [
        f'<text x="0" y="{_y(times) + 3:.1f}">{label}</text>'
        for times, label in ((_FURTHEST, f"×{_FURTHEST}"), (1, "×1"), (1 / _FURTHEST, f"×1/{_FURTHEST}"))
    ]
    line = f'<polyline class="line" points="{" ".join(points)}"/>'
    return _figure(name, said, [*_dates(start, now), *scale, _rule("threshold", _y(1)), line, *marks])


def _figure(caption: str, said: str, parts: Sequence[str]) -> str:
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def _dates(start: datetime, now: datetime) -> list[str]:
    middle = start + (now - start) / 2
    labels = [
        f'<text x="{_x(at, start, now):.1f}" y="{_HEIGHT - 4}" text-anchor="{anchor}">{at:%Y-%m-%d}</text>'
        for at, anchor in ((start, "start"), (middle, "middle"), (now, "end"))
    ]
    return [_rule("axis", _HEIGHT - _BOTTOM), *labels]


def _rule(kind: str, y: float) -> str:
    return f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _mark(verdict: Verdict, x: float, y: float, title: str) -> str:
    return _MARKS[verdict].format(x=f"{x:.1f}", y=f"{y:.1f}", title=f"<title>{escape(title)}</title>")


def _x(at: datetime, start: datetime, now: datetime) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, (at - start) / (now - start))


def _y(times: float) -> float:
    """Return the height of a multiple of the threshold, on a logarithmic axis."""
    shown = math.log(min(max(times, 1 / _FURTHEST), _FURTHEST), _FURTHEST)  # -1..1
    room = _HEIGHT - _TOP - _BOTTOM - 12
    return _TOP + 6 + room * (1 - shown) / 2


def _legend() -> str:
    return " · ".join(
        f'<svg viewBox="0 0 12 12" aria-hidden="true">{_MARKS[verdict].format(x=6, y=6, title="")}</svg> {meaning}'
        for verdict, meaning in _LEGEND.items()
    )


def _row(check: _Check) -> str:
    report = check.report
    beyond = ", ".join(escape(c.name) for c in report.channels if c.drifted) or "—"
    day = f"{check.until:%Y-%m-%d %H:%M} UTC"
    if (check.folder / "drift.html").exists():
        day = f'<a href="{quote(check.folder.name)}/drift.html">{day}</a>'
    return (
        f"<tr><td>{day}</td><td>{report.verdict}</td><td>{'yes' if report.alarm else '—'}</td><td>{beyond}</td></tr>"
    )
