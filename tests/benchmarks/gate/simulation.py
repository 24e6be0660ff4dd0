"""Draws of every kind, judged; one task is one cell of the tables."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flows.gate import Decision, decide
from tests.benchmarks.drift.rates import Rate, share
from tests.benchmarks.gate import draws, judges
from tests.benchmarks.gate.runs import Runs

PLANNED_ON = 150
"""Queries of the test set that is too small, on which the gate says how many it would need."""


class Task(NamedTuple):
    """One cell: so many draws of one kind."""

    dataset: str
    kind: str
    queries: int
    """0: as many as the gate asks for."""
    gain: float
    fall: float
    count: int
    seed: int


class Cell(NamedTuple):
    """What came of a task, for one gate."""

    dataset: str
    kind: str
    queries: float
    """The median, where the gate asked."""
    gain: float
    fall: float
    gate: str
    rate: Rate
    spread: float
    """Median standard deviation of the per-query differences."""


def tasks(runs: Runs, sizes: Sequence[int], gains: Sequence[float], falls: Sequence[float], count: int) -> list[Task]:
    """Return the cells that the data set's queries suffice for."""
    known = len(runs.weaker)
    made = [(kind, n, 0.0, 0.0) for kind in ("equal", "unlucky") for n in sizes if n <= known]
    if len(runs.seeds) > 2:
        made += [("retrained", n, 0.0, 0.0) for n in sizes if n <= known * 2 // 3]
    made += [("better", n, gain, 0.0) for gain in gains for n in sizes]
    made += [("asked", 0, gain, 0.0) for gain in gains if gain >= judges.SETTINGS.detectable_gain]
    made += [("slice", n, 0.03, fall) for fall in falls for n in sizes]
    return [Task(runs.dataset, *cell, count, seed) for seed, cell in enumerate(made)]


def run(task: Task, runs: Runs) -> list[Cell]:
    """Draw and judge; the same task gives the same cells."""
    rng = np.random.default_rng(task.seed)
    promoted: dict[str, dict[tuple[int, int], list[bool]]] = defaultdict(lambda: defaultdict(list))
    sizes, spreads = [], []
    for _ in range(task.count):
        queries = task.queries or _asked(runs, task, rng)
        draw = _draw(runs, task, queries, rng)
        decision = _judge(draw)
        said = judges.vetoes(decision, draw) if task.kind == "slice" else judges.verdicts(decision)
        for gate, verdict in said.items():
            promoted[gate][draw.pair].append(verdict)
        sizes.append(queries)
        spreads.append(judges.spread(draw))
    return [
        Cell(
            task.dataset,
            task.kind,
            float(np.median(sizes)),
            task.gain,
            task.fall,
            gate,
            share(list(pairs.values())),
            float(np.median(spreads)),
        )
        for gate, pairs in promoted.items()
    ]


def _draw(runs: Runs, task: Task, queries: int, rng: np.random.Generator) -> draws.Draw:
    if task.kind in ("better", "asked"):
        return draws.better(runs, task.gain, queries, rng)
    if task.kind == "slice":
        return draws.harmful(runs, task.gain, task.fall, queries, rng)
    dealt = {
        "equal": draws.equal,
        "retrained": draws.retrained_champion,
        "unlucky": draws.unlucky_champion,
    }
    return dealt[task.kind](runs, queries, rng)


def _asked(runs: Runs, task: Task, rng: np.random.Generator) -> int:
    small = draws.better(runs, task.gain, PLANNED_ON, rng)
    return _judge(small).judgements[0].queries_needed


def _judge(draw: draws.Draw) -> Decision:
    return decide([draw.challenger], draw.incumbent, judges.SETTINGS, slices=draw.slices, snapshot="simulated")
