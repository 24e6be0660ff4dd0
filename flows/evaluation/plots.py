"""An evaluation in pictures."""

from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from flows.evaluation.comparison import SHOWN
from flows.evaluation.lineup import Lineup
from flows.evaluation.metrics import NDCG
from flows.evaluation.report import CONFIDENCE, Difference, EvaluationReport, Slice

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f")
"""Okabe and Ito's, which most people tell apart; the challenger has the first and the incumbent the second."""
_BETTER, _WORSE, _GRID = "#0072b2", "#d55e00", "#d9d9d9"
_ALIKE = 1e-9
_BINS = 40
_NAME_CHARACTERS = 48
_DPI = 110


def draw_metrics(report: EvaluationReport, path: Path) -> None:
    """Write the mean metrics of every scorer as bars."""
    scorers = len(report.scorers)
    figure = _figure(width=max(10.0, 2.4 + 0.42 * scorers * len(SHOWN)), height=4.8)
    panel = figure.add_subplot()
    places = np.arange(len(SHOWN))
    width = 0.84 / scorers
    for number, scorer in enumerate(report.scorers):
        values = [report.overall[scorer].metrics[metric] for metric in SHOWN]
        offset = (number - (scorers - 1) / 2) * width
        bars = panel.bar(places + offset, values, width * 0.94, color=_colour(number), label=_label(scorer))
        panel.bar_label(bars, [f"{value:.3f}".lstrip("0") for value in values], padding=2, fontsize=8)
    panel.set_xticks(places, SHOWN)
    panel.set(ylim=(0, 1.05), ylabel=f"mean over {report.counts.queries:,} queries")
    _grid(panel, "y")
    figure.legend(loc="outside upper center", ncols=min(scorers, 4), frameon=False)
    figure.savefig(path, dpi=_DPI)


def draw_slices(report: EvaluationReport, path: Path) -> None:
    """Write NDCG@10 of challenger and incumbent in each slice, and their difference with its interval."""
    rows = _rows(report)
    shown = [(place, row) for place, row in enumerate(rows) if isinstance(row, Slice)]
    places = [place for place, _ in shown]
    figure = _figure(width=12, height=1.9 + 0.27 * len(rows))
    means, differences = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.1))
    ours, theirs = ([row.metrics[name][NDCG] for _, row in shown] for name in (report.challenger, report.incumbent))
    means.hlines(places, ours, theirs, color=_GRID, linewidth=3)
    means.scatter(ours, places, color=_COLOURS[0], label=_label(report.challenger), zorder=3)
    means.scatter(theirs, places, color=_COLOURS[1], label=_label(report.incumbent), zorder=2)
    _draw_intervals(differences, places, [row.difference for _, row in shown])
    labels = [row if isinstance(row, str) else f"{_label(row.bucket)} ({row.queries:,})" for row in rows]
    means.set_yticks(range(len(rows)), labels)
    for tick, row in zip(means.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if isinstance(row, str) else "normal")
    means.set_ylim(len(rows) - 0.4, -0.6)
    means.set(title="mean NDCG@10", xlabel="judged queries in brackets")
    differences.axvline(0, color="black", linewidth=1)
    differences.set(title="challenger less incumbent", xlabel=f"mean difference, {CONFIDENCE:.0%} interval")
    for panel in (means, differences):
        panel.tick_params(axis="y", length=0)
        _grid(panel, "x")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, dpi=_DPI)


def draw_differences(lineup: Lineup, path: Path) -> None:
    """Write how the queries' differences in NDCG@10 between challenger and incumbent are distributed."""
    difference = (lineup.challenger.per_query[NDCG] - lineup.incumbent.per_query[NDCG]).to_numpy(dtype=np.float64)
    better, worse = difference[difference > _ALIKE], difference[difference < -_ALIKE]
    figure = _figure(width=10, height=4.8)
    panel = figure.add_subplot()
    edges = np.linspace(-1, 1, _BINS + 1).tolist()
    for values, colour, word in ((worse, _WORSE, "worse"), (better, _BETTER, "better")):
        panel.hist(values, edges, color=colour, edgecolor="white", label=f"{word}: {len(values):,} queries")
    mean = difference.mean()
    panel.axvline(mean, color="black", linestyle="--", linewidth=1.2, label=f"mean of all: {mean:+.4f}")
    panel.plot([], [], " ", label=f"alike, not drawn: {len(difference) - len(better) - len(worse):,} queries")
    panel.set(
        title=f"{_label(lineup.challenger.scorer)} less {_label(lineup.incumbent.scorer)}",
        xlabel="difference in NDCG@10 of a query",
        ylabel="queries",
        xlim=(-1, 1),
    )
    panel.yaxis.set_major_locator(MaxNLocator(integer=True))
    _grid(panel, "y")
    panel.legend(frameon=False)
    figure.savefig(path, dpi=_DPI)


def _rows(report: EvaluationReport) -> list[str | Slice]:
    """Return the slices, each kind below its name."""
    rows: list[str | Slice] = []
    for found in report.slices:
        if not rows or (isinstance(rows[-1], Slice) and rows[-1].slice != found.slice):
            rows.append(found.slice)
        rows.append(found)
    return rows


def _draw_intervals(panel: Axes, places: list[int], found: list[Difference]) -> None:
    means = [difference.mean for difference in found]
    lows = [difference.mean if difference.low is None else difference.low for difference in found]
    highs = [difference.mean if difference.high is None else difference.high for difference in found]
    panel.hlines(places, lows, highs, color="black", linewidth=1.4)
    panel.scatter(means, places, color=[_BETTER if mean >= 0 else _WORSE for mean in means], zorder=3)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _grid(panel: Axes, axis: Literal["x", "y"]) -> None:
    panel.grid(axis=axis, color=_GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _label(name: str) -> str:
    """Return `name` on one line, not too long, and with no `$` that would start a formula."""
    line = " ".join(name.split())
    short = line if len(line) <= _NAME_CHARACTERS else line[: _NAME_CHARACTERS - 1] + "…"
    return short.replace("$", r"\$")
