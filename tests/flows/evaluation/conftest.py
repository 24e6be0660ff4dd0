from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

from flows.contracts.pair import text_id
from flows.contracts.snapshot import SNAPSHOT_SCHEMA


@pytest.fixture(scope="session")
def lists() -> Callable[..., pd.DataFrame]:
    """Make scored lists: lists(q1=[(relevance, score), (relevance, score, grade), ...])."""

    def make(**queries: list[tuple[float | None, ...]]) -> pd.DataFrame:
        rows = [
            (query, f"d{position}", candidate[0], candidate[1], candidate[2] if len(candidate) > 2 else None)
            for query, candidates in queries.items()
            for position, candidate in enumerate(candidates)
        ]
        frame = pd.DataFrame(rows, columns=["query_id", "document_id", "relevance", "score", "grade"])
        return frame.astype({"relevance": "int8", "score": "float32", "grade": "Int8"})

    return make


class Seeing:
    """Scores by the labels, blurred: the less noise, the better."""

    def __init__(self, name: str, table: pa.Table, noise: float, seed: int) -> None:
        self.name = name
        scores = table["relevance"].to_numpy() + np.random.default_rng(seed).normal(0, noise, table.num_rows)
        texts = zip(table["query"].to_pylist(), table["document"].to_pylist(), strict=True)
        self._score = dict(zip(texts, scores, strict=True))

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([self._score[pair] for pair in zip(queries, documents, strict=True)], dtype=np.float32)


@pytest.fixture(scope="session")
def seeing() -> type[Seeing]:
    return Seeing


@pytest.fixture(scope="session")
def make_split() -> Callable[..., pa.Table]:
    """Make a test split: make_split(60, candidates=6), the first candidate relevant and in every third query two."""

    def make(
        queries: int,
        candidates: int = 6,
        sources: Sequence[str] = ("docs", "forum"),
        first: datetime = datetime(2024, 1, 1, tzinfo=UTC),
        apart: timedelta = timedelta(days=1),
        text: Callable[[int, int], str] = lambda q, d: f"document {d} on {q} {'x' * (q * 7 % 50)}",
        relevant: Callable[[int, int], int] = lambda q, d: int(d == 0 or (d == 1 and q % 3 == 0)),
    ) -> pa.Table:
        rows = [
            {
                "query_id": text_id(f"query {q}"),
                "document_id": text_id(f"{q} {d}"),
                "query": f"query {q} {'?' * (q * 13 % 40)}",
                "document": text(q, d),
                "relevance": relevant(q, d),
                "source": sources[q % len(sources)],
                "created_at": first + q * apart,
                "grade": 3 * relevant(q, d) if q % 2 else None,
                "subject_id": None,
                "split": "test",
            }
            for q in range(queries)
            for d in range(candidates)
        ]
        return pa.Table.from_pylist(rows, schema=SNAPSHOT_SCHEMA)

    return make
