"""The part `year`: a champion, and a year of quiet weeks after it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tests.benchmarks.drift.history import BLOCK, History
from tests.benchmarks.drift.rates import per_year
from tests.benchmarks.drift.report import PROMISED_ROWS, PROMISED_SETTING, Line
from tests.benchmarks.drift.watch import ALARM_WINDOWS, WATCHED_WINDOWS, Watch
from tests.benchmarks.drift.workers import embeddings, history

ALARMS_A_YEAR = 0.1
"""At most, is promised."""
MOST = 0.75
"""Share of a history that the weeks may take from the reference."""


class Task(NamedTuple):
    """One year."""

    history: str
    rows: int
    weeks: int
    settings: tuple[float, ...]
    number: int
    seed: int


class Year(NamedTuple):
    """What the watch said in it."""

    history: str
    rows: int
    setting: float
    weeks: int
    red: int
    """Weeks."""
    alarms: int


def tasks(
    histories: Mapping[str, History],
    sizes: Sequence[int],
    settings: tuple[float, ...],
    years: int,
    weeks: int,
    seed: int,
) -> list[Task]:
    """Return the years, with the largest weeks that each history has room for."""
    found = []
    for name, held in histories.items():
        fitting = [rows for rows in sizes if weeks * held.window_queries(rows) <= MOST * len(held.known)]
        if fitting:
            found += [Task(name, max(fitting), weeks, settings, number, seed) for number in range(years)]
    return found


def live(task: Task) -> list[Year]:
    """Deal blocks into a reference and the weeks of a year, and watch it; runs in a worker."""
    held = history(task.history)
    known = held.known
    blocks = [known[start : start + BLOCK] for start in range(0, len(known), BLOCK)]
    order = np.random.default_rng([task.seed, task.number]).permutation(len(blocks))
    dealt = np.concatenate([blocks[i] for i in order])
    size = held.window_queries(task.rows)
    taken = task.weeks * size
    watch = Watch(held.table(np.sort(dealt[taken:])), embeddings())
    tables = [held.table(np.sort(week)) for week in dealt[:taken].reshape(task.weeks, size)]
    years = []
    for setting in task.settings:
        red = [watch.judge(table, setting).verdict == "red" for table in tables]
        years.append(Year(task.history, task.rows, setting, task.weeks, sum(red), alarms(red)))
    return years


def alarms(red: Sequence[bool]) -> int:
    """Return how often an alarm begins: so many red windows among the last so many, where before there were fewer."""
    raised = [sum(red[max(0, i + 1 - WATCHED_WINDOWS) : i + 1]) >= ALARM_WINDOWS for i in range(len(red))]
    return sum(now and not before for before, now in zip([False, *raised], raised, strict=False))


def lines(years: Sequence[Year]) -> list[Line]:
    """Return how many alarms there were in a year."""
    found = []
    for name, rows, setting in dict.fromkeys((y.history, y.rows, y.setting) for y in years):
        own = [y for y in years if (y.history, y.rows, y.setting) == (name, rows, setting)]
        rate = per_year(sum(y.alarms for y in own), len(own))
        what = f"{name}, {rows} rows a week, setting {100 * setting:g} %"
        red = 100 * sum(y.red for y in own) / sum(y.weeks for y in own)
        promised = setting == PROMISED_SETTING and rows == PROMISED_ROWS
        found.append(
            Line(
                "year",
                f"alarms a year, {what}",
                rate.value,
                "alarms",
                (rate.low, rate.high),
                rate.of,
                f"<= {ALARMS_A_YEAR:g}" if promised else "",
                rate.value <= ALARMS_A_YEAR if promised else None,
                f"{red:.2g} % of weeks red",
            )
        )
    return found
