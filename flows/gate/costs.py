"""What a model costs to run: latency, memory and size, measured side by side."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flows.contracts.scorer import Scorer
from flows.gate.contender import Costs
from flows.gate.growth import Lists, Open, memory_growth

LISTS = 30
ROUNDS = 5
WARM_UP = 3


class Model(NamedTuple):
    """What is measured."""

    open: Open
    folder: Path
    """Of its files."""


def measure_costs(models: Mapping[str, Model], lists: Lists, rounds: int = ROUNDS) -> dict[str, Costs]:
    """Measure every model on this host.

    Memory is by how much a fresh process of its own grows that opens the model and scores the lists, libraries
    included. For the latency all models are open in this process and take turns at each list, so that what else the
    host does falls on all alike; it is the 95th percentile over the lists of each one's median over the rounds.

    Args:
        models: By name; incumbent and challengers together, since only figures of one call compare.
        lists: A few dozen of the usual size; `usual_lists` picks them from a split.
        rounds: Passes over the lists.

    Raises:
        ValueError: there are no lists.
    """
    if not lists.queries:
        raise ValueError("There are no lists to score: the split is empty.")
    memory = {name: memory_growth(model.open, lists) for name, model in models.items()}
    latency = _latencies({name: model.open() for name, model in models.items()}, lists, rounds)
    return {
        name: Costs(latency_ms=latency[name], memory_bytes=memory[name], artifact_bytes=_size(model.folder))
        for name, model in models.items()
    }


def usual_lists(queries: Sequence[str], documents: Sequence[str], count: int = LISTS) -> Lists:
    """Return lists of the median size from pairs of one split, taken evenly from the shortest texts to the longest.

    Args:
        queries: One a pair; equal texts are one list.
        documents: One a pair.
        count: Lists at most; those shorter than the median are left out.
    """
    found: dict[str, list[str]] = {}
    for query, document in zip(queries, documents, strict=True):
        found.setdefault(query, []).append(document)
    if not found:
        return Lists((), ())
    size = int(np.median([len(candidates) for candidates in found.values()]))
    enough = {query: candidates[:size] for query, candidates in found.items() if len(candidates) >= size}
    ordered = sorted(enough, key=lambda query: (len(query) * size + sum(map(len, enough[query])), query))
    places = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    chosen = [ordered[place] for place in places]
    return Lists(chosen, [enough[query] for query in chosen])


def _latencies(scorers: Mapping[str, Scorer], lists: Lists, rounds: int) -> dict[str, float]:
    """Return milliseconds by name. Each list is scored by all before the next; who begins changes."""
    taken = {name: np.empty((rounds, len(lists.queries))) for name in scorers}
    for scorer in scorers.values():
        for _, candidates, query in zip(range(WARM_UP), lists.documents, lists.queries, strict=False):
            scorer.score([query] * len(candidates), candidates)
    names = list(scorers)
    for turn in range(rounds):
        for place, (query, candidates) in enumerate(zip(lists.queries, lists.documents, strict=True)):
            first = (turn + place) % len(names)
            for name in names[first:] + names[:first]:
                start = time.perf_counter()
                scorers[name].score([query] * len(candidates), candidates)
                taken[name][turn, place] = time.perf_counter() - start
    return {name: 1_000 * float(np.percentile(np.median(each, axis=0), 95)) for name, each in taken.items()}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
