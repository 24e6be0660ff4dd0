"""The parts `quiet`, `drift` and `baselines`: what every method says to windows known to be quiet, or not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tests.benchmarks.drift.changes import CHANGES, FLIPPED, QUIET, SEVERITIES, Change, unchanged
from tests.benchmarks.drift.history import LIVE_COLUMNS
from tests.benchmarks.drift.others import Evidently, FixedThresholds
from tests.benchmarks.drift.rates import Rate, share
from tests.benchmarks.drift.watch import Watch
from tests.benchmarks.drift.workers import embeddings, history

Alarms = Callable[[pa.Table], Mapping[str, bool | None]]

ROWS = 100, 250, 500, 1000, 2000
ALL, TEXT = "all columns", "text alone"


def watch_name(setting: float) -> str:
    """Return the name of the watch as a method."""
    return f"the watch at {setting:.0%}".replace("%", " %")


class Task(NamedTuple):
    """One deal to examine."""

    history: str
    sizes: tuple[int, ...]
    changes: tuple[str, ...]
    """Names in CHANGES, or QUIET alone."""
    windows: int
    """Of each size."""
    number: int
    seed: int
    reference_queries: int
    settings: tuple[float, ...]
    """False alarm rates that the watch is set to."""
    methods: tuple[str, ...]
    """Of "watch", "fixed" and "evidently"."""


@dataclass(frozen=True)
class Finding:
    """What a method said to a window."""

    history: str
    columns: str
    rows: int
    change: str
    method: str
    deal: int
    alarm: bool
    decided: bool = True
    """False for "not enough data", which is no alarm."""


@dataclass(frozen=True)
class Cell:
    """The windows of one kind, by one method."""

    history: str
    columns: str
    rows: int
    change: str
    method: str
    alarms: Rate
    undecided: int


def examine(task: Task) -> list[Finding]:
    """Make the deal, fit every method on its reference, and ask them all about its windows; runs in a worker."""
    held = history(task.history)
    quiet = task.changes == (QUIET,)
    rng = np.random.default_rng([task.seed, task.number, quiet])
    hold_out = 0 if quiet else max(SEVERITIES)
    deal = held.deal(task.sizes, task.windows, rng, hold_out=hold_out, reference_queries=task.reference_queries)
    wanted: Mapping[str, Change] = {name: CHANGES.get(name, unchanged) for name in task.changes}
    changed = [
        (rows, name, number, change(held, window, deal.held_out, rng))
        for rows, drawn in deal.windows.items()
        for name, change in wanted.items()
        for number, window in enumerate(drawn)
    ]
    found = []
    for columns, most, alarms in _methods(held.table(deal.reference), task):
        for size, name, number, rows in changed:
            if number >= most or (columns == TEXT and name == FLIPPED):
                continue
            said = alarms(rows.select(LIVE_COLUMNS) if columns == TEXT else rows)
            found += [
                Finding(task.history, columns, size, name, method, task.number, bool(alarm), alarm is not None)
                for method, alarm in said.items()
            ]
    return found


def _methods(reference: pa.Table, task: Task) -> Iterator[tuple[str, int, Alarms]]:
    """Yield what each method is given, how many windows of a kind it looks at, and the method."""
    if "watch" in task.methods:
        yield ALL, task.windows, _watch(Watch(reference, embeddings()), task.settings)
        yield TEXT, task.windows, _watch(Watch(reference.select(LIVE_COLUMNS), embeddings()), task.settings)
    if "fixed" in task.methods:
        yield ALL, task.windows, FixedThresholds(reference).alarms
    if "evidently" in task.methods:
        yield ALL, 1, Evidently(reference).alarms


def _watch(watch: Watch, settings: Sequence[float]) -> Alarms:
    def alarms(window: pa.Table) -> dict[str, bool | None]:
        verdicts = {watch_name(setting): watch.judge(window, setting).verdict for setting in settings}
        return {name: None if said == "not enough data" else said == "red" for name, said in verdicts.items()}

    return alarms


def cells(findings: Sequence[Finding]) -> list[Cell]:
    """Return the rates, in the order in which their kinds were first found."""
    kinds: dict[tuple[str, str, int, str, str], dict[int, list[Finding]]] = {}
    for f in findings:
        kinds.setdefault((f.history, f.columns, f.rows, f.change, f.method), {}).setdefault(f.deal, []).append(f)
    return [
        Cell(
            *kind,
            share([[f.alarm for f in deal] for deal in deals.values()]),
            sum(not f.decided for deal in deals.values() for f in deal),
        )
        for kind, deals in kinds.items()
    ]
