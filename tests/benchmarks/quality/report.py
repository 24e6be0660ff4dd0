"""Means over seeds, differences with their certainty, and whether the promises hold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from tests.benchmarks.quality.trained import PLAIN, Run

METRIC = "ndcg@10"
SHOWN = (METRIC, "mrr@10", "map@10")
RECIPE = "recipe"
SEED, RESAMPLES = 13, 10_000


class Difference(NamedTuple):
    """The recipe beside another ranker on one set."""

    data: str
    against: str
    gain: float
    """NDCG@10, mean over seeds and queries."""
    low: float
    high: float
    """Interval of 95 %, bootstrapped over queries and over the seeds of both sides."""
    beyond_noise: bool
    """The interval lies above zero."""


def differences(runs: Sequence[Run], ranker: str = RECIPE) -> list[Difference]:
    """Compare `ranker` with every other on the same set."""
    found = []
    for data in dict.fromkeys(run.data for run in runs):
        others = dict.fromkeys(run.ranker for run in runs if run.data == data and run.ranker != ranker)
        ours = _values(runs, data, ranker)
        if ours.size:
            found += [_difference(data, other, ours, _values(runs, data, other)) for other in others]
    return found


def _values(runs: Sequence[Run], data: str, ranker: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return NDCG@10, shape (seeds, queries)."""
    chosen = [run.per_query[METRIC].sort_index() for run in runs if (run.data, run.ranker) == (data, ranker)]
    return np.stack([each.to_numpy(dtype=np.float64) for each in chosen]) if chosen else np.empty((0, 0))


def _difference(data: str, other: str, ours: Any, theirs: Any) -> Difference:
    """Resample queries, the same for both sides, and seeds of each: the noise of test set and training together."""
    rng = np.random.default_rng(SEED)
    gains = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        queries = rng.integers(ours.shape[1], size=ours.shape[1])
        mine = ours[rng.integers(len(ours), size=len(ours))].mean(axis=0)
        its = theirs[rng.integers(len(theirs), size=len(theirs))].mean(axis=0)
        gains[i] = (mine - its)[queries].mean()
    low, high = np.quantile(gains, [0.025, 0.975])
    return Difference(data, other, float(ours.mean() - theirs.mean()), float(low), float(high), bool(low > 0))


def promises(runs: Sequence[Run], found: Sequence[Difference]) -> dict[str, bool]:
    """Return what the benchmark promises and whether it holds."""
    against = {other: [d for d in found if d.against == other] for other in ("bm25", "bi-encoder", PLAIN)}
    held = {f"beats {other} on every set": all(d.gain > 0 for d in each) for other, each in against.items() if each}
    if against[PLAIN]:
        held["beats the plain recipe beyond the noise on a set"] = any(d.beyond_noise for d in against[PLAIN])
        held["takes no more time than the plain recipe"] = all(
            _seconds(runs, data, RECIPE) <= _seconds(runs, data, PLAIN) for data in {run.data for run in runs}
        )
    return held


def _seconds(runs: Sequence[Run], data: str, ranker: str) -> float:
    return sum(run.seconds or 0.0 for run in runs if (run.data, run.ranker) == (data, ranker))


def show(runs: Sequence[Run], found: Sequence[Difference], held: dict[str, bool]) -> None:
    """Print three tables."""
    console = Console(width=130)
    table = Table("set", "ranked by", "seeds", *SHOWN, "spread", "train s", "pairs/s", title="Mean over seeds")
    for data, ranker in dict.fromkeys((run.data, run.ranker) for run in runs):
        chosen = [run for run in runs if (run.data, run.ranker) == (data, ranker)]
        means = pd.DataFrame([run.per_query.mean() for run in chosen])
        spread = f"{means[METRIC].min():.4f} .. {means[METRIC].max():.4f}" if len(chosen) > 1 else ""
        cost = (
            [f"{_mean(chosen, 'seconds'):.0f}", f"{_mean(chosen, 'pairs_per_second'):.0f}"]
            if chosen[0].seconds
            else []
        )
        table.add_row(data, ranker, str(len(chosen)), *(f"{means[m].mean():.4f}" for m in SHOWN), spread, *cost)
    console.print(table)
    table = Table("set", "against", "NDCG@10 gain", "95 % interval", title="The recipe beside the others")
    for each in found:
        table.add_row(each.data, each.against, f"{each.gain:+.4f}", f"{each.low:+.4f} .. {each.high:+.4f}")
    console.print(table)
    for promise, holds in held.items():
        console.print(f"{'held' if holds else '[bold red]NOT HELD[/]'}: {promise}")


def document(runs: Sequence[Run], found: Sequence[Difference], held: dict[str, bool]) -> dict[str, Any]:
    """Return all of it as JSON takes it."""
    return {
        "runs": [
            {
                "data": run.data,
                "ranker": run.ranker,
                "seed": run.seed,
                "queries": len(run.per_query),
                "seconds": run.seconds,
                "pairs_per_second": run.pairs_per_second,
                "metrics": {name: float(value) for name, value in run.per_query.mean().items()},
            }
            for run in runs
        ],
        "differences": [each._asdict() for each in found],
        "held": held,
    }


def _mean(runs: Sequence[Run], name: str) -> float:
    return float(np.mean([getattr(run, name) for run in runs]))
