"""A recipe of which a seed takes seconds: a small network over a frozen bi-encoder's embeddings."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch

from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.retrieval import open_retriever
from flows.settings import RetrievalSettings

HIDDEN, EPOCHS, QUERIES_A_STEP, RATE = 64, 12, 16, 1e-3


class Embedded:
    """The pairs of a snapshot as numbers, each distinct text embedded once."""

    def __init__(self, data: Snapshot) -> None:
        self.data = data
        texts = pd.unique(np.concatenate([data.table()[side].to_pandas() for side in ("query", "document")]))
        retriever = open_retriever(RetrievalSettings(kind="bi-encoder"))
        self._vectors = dict(zip(texts, retriever.embed(list(texts)), strict=True))

    def features(self, queries: Sequence[str], documents: Sequence[str]) -> torch.Tensor:
        """Return products and distances of the two embeddings, shape (pairs, 2 x dimension)."""
        left, right = (torch.tensor(np.stack([self._vectors[t] for t in texts])) for texts in (queries, documents))
        return torch.cat([left * right, (left - right).abs()], dim=1)


class Head:
    """Learns which candidate of a list is relevant; a `flows.contracts.scorer.Scorer`."""

    name = "head"

    def __init__(self, embedded: Embedded, seed: int) -> None:
        """Train on the snapshot's training split: softmax over each query's candidates."""
        torch.manual_seed(seed)
        self._embedded = embedded
        table = embedded.data.table("train")
        x = embedded.features(table["query"].to_pylist(), table["document"].to_pylist())
        self._network = torch.nn.Sequential(
            torch.nn.BatchNorm1d(x.shape[1]),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(x.shape[1], HIDDEN),
            torch.nn.GELU(),
            torch.nn.Linear(HIDDEN, 1),
        )
        self._fit(x, torch.tensor(table["relevance"].to_numpy(), dtype=torch.float32), _lists(table))

    def _fit(self, x: torch.Tensor, relevant: torch.Tensor, lists: list[torch.Tensor]) -> None:
        optimizer = torch.optim.AdamW(self._network.parameters(), lr=RATE, weight_decay=0.1)
        for _ in range(EPOCHS):
            order = torch.randperm(len(lists)).tolist()
            for start in range(0, len(order), QUERIES_A_STEP):
                losses = []
                for rows in (lists[i] for i in order[start : start + QUERIES_A_STEP]):
                    logits = self._network(x[rows]).squeeze(1)
                    target = relevant[rows] / relevant[rows].sum()
                    losses.append(-(target * logits.log_softmax(0)).sum())
                optimizer.zero_grad()
                torch.stack(losses).mean().backward()
                optimizer.step()
        self._network.eval()

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one logit for each pair."""
        with torch.no_grad():
            logits = self._network(self._embedded.features(queries, documents)).squeeze(1)
        return np.asarray(logits.numpy(), dtype=np.float32)


def per_query(embedded: Embedded, seed: int) -> pd.DataFrame:
    """Train a head and return its metrics on the test split."""
    return evaluate(embedded.data.table("test"), Head(embedded, seed)).per_query


def _lists(table: pa.Table) -> list[torch.Tensor]:
    """Return the rows of each query that has a relevant candidate."""
    frame = table.select(["query_id", "relevance"]).to_pandas()
    groups = frame.groupby("query_id")
    return [torch.tensor(rows) for name, rows in groups.indices.items() if groups.get_group(name)["relevance"].any()]
