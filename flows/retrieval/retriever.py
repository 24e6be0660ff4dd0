"""The interface of every retriever, and the choice of one by settings."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flows.contracts.scorer import Scorer
from flows.settings import RetrievalSettings


class RetrievalError(Exception):
    """A retriever cannot do what was asked; the message says why and what to do."""


class Retriever(Scorer, Protocol):
    """Finds documents for queries, and scores given pairs as it would when finding them."""

    def index(self, documents: Sequence[str]) -> None:
        """Take `documents` as the whole corpus, in place of an earlier one. RetrievalError when there is nothing."""
        ...

    def search(self, queries: Sequence[str], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return positions in the corpus and scores, best first; each of shape (queries, min(top_k, documents))."""
        ...


def open_retriever(settings: RetrievalSettings) -> Retriever:
    """Return the retriever that the settings name, with an empty index."""
    if settings.kind == "bm25":
        from flows.retrieval.bm25 import Bm25

        return Bm25()
    from flows.retrieval.bi_encoder import BiEncoder

    return BiEncoder(settings.bi_encoder)
