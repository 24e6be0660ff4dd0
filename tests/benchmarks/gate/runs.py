"""Per-query metrics of real rankers: read from files, or made by training a few seeds.

A file is named `<data set>-<recipe>-<seed>.parquet` and holds what `per_query_metrics` returns. Runs of one data set
that differ by seed alone are equal in truth; a ranker without seeds, such as BM25, has seed 0.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.snapshot import Snapshot, Split
from flows.evaluation import evaluate
from flows.retrieval import open_retriever
from flows.settings import RetrievalSettings, TrainingSettings
from tests.benchmarks.gate.heads import Embedded, per_query

TRAINED = "brief"
HEADS = 8
"""Seeds of the recipe that takes seconds."""
_TRAIN, _VALIDATION = 0.35, 0.05


class Runs(NamedTuple):
    """What one data set offers."""

    dataset: str
    seeds: tuple[pd.DataFrame, ...]
    """Per-query metrics of one recipe, a seed each, the same queries in the same order."""
    weaker: pd.DataFrame
    """The same of a ranker that is truly worse, to make a difference of known size with."""


def read(folder: Path) -> list[Runs]:
    """Return every recipe that has two seeds or more, each with the weakest other ranker of its data set."""
    found: dict[str, dict[str, list[pd.DataFrame]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*-*-*.parquet")):
        dataset, recipe = path.stem.split("-", 1)
        found[dataset][recipe.rsplit("-", 1)[0]].append(pd.read_parquet(path).sort_index())
    runs = []
    for dataset, recipes in found.items():
        for recipe, frames in recipes.items():
            others = [other[0] for name, other in recipes.items() if name != recipe]
            if len(frames) > 1 and others:
                weaker = min(others, key=lambda frame: frame["ndcg@10"].mean())
                aligned = [frame.loc[weaker.index, weaker.columns] for frame in frames]
                runs.append(Runs(f"{dataset} {recipe}", tuple(aligned), weaker))
    return runs


class LargeTest(Snapshot):
    """A snapshot dealt anew, most of it to the test split: rates need many queries, more than a good model."""

    def table(self, split: Split | None = None) -> pa.Table:
        """Return the pairs of one split, dealt by a hash of the query's id."""
        pairs = super().table()
        if split is None:
            return pairs
        queries = pairs["query_id"].unique().to_pandas()
        place = pd.util.hash_pandas_object(queries, index=False).rank(pct=True)
        sides = {"train": place <= _TRAIN, "test": place > _TRAIN + _VALIDATION}
        chosen = sides.get(split, ~(sides["train"] | sides["test"]))
        return pairs.filter(pc.is_in(pairs["query_id"], pa.array(queries[chosen])))


def make(snapshots: Mapping[str, Snapshot], seeds: Sequence[int], minutes: float, folder: Path) -> None:
    """Train each seed on each data set for so many minutes, and write the metrics of all rankers to `folder`.

    What is there already is not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for dataset, snapshot in snapshots.items():
        data = LargeTest(snapshot.folder)
        _write(folder / f"{dataset}-bm25-0.parquet", partial(_bm25, data))
        heads = [folder / f"{dataset}-head-{seed}.parquet" for seed in range(1, HEADS + 1)]
        if not all(path.is_file() for path in heads):
            embedded = Embedded(data)
            for seed, path in enumerate(heads, 1):
                _write(path, partial(per_query, embedded, seed))
        for seed in seeds:
            _write(folder / f"{dataset}-{TRAINED}-{seed}.parquet", partial(_train, data, seed, minutes))


def _write(path: Path, made: Callable[[], pd.DataFrame]) -> None:
    if not path.is_file():
        start = time.monotonic()
        frame = made()
        frame.to_parquet(path)
        seconds = time.monotonic() - start
        print(f"{path.name}: NDCG@10 {frame['ndcg@10'].mean():.4f}, {seconds:.0f} s", file=sys.stderr, flush=True)


def _bm25(data: Snapshot) -> pd.DataFrame:
    retriever = open_retriever(RetrievalSettings(kind="bm25"))
    retriever.index(data.table()["document"].unique().to_pylist())
    return evaluate(data.table("test"), retriever).per_query


def _train(data: Snapshot, seed: int, minutes: float) -> pd.DataFrame:
    from flows.training import CrossEncoderScorer, train

    settings = TrainingSettings(seed=seed, max_minutes=minutes, max_length=96, validations=1)
    with tempfile.TemporaryDirectory() as work:
        trained = train(data, settings, settings.base_model, Path(work) / "model")
        return evaluate(data.table("test"), CrossEncoderScorer(trained.folder)).per_query
