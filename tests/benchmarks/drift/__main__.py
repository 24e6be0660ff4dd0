"""Measure how often the drift watch is wrong and how much it finds, beside fixed thresholds and Evidently's defaults.

    python -m tests.benchmarks.drift --semeval FILE [--parts PART ...] [--json FILE] [--plot FILE]

Prints tables, writes JSON and a plot, and ends with status 1 when a promise is not kept.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.drift import history, order, plot, report, scale, windows, year
from tests.benchmarks.drift.changes import CHANGES, QUIET
from tests.benchmarks.drift.embeddings import embed
from tests.benchmarks.drift.history import History
from tests.benchmarks.drift.report import Line
from tests.benchmarks.drift.workers import Workers, workers

PARTS = ("quiet", "drift", "baselines", "order", "year", "scale")
HISTORIES = ("semeval", "demo")
SECONDS, GIGABYTES, PROCESSORS = 60, 2, 2
BUSY_SECONDS = 1.0
QUICK = {
    "sizes": (500,),
    "walked": (500,),
    "deals": 2,
    "drift_deals": 1,
    "windows": 1,
    "evidently_deals": 1,
    "shuffles": 1,
    "years": 1,
    "weeks": 6,
    "scale_rows": 20_000,
    "histories": ("semeval",),
}
"""What `--quick` makes of the options: every part runs, and no figure means anything."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, measure, report."""
    asked = _arguments(arguments)
    lines = [Line("machine", "busy before", psutil.cpu_percent(BUSY_SECONDS), "%")]
    with tempfile.TemporaryDirectory(prefix="drift-") as work:
        found, cells, more = measure(asked, Path(work), asked.keep or Path(work))
    lines += found
    report.show(lines, cells)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items()}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(report.document(lines, cells, settings, more), indent=1))
    print(f"written to {asked.json}")
    if cells:
        plot.draw(cells, asked.plot)
        print(f"drawn to {asked.plot}")
    return int(any(line.held is False for line in lines))


def measure(
    asked: argparse.Namespace, work: Path, keep: Path
) -> tuple[list[Line], list[windows.Cell], dict[str, Any]]:
    """Run the parts that are asked for; return lines, the curve, and what else belongs into the JSON file."""
    lines: list[Line] = []
    cells: list[windows.Cell] = []
    more: dict[str, Any] = {}
    parts = set(asked.parts)
    if "scale" in parts:  # first: the workers' memory is not there yet
        took = scale.measure(work, asked.scale_rows, PROCESSORS)
        lines += _scale(took, asked.scale_rows)
        more["scale"] = took
    if parts == {"scale"}:
        return lines, cells, more
    keep.mkdir(parents=True, exist_ok=True)
    histories = _histories(asked, keep)
    if asked.embeddings:
        embed(list(histories.values()), keep)
    with workers(asked.jobs, keep, with_embeddings=asked.embeddings) as pool:
        if parts & {"quiet", "drift", "baselines"}:
            cells = _windows(asked, histories, pool)
            lines += report.promises(cells)
        if "order" in parts and "semeval" in histories:
            walk = pool.spread(
                order.step,
                order.tasks(
                    "semeval", histories["semeval"], asked.walked, report.PROMISED_SETTING, asked.shuffles, asked.seed
                ),
                "order",
            )
            lines += order.lines(walk)
            more["order"] = [step._asdict() for step in walk]
        if "year" in parts:
            tasks = year.tasks(histories, asked.sizes, tuple(asked.settings), asked.years, asked.weeks, asked.seed)
            years = pool.spread(year.live, tasks, "year")
            lines += year.lines(years)
            more["years"] = [each._asdict() for each in years]
    return lines, cells, more


def _histories(asked: argparse.Namespace, keep: Path) -> dict[str, History]:
    made = {"semeval": lambda: history.semeval(asked.semeval), "demo": history.demo}
    found = {}
    for name in asked.histories:
        path = keep / f"{name}.parquet"
        if name == "semeval" or not path.is_file():
            print(f"{name}: reading", file=sys.stderr, flush=True)
            made[name]().save(path)
        found[name] = History.read(path)
    return found


def _windows(asked: argparse.Namespace, histories: dict[str, History], pool: Workers) -> list[windows.Cell]:
    parts = set(asked.parts)
    beside = "baselines" in parts

    def methods(part: str, number: int) -> tuple[str, ...]:
        found = ["watch"] * (part in parts) + ["fixed"] * beside
        return (*found, *["evidently"] * (beside and number < asked.evidently_deals))

    findings: list[windows.Finding] = []
    for part, changes, deals in (("quiet", (QUIET,), asked.deals), ("drift", tuple(CHANGES), asked.drift_deals)):
        if part in parts or beside:
            tasks = [
                windows.Task(
                    name,
                    tuple(asked.sizes),
                    changes,
                    asked.windows,
                    number,
                    asked.seed,
                    asked.reference_queries,
                    tuple(asked.settings),
                    methods(part, number),
                )
                for name in histories
                for number in range(deals)
            ]
            findings += pool.spread(windows.examine, tasks, part)
    return windows.cells(findings)


def _scale(took: dict[str, Any], rows: int) -> list[Line]:
    compared = f"compared {took['reference_compared']:,} with {took['window_compared']:,} rows"
    what = f"{rows:,} rows against {rows:,}"
    total, peak = took["total_s"], took["peak_gb"]
    return [
        Line("scale", f"load, {what}", took["load_s"], "s"),
        Line("scale", f"fit the profile, {what}", took["fit_s"], "s", beside=f"peak {took['fit_peak_gb']:.2f} GB"),
        Line("scale", f"judge, {what}", took["judge_s"], "s", beside=compared),
        Line("scale", "all of it", total, "s", None, None, f"<= {SECONDS}", total <= SECONDS),
        Line("scale", "peak RSS", peak, "GB", None, None, f"<= {GIGABYTES}", peak <= GIGABYTES),
    ]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--semeval", type=Path, help="Parquet of PAIR_SCHEMA's columns and query_id; see README.md")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--histories", nargs="+", choices=HISTORIES, default=HISTORIES)
    parser.add_argument("--sizes", nargs="+", type=int, default=windows.ROWS, help="rows of a window")
    parser.add_argument("--settings", nargs="+", type=float, default=(0.01, 0.05), help="false alarm rates")
    parser.add_argument("--deals", type=int, default=30, help="of quiet windows")
    parser.add_argument("--windows", type=int, default=4, help="of each size in a deal, where there is room")
    parser.add_argument("--drift-deals", type=int, default=20, help="of changed windows")
    parser.add_argument("--evidently-deals", type=int, default=5, help="of each kind, that Evidently looks at")
    parser.add_argument("--reference-queries", type=int, default=1000, help="at most")
    parser.add_argument("--walked", nargs="+", type=int, default=(500,), help="rows of a window of the real order")
    parser.add_argument("--shuffles", type=int, default=4, help="random orders beside the real one")
    parser.add_argument("--years", type=int, default=30)
    parser.add_argument("--weeks", type=int, default=52, help="of a year")
    parser.add_argument("--scale-rows", type=int, default=1_000_000, help="of each side")
    parser.add_argument("--embeddings", action="store_true", help="give the watch sentence embeddings of all texts")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for embeddings and the demo's pairs, for another run")
    parser.add_argument("--json", type=Path, default=Path("build/drift.json"))
    parser.add_argument("--plot", type=Path, default=Path("build/drift.png"), help=".png or .svg")
    parser.add_argument("--quick", action="store_true", help="a smoke run: every part, and no figure means anything")
    asked = parser.parse_args(arguments)
    if asked.quick:
        parser.set_defaults(**QUICK)
        asked = parser.parse_args(arguments)
    if asked.semeval is None and "semeval" in asked.histories and set(asked.parts) != {"scale"}:
        parser.error("name SemEval's file with --semeval, or leave it out with --histories demo")
    return asked


if __name__ == "__main__":
    sys.exit(main())
