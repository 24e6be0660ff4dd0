"""Measure the service against what it promises, beside Infinity and the bare engine.

    python -m tests.benchmarks.serving --model-folder MODEL --infinity ENVIRONMENT [--snapshots FOLDER] [--json FILE]

Prints one table, writes it as JSON, and ends with status 1 when a promise is not kept, 2 when an answer was wrong.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

from bento.configuration import ServiceSettings
from tests.benchmarks.serving import latency, overload, repeated, side_by_side, starting
from tests.benchmarks.serving.answers import Reference, WrongAnswers, infinity_int8, infinity_torch
from tests.benchmarks.serving.bare import bare_engine
from tests.benchmarks.serving.bench import Bench
from tests.benchmarks.serving.load import load_generator
from tests.benchmarks.serving.material import Material, prepare
from tests.benchmarks.serving.report import Line, document, fact, show
from tests.benchmarks.serving.systems import infinity, service
from tests.benchmarks.serving.texts import Texts

BUSY_SECONDS = 2.0
"""For how long the machine is watched before anything starts: figures of a busy one mean little."""
BESIDE_INFINITY = {"documents", "pairs"}
PARTS = ("documents", "pairs", "latency", "repeated", "overload", "starting")


def main() -> int:
    """Prepare, measure, report."""
    asked = _arguments()
    lines: list[Line] = []
    wrong: str | None = None
    with tempfile.TemporaryDirectory(prefix="serving-") as work:
        lines.append(fact("machine", "busy before", [psutil.cpu_percent(BUSY_SECONDS)], "%"))
        material = prepare(asked.model_folder, asked.snapshots, asked.keep or Path(work), Path(work))
        try:
            for line in measure(asked, material, Path(work)):
                lines.append(line)
                print(f"{line.part}: {line.what}: {line.value:.4g} {line.unit}", file=sys.stderr)
        except WrongAnswers as failure:
            wrong = str(failure)
    show(lines)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items()}
    report = document(lines, settings) | {"wrong": wrong, "model": material.manifest.model_dump(mode="json")}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(report, indent=1))
    print(f"written to {asked.json}")
    if wrong:
        print(f"WRONG ANSWERS, so nothing after them was measured: {wrong}", file=sys.stderr)
        return 2
    return int(any(line.held is False for line in lines))


def measure(asked: argparse.Namespace, material: Material, work: Path) -> Iterator[Line]:
    """Run the parts that are asked for."""
    options = {name: value for name, value in os.environ.items() if name.startswith("RERANKER_SERVICE_")}
    with ExitStack() as running:
        load = running.enter_context(load_generator())
        bare = running.enter_context(bare_engine(material.served))
        own = running.enter_context(service(material.bento, work, options))
        yield fact("memory", "largest process when ready", [max(own.resident().values()) / 1e6], "MB")
        texts = Texts(material.tokenizer, asked.seed)
        references = {own.name: Reference(bare.scores)}
        bench = Bench(load, texts, bare, {own.name: own}, references, asked.seconds, asked.rounds)
        if BESIDE_INFINITY & set(asked.parts):
            yield from _beside_infinity(asked, material, work, bench)
        if "latency" in asked.parts:
            yield from latency.single_client(bench)
        if "repeated" in asked.parts:
            yield from repeated.zipf(bench, asked.pairs)
        if "overload" in asked.parts:
            yield from overload.four_times(bench, asked.overload_seconds)
        yield from starting.memory(own)
    if "starting" in asked.parts:
        yield from starting.starts(material.bento, work, asked.starts, options)


def _beside_infinity(asked: argparse.Namespace, material: Material, work: Path, bench: Bench) -> Iterator[Line]:
    with ExitStack() as running:
        others = [infinity(asked.infinity, "infinity int8", material.infinity, "optimum", work)]
        bench.references["infinity int8"] = infinity_int8(material.int8, material.tokenizer)
        if "documents" in asked.parts:
            others.append(infinity(asked.infinity, "infinity torch", material.trained, "torch", work))
            bench.references["infinity torch"] = infinity_torch(material.fp32, material.tokenizer)
        for other in others:
            system = running.enter_context(other)
            bench.systems[system.name] = system
        if "documents" in asked.parts:
            yield from side_by_side.documents(bench)
        if "pairs" in asked.parts:
            yield from side_by_side.single_pairs(bench)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-folder", type=Path, required=True, help="a trained CrossEncoder with reranker.json")
    parser.add_argument("--snapshots", type=Path, help="folder of snapshots: packaging compares scores on the newest")
    parser.add_argument("--infinity", type=Path, help="virtual environment of Infinity; see README.md")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each system in each round")
    parser.add_argument("--overload-seconds", type=float, default=60.0)
    parser.add_argument("--pairs", type=int, default=20_000, help="distinct pairs of the repeated traffic")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the export, so that another run need not make it again")
    parser.add_argument("--json", type=Path, default=Path("build/serving.json"))
    asked = parser.parse_args()
    if BESIDE_INFINITY & set(asked.parts) and asked.infinity is None:
        parser.error(f"the parts {sorted(BESIDE_INFINITY)} need --infinity")
    ServiceSettings()  # says now what is wrong with RERANKER_SERVICE_* in the environment
    return asked


if __name__ == "__main__":
    sys.exit(main())
