"""The contenders on one snapshot: what each ranks, and what its training cost."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from flows.contracts.scorer import Scorer
from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.settings import RetrievalSettings, TrainingSettings
from flows.training import CrossEncoderScorer, Progress, train
from tests.benchmarks.quality.plain import train_plain

PLAIN = "plain"


class Run(NamedTuple):
    """One ranker on one test split."""

    data: str
    ranker: str
    seed: int | None
    """None where nothing is random."""
    per_query: pd.DataFrame
    seconds: float | None = None
    """Of training."""
    pairs_per_second: float | None = None

    def save(self, folder: Path) -> None:
        """Keep the per-query metrics as `<data>-<ranker>-<seed>.parquet`, for the benchmark of the gate."""
        self.per_query.to_parquet(folder / f"{self.data}-{self.ranker}-{self.seed or 0}.parquet")


def retrievers(data: str, snapshot: Snapshot, bi_encoder: str) -> Iterator[Run]:
    """Yield BM25's and the bi-encoder's order of the test lists."""
    from flows.retrieval.bi_encoder import BiEncoder
    from flows.retrieval.bm25 import Bm25

    bm25 = Bm25()
    bm25.index(snapshot.table()["document"].unique().to_pylist())
    for retriever in (bm25, BiEncoder(bi_encoder)):
        yield Run(data, retriever.name, None, _judge(snapshot, retriever))


def plain(data: str, snapshot: Snapshot, start: str, seed: int, work: Path, max_steps: int) -> Run:
    """Train as one would without this project, and judge."""
    made = train_plain(snapshot, start, seed, work / f"{data}-{PLAIN}-{seed}", max_steps=max_steps)
    per_query = _judge(snapshot, CrossEncoderScorer(made.folder))
    return Run(data, PLAIN, seed, per_query, made.seconds, made.pairs_per_second)


def recipe(
    data: str, ranker: str, snapshot: Snapshot, start: str, settings: TrainingSettings, work: Path, seconds: float
) -> Run:
    """Train by the project's recipe for `seconds` at most, and judge."""
    bounded = settings.model_copy(update={"max_minutes": min(settings.max_minutes, seconds / 60)})
    made = train(snapshot, bounded, start, work / f"{data}-{ranker}-{settings.seed}", _Told(f"{data} {ranker}"))
    per_query = _judge(snapshot, CrossEncoderScorer(made.folder))
    return Run(data, ranker, settings.seed, per_query, made.seconds, made.pairs_per_second)


def default_bi_encoder() -> str:
    """Return the weights that every contender starts from."""
    return RetrievalSettings().bi_encoder


def _judge(snapshot: Snapshot, scorer: Scorer) -> pd.DataFrame:
    return evaluate(snapshot.table("test"), scorer).per_query


class _Told:
    """Prints a line at each validation."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, progress: Progress) -> None:
        if progress.validation is not None:
            print(f"{self._name}: {progress.line()}", file=sys.stderr, flush=True)
