"""Measure what training costs.

    python -m tests.benchmarks.training memory [--pairs N] [--steps N] [--loss LOSS ...] [--json FILE]
    python -m tests.benchmarks.training throughput --semeval FILE --wikiqa FILE [--queries N] [--rounds N]
    python -m tests.benchmarks.training resume --semeval FILE --wikiqa FILE [--epochs N] [--rounds N]

Prints a table, writes JSON, and ends with status 1 when a promise is not kept.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.contracts.snapshot import Snapshot
from tests.benchmarks.quality import data
from tests.benchmarks.training import memory, resume, throughput

LOSSES = ("listwise", "cached-mnrl", "bce")
Found = tuple[list[dict[str, Any]], bool]
"""The lines of the table, and whether the promise was kept."""
SETS = {"wikiqa": data.wikiqa, "semeval": data.semeval}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, report."""
    asked = _arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="training-") as work:
        found, kept = PARTS[asked.part](asked, Path(work))
    if not found:
        print(f"SKIPPED: {asked.part}, for neither --semeval FILE nor --wikiqa FILE was given", file=sys.stderr)
        return 2
    _show(found)
    print("kept" if kept else "NOT KEPT", "-", PROMISES[asked.part])
    path = asked.json or Path(f"build/training-{asked.part}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"part": asked.part, "kept": kept, "cores": os.cpu_count(), "lines": found}, indent=1))
    print(f"written to {path}")
    return 0 if kept else 1


def _memory(asked: argparse.Namespace, work: Path) -> Found:
    print(f"memory: freezing {asked.pairs:,} pairs", file=sys.stderr, flush=True)
    snapshot = memory.prepare(work, asked.pairs)
    found = []
    for loss in asked.loss:
        print(f"memory: {loss}", file=sys.stderr, flush=True)
        found.append(memory.measure(snapshot, loss, asked.steps))
    return found, all(line["peak_gb"] < memory.LIMIT_GB for line in found)


def _throughput(asked: argparse.Namespace, work: Path) -> Found:
    found = []
    for name, snapshot in _snapshots(asked, work):
        few = work / f"{name}-few"
        few.mkdir()
        lines = throughput.measure(snapshot, few, asked.queries, asked.rounds)
        found += [{"data": name, **line} for line in lines]
    return found, all(line["ratio"] >= throughput.TIMES for line in found if line["beside"] == "plain")


def _resume(asked: argparse.Namespace, work: Path) -> Found:
    found = []
    for name, snapshot in _snapshots(asked, work):
        lines = resume.measure(snapshot, work / name, asked.epochs, asked.rounds)
        found += [{"data": name, **line} for line in lines]
    return found, all(line["same_weights"] and line["ndcg"] == line["ndcg_killed"] for line in found)


def _snapshots(asked: argparse.Namespace, work: Path) -> Iterator[tuple[str, Snapshot]]:
    for name, make in SETS.items():
        file = getattr(asked, name)
        if file is not None:
            yield name, make(file, work)


PARTS = {"memory": _memory, "throughput": _throughput, "resume": _resume}
PROMISES = {
    "memory": f"less than {memory.LIMIT_GB:g} GB resident",
    "throughput": f"at least {throughput.TIMES:g} times the plain trainer's pairs a second",
    "resume": "a training that was killed ends with the weights and metrics of an unbroken one",
}


def _show(found: Sequence[dict[str, Any]]) -> None:
    def cell(value: object) -> str:
        return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

    rows = [list(found[0]), *([cell(value) for value in line.values()] for line in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--loss", nargs="+", choices=LOSSES, default=list(LOSSES))
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, help="Parquet file of the labelled pairs")
    parser.add_argument("--queries", type=int, default=120, help="whose pairs are trained on once a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=0.5, help="of each training that is killed")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
