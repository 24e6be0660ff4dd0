"""Relevant documents whose label mining is not told of, and how many of them it takes for negatives."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.mining import mine
from flows.retrieval import Retriever
from flows.settings import MiningSettings


@dataclass(frozen=True)
class Outcome:
    """Of one data set and one way to mine."""

    data: str
    retriever: str
    margin: float | None
    against: str
    hidden: int
    """Relevant documents, one of a query, whose label was taken away."""
    taken: int
    """How many of them were mined."""
    mined: int
    """Mined documents for each relevant one, of those wanted."""
    wanted: int
    similarity: float
    """Mean of the mined ones: how hard they are."""

    @property
    def share(self) -> float:
        """Of the hidden documents that were mined."""
        return self.taken / max(1, self.hidden)


def hide(train: pa.Table, seed: int) -> tuple[pa.Table, set[tuple[str, str]]]:
    """Take away one label of each query that has two relevant documents or more.

    The pair goes; its document stays in the corpus as a labelled negative of a query of its own, as a document that
    other people's questions brought in would. Returns the pairs and the hidden (query_id, document_id).
    """
    random = np.random.default_rng(seed)
    relevant: dict[str, list[int]] = {}
    for row, (query, relevance) in enumerate(
        zip(*(train[n].to_pylist() for n in ("query_id", "relevance")), strict=True)
    ):
        if relevance:
            relevant.setdefault(query, []).append(row)
    chosen = [rows[random.integers(len(rows))] for rows in relevant.values() if len(rows) > 1]
    kept = np.ones(train.num_rows, bool)
    kept[chosen] = False
    hidden = train.take(chosen)
    names = set(zip(hidden["query_id"].to_pylist(), hidden["document_id"].to_pylist(), strict=True))
    bringer = {"query_id": "~", "query": "~", "relevance": 0}
    brought = hidden.to_pylist()
    return pa.concat_tables(
        [train.filter(pa.array(kept)), pa.Table.from_pylist([{**row, **bringer} for row in brought], train.schema)]
    ), names


def measure(data: str, train: pa.Table, retriever: Retriever, settings: MiningSettings, seed: int) -> Outcome:
    """Mine with one label of each query hidden."""
    pairs, hidden = hide(train, seed)
    found = mine(pairs, retriever, settings)
    mined = found.filter(pc.equal(found["kind"], "mined"))
    taken = hidden & set(zip(mined["query_id"].to_pylist(), mined["document_id"].to_pylist(), strict=True))
    return Outcome(
        data=data,
        retriever=retriever.name,
        margin=settings.margin,
        against=settings.against if settings.margin is not None else "",
        hidden=len(hidden),
        taken=len(taken),
        mined=mined.num_rows,
        wanted=settings.mined * int(np.sum(pairs["relevance"].to_numpy())),
        similarity=pc.mean(mined["similarity"]).as_py() or float("nan"),
    )
