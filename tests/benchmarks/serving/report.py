"""Lines of the table: what was measured, what it should be, and whether it is."""

import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bento.processors import available_processors


@dataclass(frozen=True)
class Line:
    """One measurement."""

    part: str
    what: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    """Lowest and highest of the rounds."""
    target: str = ""
    held: bool | None = None
    """None where nothing is asked for."""


def fact(part: str, what: str, values: Sequence[float], unit: str) -> Line:
    """Report the median of `values`; nothing is asked for."""
    spread = (min(values), max(values)) if len(values) > 1 else None
    return Line(part, what, statistics.median(values), unit, spread)


def at_least(part: str, what: str, values: Sequence[float], limit: float, unit: str) -> Line:
    """Report the median of `values`, which must reach `limit`."""
    line = fact(part, what, values, unit)
    return Line(part, what, line.value, unit, line.spread, f">= {limit:g}", line.value >= limit)


def at_most(part: str, what: str, values: Sequence[float], limit: float, unit: str) -> Line:
    """Report the median of `values`, which must not exceed `limit`."""
    line = fact(part, what, values, unit)
    return Line(part, what, line.value, unit, line.spread, f"<= {limit:g}", line.value <= limit)


def show(lines: Sequence[Line]) -> None:
    """Print the table."""
    table = Table("part", "measure", "median", "unit", "rounds", "target", "held", title="Serving")
    for line in lines:
        spread = f"{_number(line.spread[0])} .. {_number(line.spread[1])}" if line.spread else ""
        held = "" if line.held is None else "yes" if line.held else "[bold red]NO[/]"
        table.add_row(line.part, line.what, _number(line.value), line.unit, spread, line.target, held)
    Console(width=150).print(table)


def document(lines: Sequence[Line], settings: dict[str, Any]) -> dict[str, Any]:
    """Return everything for the JSON file."""
    packages = ("bentoml", "numpy", "onnxruntime", "openvino", "tokenizers", "uvloop")
    machine = {
        "processor": _processor(),
        "processors": available_processors(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
    return {"machine": machine, "settings": settings, "lines": [asdict(line) for line in lines]}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
