"""Tables, promises and JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.drift.rates import Rate
from tests.benchmarks.gate import judges
from tests.benchmarks.gate.draws import NDCG
from tests.benchmarks.gate.runs import Runs
from tests.benchmarks.gate.simulation import Cell

FALSE, FOUND, GAIN = 0.05, 0.9, 0.03
WIDTH = 150
TITLES = {
    "equal": "Promoted of equal recipes, two seeds",
    "retrained": "Promoted of retrainings of a champion that won before",
    "unlucky": "Promoted against the worst seed of all: every other one is truly a little better",
    "better": "Promoted of truly better ones",
    "asked": "Promoted of truly better ones on as many queries as the gate asked for",
    "slice": "Vetoed for a slice, where all gain 0.03 and one slice truly falls (a fall below 0 is a gain)",
}


class Line(NamedTuple):
    """One promise."""

    what: str
    rate: Rate
    target: str
    held: bool


def show_runs(runs: Runs) -> None:
    """Say what the simulation draws from."""
    means = [frame[NDCG].mean() for frame in runs.seeds]
    spreads = [float((a[NDCG] - b[NDCG]).std()) for a, b in combinations(runs.seeds, 2)]
    print(
        f"{runs.dataset}: {len(runs.weaker)} queries, {len(means)} seeds, NDCG@10 {min(means):.4f} to "
        f"{max(means):.4f}, standard deviation {np.std(means, ddof=1):.4f}, of it seed alone "
        f"{seed_deviation(runs):.4f}; per-query differences of two seeds {np.mean(spreads):.3f}; "
        f"the weaker ranker {runs.weaker[NDCG].mean():.4f}"
    )


def seed_deviation(runs: Runs) -> float:
    """Return the standard deviation of the seeds' true means: without what a finite test set adds."""
    values = np.stack([frame[NDCG].to_numpy() for frame in runs.seeds])
    of_queries = values.var(axis=0, ddof=1).mean() / values.shape[1]
    return math.sqrt(max(0.0, values.mean(axis=1).var(ddof=1) - of_queries))


def promises(cells: Sequence[Cell]) -> list[Line]:
    """Return what is promised of equal recipes and of a true gain on the queries that the gate asks for."""
    lines = []
    for cell in cells:
        if cell.gate != judges.GATE:
            continue
        what = f"{cell.dataset}, {cell.queries:.0f} queries"
        if cell.kind in ("equal", "retrained"):
            held = cell.rate.low <= FALSE
            lines.append(Line(f"{cell.kind}: {what}", cell.rate, "<= 5 % within the interval", held))
        elif cell.kind == "asked" and cell.gain == GAIN:
            held = cell.rate.high >= FOUND
            lines.append(Line(f"gain of {GAIN}: {what}", cell.rate, ">= 90 % within the interval", held))
    return lines


def show(cells: Sequence[Cell], lines: Sequence[Line]) -> None:
    """Print a table for each kind, and the promises."""
    console = Console(width=WIDTH)
    for kind, title in TITLES.items():
        chosen = [cell for cell in cells if cell.kind == kind]
        if chosen:
            console.print(_table(title, chosen))
    table = Table("promise", "% (95 % interval)", "of", "target", "held", title="Promises")
    for line in lines:
        table.add_row(line.what, str(line.rate), str(line.rate.of), line.target, "yes" if line.held else "NO")
    console.print(table)


def _table(title: str, cells: Sequence[Cell]) -> Table:
    gates = list(dict.fromkeys(cell.gate for cell in cells))
    table = Table("data", "gain", "fall", "queries", "spread", *gates, title=f"{title}, % (95 % interval)")
    rows: dict[tuple[Any, ...], dict[str, str]] = {}
    for c in cells:
        key = (c.dataset, f"{c.gain:g}", f"{c.fall:g}", f"{c.queries:.0f}", f"{c.spread:.3f}")
        rows.setdefault(key, {})[c.gate] = str(c.rate)
    for key, rates in rows.items():
        table.add_row(*key, *(rates[gate] for gate in gates))
    return table


def document(cells: Sequence[Cell], lines: Sequence[Line], runs: Mapping[str, Runs], draws: int) -> dict[str, Any]:
    """Return everything for the JSON file."""
    return {
        "settings": judges.SETTINGS.model_dump(mode="json"),
        "draws": draws,
        "data": {
            name: {
                "queries": len(each.weaker),
                "seeds": len(each.seeds),
                "ndcg@10": [float(frame[NDCG].mean()) for frame in each.seeds],
                "weaker": float(each.weaker[NDCG].mean()),
                "seed_deviation": seed_deviation(each),
            }
            for name, each in runs.items()
        },
        "cells": [{**cell._asdict(), "rate": asdict(cell.rate)} for cell in cells],
        "promises": [{**line._asdict(), "rate": asdict(line.rate)} for line in lines],
    }
