"""Measure what the project's recipe is worth beside BM25, the bi-encoder and a plain training, on two labelled sets.

    python -m tests.benchmarks.quality --semeval FILE --wikiqa FILE [--seeds 1 2] [--json FILE]

Every contender starts from the same weights and learns from the same training split. The recipe gets no more time
than the plain run of the same seed took. Prints tables, writes JSON, and ends with status 1 when a promise is not
kept.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from flows.contracts.snapshot import Snapshot
from flows.settings import TrainingSettings
from tests.benchmarks.quality import data, report
from tests.benchmarks.quality.plain import MAX_LENGTH
from tests.benchmarks.quality.trained import Run, plain, recipe, retrievers

SETS = {"wikiqa": data.wikiqa, "semeval": data.semeval}
START = "carried:minilm"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, judge, report."""
    asked = _arguments(arguments)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="quality-") as temporary:
        work = asked.keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name, make in SETS.items():
            file: Path | None = getattr(asked, name)
            if file is None:
                print(f"SKIPPED: {name}, for no --{name} FILE was given", file=sys.stderr)
                continue
            for run in _contenders(name, make(file, work), asked, work):
                run.save(work)
                runs.append(run)
                _tell(run)
    if not runs:
        print("Nothing was measured: give --semeval FILE or --wikiqa FILE.", file=sys.stderr)
        return 2
    found = report.differences(runs)
    held = report.promises(runs, found)
    report.show(runs, found, held)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(report.document(runs, found, held), indent=1))
    print(f"written to {asked.json}")
    return int(not all(held.values()))


def _contenders(name: str, snapshot: Snapshot, asked: argparse.Namespace, work: Path) -> Iterator[Run]:
    yield from retrievers(name, snapshot, START)
    for seed in asked.seeds:
        beside = plain(name, snapshot, START, seed, work, asked.max_steps)
        yield beside
        assert beside.seconds is not None
        for ranker, changes in {report.RECIPE: {}, **asked.also}.items():
            settings = TrainingSettings.model_validate({"max_length": MAX_LENGTH, **changes, "seed": seed})
            yield recipe(name, ranker, snapshot, START, settings, work, beside.seconds)


def _tell(run: Run) -> None:
    value = run.per_query[report.METRIC].mean()
    took = "" if run.seconds is None else f", {run.seconds:.0f} s, {run.pairs_per_second:.0f} pairs/s"
    print(f"{run.data} {run.ranker} seed {run.seed}: NDCG@10 {value:.4f}{took}", file=sys.stderr, flush=True)


def _named(text: str) -> tuple[str, dict[str, object]]:
    name, _, changes = text.partition("=")
    return name, json.loads(changes)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quality", description=__doc__)
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, help="Parquet file of the labelled pairs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--also",
        type=_named,
        nargs="*",
        default=[],
        metavar="NAME=JSON",
        help="more recipes: changed training settings",
    )
    parser.add_argument("--max-steps", type=int, default=-1, help="of the plain run; for trying the benchmark out")
    parser.add_argument("--keep", type=Path, help="folder for models and per-query metrics")
    parser.add_argument("--json", type=Path, default=Path("build/quality.json"))
    asked = parser.parse_args(arguments)
    asked.also = dict(asked.also)
    return asked


if __name__ == "__main__":
    sys.exit(main())
