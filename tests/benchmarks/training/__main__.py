"""Measure what training costs.

    python -m tests.benchmarks.training memory [--pairs N] [--steps N] [--loss LOSS ...] [--json FILE]

Prints a table, writes JSON, and ends with status 1 when a promise is not kept.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.training import memory

LOSSES = ("listwise", "cached-mnrl", "bce")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, report."""
    asked = _arguments(arguments)
    with tempfile.TemporaryDirectory(prefix="training-") as work:
        print(f"memory: freezing {asked.pairs:,} pairs", file=sys.stderr, flush=True)
        snapshot = memory.prepare(Path(work), asked.pairs)
        found = []
        for loss in asked.loss:
            print(f"memory: {loss}", file=sys.stderr, flush=True)
            found.append(memory.measure(snapshot, loss, asked.steps))
    kept = all(line["peak_gb"] < memory.LIMIT_GB for line in found)
    _show(found)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    document = {"part": "memory", "limit_gb": memory.LIMIT_GB, "kept": kept, "cores": os.cpu_count(), "lines": found}
    asked.json.write_text(json.dumps(document, indent=1))
    print(f"written to {asked.json}")
    return 0 if kept else 1


def _show(found: Sequence[dict[str, Any]]) -> None:
    print("loss         pairs      rows  steps  peak GB  of it libraries  first step after")
    for line in found:
        print(
            f"{line['loss']:11} {line['pairs']:>9,} {line['rows']:>9,} {line['steps']:>4} {line['peak_gb']:>8.2f} "
            f"{line['libraries_gb']:>13.2f} {line['first_step_s']:>15.0f} s"
        )
    print(f"limit: {memory.LIMIT_GB:g} GB resident")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training")
    parser.add_argument("part", choices=["memory"])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--loss", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/training-memory.json"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
