"""What was measured, what it should be, and whether it is: lines, and the curve in cells."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.benchmarks.drift.changes import CHANGES, QUIET, topics
from tests.benchmarks.drift.rates import Rate
from tests.benchmarks.drift.windows import ALL, TEXT, Cell, watch_name

PROMISED_ROWS, PROMISED_SETTING, PROMISED_CHANGE = 500, 0.01, topics(0.2)
FOUND = 0.95
DESIGN_FALSE, DESIGN_FOUND = "design page: 5 %", "design page: 88 %"
WIDTH = 170


@dataclass(frozen=True)
class Line:
    """One measurement."""

    part: str
    what: str
    value: float
    unit: str
    interval: tuple[float, float] | None = None
    """Of 95 %."""
    of: int | None = None
    """How many windows, or years."""
    target: str = ""
    held: bool | None = None
    """None where nothing is asked for."""
    beside: str = ""
    """What others claim or reach."""


def percent(part: str, what: str, rate: Rate, target: str = "", held: bool | None = None, beside: str = "") -> Line:
    """Return a line for a share."""
    interval = (100 * rate.low, 100 * rate.high)
    return Line(part, what, 100 * rate.value, "%", interval, rate.of, target, held, beside)


def promises(cells: Sequence[Cell]) -> list[Line]:
    """Return the lines on what is promised of windows of 500 rows, and on text alone, of which nothing is."""
    watch = watch_name(PROMISED_SETTING)
    lines = []
    for cell in cells:
        if (cell.rows, cell.method) != (PROMISED_ROWS, watch):
            continue
        what = f"{cell.history}, {cell.rows} rows, {cell.columns}"
        rate, promised = cell.alarms, cell.columns == ALL
        if cell.change == QUIET:
            target = "<= 1 within the interval" if promised else ""
            held = rate.low <= PROMISED_SETTING if promised else None
            lines.append(percent("quiet", f"false alarms, {what}", rate, target, held, DESIGN_FALSE))
        elif cell.change == PROMISED_CHANGE:
            target, held = (">= 95", rate.value >= FOUND) if promised else ("", None)
            lines.append(percent("drift", f"found, {cell.change}, {what}", rate, target, held, DESIGN_FOUND))
    return lines


def show(lines: Sequence[Line], cells: Sequence[Cell]) -> None:
    """Print the table, and the curve beneath it."""
    console = Console(width=WIDTH)
    for columns in (ALL, TEXT):
        for history in dict.fromkeys(cell.history for cell in cells if cell.columns == columns):
            chosen = [cell for cell in cells if (cell.history, cell.columns) == (history, columns)]
            console.print(_curve(f"{history}, {columns}: windows with an alarm, % (interval of 95 %)", chosen))
    table = Table("part", "measure", "value", "unit", "95 %", "of", "target", "held", "beside", title="Drift watch")
    for line in lines:
        interval = f"{_number(line.interval[0])} .. {_number(line.interval[1])}" if line.interval else ""
        held = "" if line.held is None else "yes" if line.held else "[bold red]NO[/]"
        of = f"{line.of:,}" if line.of else ""
        table.add_row(
            line.part, line.what, _number(line.value), line.unit, interval, of, line.target, held, line.beside
        )
    console.print(table)


def _curve(title: str, cells: Sequence[Cell]) -> Table:
    changes = [name for name in (QUIET, *CHANGES) if any(cell.change == name for cell in cells)]
    headings = [name.replace(" other topics", "") for name in changes]
    table = Table("method", "rows", *headings, "windows", title=title)
    by_kind = {(cell.method, cell.rows, cell.change): cell for cell in cells}
    for method in dict.fromkeys(cell.method for cell in cells):
        for rows in sorted({cell.rows for cell in cells if cell.method == method}):
            found = [by_kind.get((method, rows, change)) for change in changes]
            counts = " / ".join(dict.fromkeys(_windows(cell) for cell in found if cell))
            table.add_row(method, f"{rows:,}", *(str(cell.alarms) if cell else "" for cell in found), counts)
        table.add_section()
    return table


def _windows(cell: Cell) -> str:
    return f"{cell.alarms.of} ({cell.undecided} without verdict)" if cell.undecided else str(cell.alarms.of)


def document(
    lines: Sequence[Line], cells: Sequence[Cell], settings: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """Return everything for the JSON file."""
    packages = ("evidently", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
    machine = {
        "processors": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
    rates = [asdict(cell) | {"rate": cell.alarms.value} for cell in cells]
    return {
        "machine": machine,
        "settings": settings,
        "lines": [asdict(line) for line in lines],
        "cells": rates,
        **more,
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
