"""The interface of every retriever, and the choice of one by settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flows.contracts.failure import Healable
from flows.contracts.scorer import Scorer
from flows.settings import RetrievalSettings

OnProgress = Callable[[int, int], None]
"""Told how many documents are done, and of how many."""


class RetrievalError(Exception):
    """A retriever cannot do what was asked; the message says why and what to do."""


class IndexUnavailableError(Healable, RetrievalError):
    """The index is out of reach, busy, or was changed by another run: a later attempt can succeed."""


def quiet(_done: int, _of: int) -> None:
    """Report progress to nobody."""


class Retriever(Scorer, Protocol):
    """Finds documents for queries, and scores given pairs as it would when finding them."""

    def index(
        self, documents: Sequence[str], provenance: pa.Table | None = None, on_progress: OnProgress = quiet
    ) -> None:
        """Take `documents` as the whole corpus, in place of an earlier one.

        Args:
            documents: The texts; of two with the same `text_id` an index that is kept holds the first alone.
            provenance: A row (PROVENANCE_SCHEMA) for each; retrievers in memory do without.
            on_progress: Called after each batch.

        Raises:
            RetrievalError: there is nothing to index, or the index refuses.
            IndexUnavailableError: the index is out of reach. What was indexed so far is kept where it lies on disk.
        """
        ...

    def search(self, queries: Sequence[str], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return positions in the corpus and scores, best first; each of shape (queries, min(top_k, documents))."""
        ...

    def close(self) -> None:
        """Let go of the index: its memory, connections and locks. What is kept on disk stays."""
        ...


def open_retriever(settings: RetrievalSettings, folder: Path | None = None, corpus: str = "documents") -> Retriever:
    """Return the retriever that the settings name; nothing is connected or locked before it is used.

    Args:
        settings: Which retriever, and where the bi-encoder's vectors lie.
        folder: Of the embedded Qdrant. Without it, and without a server, vectors stay in memory.
        corpus: What is indexed, in a word: two corpora of one model are two collections. Runs that index different
            documents at the same time need different ones.
    """
    if settings.kind == "bm25":
        from flows.retrieval.bm25 import Bm25

        return Bm25()
    from flows.retrieval.bi_encoder import BiEncoder

    encoder = BiEncoder(settings.bi_encoder)
    if settings.index == "memory" or (folder is None and settings.qdrant_url is None):
        return encoder
    from flows.retrieval.qdrant import QdrantBiEncoder

    return QdrantBiEncoder(encoder, settings, folder, corpus)
