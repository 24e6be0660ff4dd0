"""The part `order`: SemEval as it happened, walking forward, beside the same windows dealt at random."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests.benchmarks.drift.history import BLOCK, History, Queries
from tests.benchmarks.drift.rates import share
from tests.benchmarks.drift.report import Line, percent
from tests.benchmarks.drift.watch import Watch
from tests.benchmarks.drift.workers import embeddings, history

START = 0.3
"""Share of the history that has passed before the first window."""

CAUSES = 3
"""Channels that are named, those that drifted most often."""


class Task(NamedTuple):
    """One window against everything before it."""

    history: str
    rows: int
    setting: float
    window: int
    """Number of the window."""
    shuffle: int
    """0: as it happened; else the number of the shuffle, of whole blocks."""
    seed: int


class Step(NamedTuple):
    """What the watch said."""

    rows: int
    setting: float
    window: int
    shuffle: int
    day: str
    """Of the window's first query."""
    red: bool
    channels: tuple[str, ...]
    """That drifted."""


def tasks(name: str, held: History, sizes: Sequence[int], setting: float, shuffles: int, seed: int) -> list[Task]:
    """Return every step of the walk, and of `shuffles` walks through the same blocks in random order."""
    return [
        Task(name, rows, setting, window, shuffle, seed)
        for rows in sizes
        for shuffle in range(1 + shuffles)
        for window in range(windows(held, rows))
    ]


def windows(held: History, rows: int) -> int:
    """Return how many windows follow the start."""
    return int(len(held.known) * (1 - START)) // held.window_queries(rows)


def step(task: Task) -> list[Step]:
    """Judge one window; runs in a worker."""
    held = history(task.history)
    order = shuffled(held.known, task.shuffle, task.seed)
    size = held.window_queries(task.rows)
    start = len(order) - (windows(held, task.rows) - task.window) * size
    window = held.table(order[start : start + size])
    report = Watch(held.table(np.sort(order[:start])), embeddings()).judge(window, task.setting)
    drifted = tuple(channel.name for channel in report.channels if channel.drifted)
    day = f"{window['created_at'][0].as_py():%Y-%m-%d}"
    return [Step(task.rows, task.setting, task.window, task.shuffle, day, report.verdict == "red", drifted)]


def shuffled(queries: Queries, shuffle: int, seed: int) -> Queries:
    """Return the queries as they came (shuffle 0), or their blocks in an order that `shuffle` decides."""
    if not shuffle:
        return queries
    blocks = [queries[start : start + BLOCK] for start in range(0, len(queries), BLOCK)]
    order = np.random.default_rng([seed, shuffle]).permutation(len(blocks))
    return np.concatenate([blocks[i] for i in order])


def lines(walk: Sequence[Step]) -> list[Line]:
    """Return how many windows were red, as it happened and at random, and by what."""
    found = []
    for rows in dict.fromkeys(step.rows for step in walk):
        for what, random in (("in real order", False), ("dealt at random", True)):
            steps = [step for step in walk if step.rows == rows and bool(step.shuffle) is random]
            walks: dict[int, list[bool]] = {}
            for step in steps:
                # As it happened no window shares a random order with another, so each stands for itself.
                walks.setdefault(step.shuffle if random else -step.window, []).append(step.red)
            if walks:
                causes = Counter(name for step in steps for name in step.channels).most_common(CAUSES)
                beside = ", ".join(f"{name}: {count}" for name, count in causes)
                measured = f"semeval {what}, {rows} rows, red at {100 * steps[0].setting:g} %"
                found.append(percent("order", measured, share(list(walks.values())), beside=beside))
    return found
