"""The curve as a picture: one row of panels for each history."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.drift.changes import QUIET, SEVERITIES, topics
from tests.benchmarks.drift.report import FOUND, PROMISED_ROWS, PROMISED_SETTING
from tests.benchmarks.drift.windows import ALL, TEXT, Cell, watch_name

STEPS = [(0.0, QUIET), *((severity, topics(severity)) for severity in SEVERITIES)]


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Write the picture as the path's suffix says: .png, .svg or .pdf."""
    histories = list(dict.fromkeys(cell.history for cell in cells))
    figure = Figure(figsize=(20, 4.5 * len(histories)), layout="constrained")
    watch = watch_name(PROMISED_SETTING)
    for row, history in enumerate(histories):
        panels: list[Axes] = [figure.add_subplot(len(histories), 4, 4 * row + place) for place in range(1, 5)]
        here = [cell for cell in cells if cell.history == history]
        _false_alarms(panels[0], [cell for cell in here if cell.change == QUIET and cell.columns == ALL])
        for panel, columns in zip(panels[1:3], (ALL, TEXT), strict=True):
            own = [cell for cell in here if (cell.columns, cell.method) == (columns, watch)]
            for rows in sorted({cell.rows for cell in own}):
                _power(panel, [cell for cell in own if cell.rows == rows], f"{rows:,} rows")
            _finish(panel, f"{watch}, {columns}")
        same = [cell for cell in here if (cell.columns, cell.rows) == (ALL, PROMISED_ROWS)]
        for method in dict.fromkeys(cell.method for cell in same):
            _power(panels[3], [cell for cell in same if cell.method == method], method)
        _finish(panels[3], f"every method, {PROMISED_ROWS} rows")
        panels[0].set_ylabel(f"{history}\nwindows with an alarm, %")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _false_alarms(panel: Axes, cells: Sequence[Cell]) -> None:
    for method in dict.fromkeys(cell.method for cell in cells):
        own = sorted((cell for cell in cells if cell.method == method), key=lambda cell: cell.rows)
        _line(panel, [float(cell.rows) for cell in own], own, method)
    panel.axhline(100 * PROMISED_SETTING, color="grey", linestyle=":")
    panel.set(title="quiet windows", xlabel="rows of a window", xscale="log", yscale="symlog", ylim=(0, 105))
    ticks = sorted({cell.rows for cell in cells})
    panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks], minor=False)
    panel.set_xticks([], minor=True)
    panel.set_yticks([0, 1, 5, 20, 50, 100], ["0", "1", "5", "20", "50", "100"])
    _legend(panel)


def _power(panel: Axes, cells: Sequence[Cell], label: str) -> None:
    by_change = {cell.change: cell for cell in cells}
    known = [(100 * severity, by_change[name]) for severity, name in STEPS if name in by_change]
    _line(panel, [severity for severity, _ in known], [cell for _, cell in known], label)


def _line(panel: Axes, places: Sequence[float], cells: Sequence[Cell], label: str) -> None:
    values = [100 * cell.alarms.value for cell in cells]
    panel.plot(places, values, marker="o", markersize=4, label=label)
    low, high = ([100 * getattr(cell.alarms, end) for cell in cells] for end in ("low", "high"))
    panel.fill_between(places, low, high, alpha=0.12)


def _finish(panel: Axes, title: str) -> None:
    panel.axhline(100 * FOUND, color="grey", linestyle=":")
    panel.set(title=title, xlabel="queries of other topics, %", ylim=(-3, 103))
    _legend(panel)


def _legend(panel: Axes) -> None:
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize="x-small")
