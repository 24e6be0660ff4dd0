"""How often a relevant document is mined as a negative, with and without the margin, and what the index costs.

    python -m tests.benchmarks.mining --snapshots FOLDER [--retriever bm25] [--queries N] [--json FILE]
    python -m tests.benchmarks.mining --sizes 10000 100000

FOLDER holds snapshots as the lifecycle freezes them. Of each training query with two relevant documents or more one
label is hidden, and it is counted how often mining takes that document. Exit status 1 when the margin does not lower
that share.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from flows.contracts.snapshot import Snapshot
from flows.retrieval import open_retriever
from flows.settings import MiningSettings, RetrievalSettings
from tests.benchmarks.mining.hidden import Outcome, measure
from tests.benchmarks.mining.local_mode import Cost, cost

WAYS: list[dict[str, Any]] = [
    {"margin": None},
    *({"margin": margin, "against": against} for against in ("best", "mean", "worst") for margin in (0.0, 0.05, 0.2)),
]


def outcomes(folder: Path, kind: Any, queries: int, seed: int) -> Iterator[Outcome]:
    """Yield one outcome for each snapshot and way to mine."""
    with tempfile.TemporaryDirectory() as qdrant:
        for manifest in sorted(folder.glob("*/manifest.json")):
            snapshot = Snapshot(manifest.parent)
            train = snapshot.table("train")
            chosen = train["query_id"].unique().slice(0, queries)
            train = train.filter(pc.is_in(train["query_id"], chosen))
            retriever = open_retriever(RetrievalSettings(kind=kind), Path(qdrant), snapshot.digest[:8])
            name = next(iter(snapshot.manifest.sources)).partition("/")[0]
            for way in WAYS:
                yield measure(name, train, retriever, MiningSettings(random=0, **way), seed)
            retriever.close()


def show(found: list[Outcome], costs: list[Cost]) -> None:
    """Print both tables."""
    console = Console(width=130)
    if found:
        columns = ("data", "retriever", "margin", "against", "hidden", "mined of them", "%", "filled %", "similarity")
        table = Table(*columns, title="Relevant documents, their label hidden, that were mined as negatives")
        for each in found:
            margin = "none" if each.margin is None else f"{each.margin:.2f}"
            rates = (
                f"{100 * each.share:.1f}",
                f"{100 * each.mined / max(1, each.wanted):.0f}",
                f"{each.similarity:.3f}",
            )
            table.add_row(each.data, each.retriever, margin, each.against, f"{each.hidden}", f"{each.taken}", *rates)
        console.print(table)
    if costs:
        table = Table("documents", "index s", "again s", "search ms", "disk MB", "memory MB", title="Embedded Qdrant")
        for size in costs:
            values = (size.index_seconds, size.again_seconds, size.search_ms, size.disk_mb, size.memory_mb)
            table.add_row(f"{size.documents:,}", *(f"{value:,.1f}" for value in values))
        console.print(table)


def main() -> int:
    """Measure what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=Path)
    parser.add_argument("--retriever", choices=["bm25", "bi-encoder"], default="bi-encoder")
    parser.add_argument("--queries", type=int, default=10**9, help="of a snapshot, the first")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="of the embedded Qdrant")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = (
        list(outcomes(chosen.snapshots, chosen.retriever, chosen.queries, chosen.seed)) if chosen.snapshots else []
    )
    costs = [cost(size) for size in chosen.sizes]
    show(found, costs)
    if chosen.json:
        lines = {
            "hidden": [{**asdict(each), "share": each.share} for each in found],
            "costs": list(map(asdict, costs)),
        }
        chosen.json.write_text(json.dumps(lines, indent=2), "utf-8")
    by_margin = {
        data: {(e.margin, e.against): e.share for e in found if e.data == data} for data in {e.data for e in found}
    }
    worse = [data for data, shares in by_margin.items() if shares[0.05, "mean"] >= shares[None, ""] > 0]
    print(*(f"{data}: the margin does not help" for data in worse), sep="\n", end="")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
