"""Measure how often the gate promotes what is no better, and how often it promotes what is.

    python -m tests.benchmarks.gate --runs DIR [--draws N]
    python -m tests.benchmarks.gate --runs DIR --train MINUTES --snapshots NAME=FOLDER ... [--seeds N]

Prints tables, writes JSON, and ends with status 1 when a promise is not kept.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from flows.contracts.snapshot import Snapshot
from tests.benchmarks.gate import report, runs, simulation


def main(arguments: Sequence[str] | None = None) -> int:
    """Make runs where asked to, simulate, report."""
    asked = _arguments(arguments)
    if asked.train:
        snapshots = {
            name: Snapshot(Path(folder)) for name, folder in (pair.split("=", 1) for pair in asked.snapshots)
        }
        runs.make(snapshots, range(1, asked.seeds + 1), asked.train, asked.runs)
    found = {each.dataset: each for each in runs.read(asked.runs)}
    if not found:
        sys.exit(f"{asked.runs} holds no recipe with two seeds: name files <data set>-<recipe>-<seed>.parquet")
    for each in found.values():
        report.show_runs(each)
    cells = _simulate(asked, found)
    lines = report.promises(cells)
    report.show(cells, lines)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(report.document(cells, lines, found, asked.draws), indent=1))
    print(f"written to {asked.json}")
    return int(any(not line.held for line in lines))


def _simulate(asked: argparse.Namespace, found: dict[str, runs.Runs]) -> list[simulation.Cell]:
    cells = []
    with ProcessPoolExecutor(asked.jobs, get_context("spawn"), initializer=_quiet) as pool:
        for each in found.values():
            tasks = simulation.tasks(each, asked.sizes, asked.gains, asked.falls, asked.draws)
            for done, of_task in enumerate(pool.map(partial(simulation.run, runs=each), tasks), 1):
                cells += of_task
                print(f"{each.dataset}: {done} of {len(tasks)}", file=sys.stderr, flush=True)
    return cells


def _quiet() -> None:
    logging.disable(logging.INFO)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of <data set>-<recipe>-<seed>.parquet")
    parser.add_argument("--train", type=float, help="minutes of training a seed, to make runs that are missing")
    parser.add_argument(
        "--snapshots", nargs="+", default=[], metavar="NAME=FOLDER", help="of frozen pairs to train on"
    )
    parser.add_argument("--seeds", type=int, default=2, help="trained for each snapshot")
    parser.add_argument("--draws", type=int, default=400, help="test sets of each cell")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[60, 120, 240, 480, 960], help="queries of a test set"
    )
    parser.add_argument("--gains", nargs="+", type=float, default=[0.0, 0.01, 0.02, 0.03, 0.05], help="true ones")
    parser.add_argument("--falls", nargs="+", type=float, default=[-0.03, 0.05, 0.1, 0.2], help="of one slice, true")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--json", type=Path, default=Path("build/gate.json"))
    asked = parser.parse_args(arguments)
    if bool(asked.train) != bool(asked.snapshots):
        parser.error("--train and --snapshots belong together")
    return asked


if __name__ == "__main__":
    sys.exit(main())
