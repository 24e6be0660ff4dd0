"""What the embedded Qdrant costs by number of documents, on random unit vectors of 384 numbers.

Times are those of the processor, which other work on the machine does not change.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.retrieval.qdrant import QdrantBiEncoder
from flows.settings import RetrievalSettings

QUERIES = 64


class Random:
    """Gives each text a random unit vector, so that the index alone is measured."""

    name, fingerprint = "random", "0" * 16

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (texts, 384)."""
        vectors = np.random.default_rng(len(texts)).normal(size=(len(texts), 384)).astype(np.float32)
        unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of each pair."""
        cosines: npt.NDArray[np.float32] = np.einsum("ij,ij->i", self.embed(queries), self.embed(documents))
        return cosines


@dataclass(frozen=True)
class Cost:
    """Of one size."""

    documents: int
    index_seconds: float
    again_seconds: float
    """To open the folder and find that nothing is missing."""
    search_ms: float
    """A query, top 100."""
    disk_mb: float
    memory_mb: float
    """Peak of this process."""


def cost(documents: int) -> Cost:
    """Measure one size."""
    texts = [f"document {number}" for number in range(documents)]
    with tempfile.TemporaryDirectory() as name:
        retriever = QdrantBiEncoder(Random(), RetrievalSettings(), Path(name), "measured")
        seconds = _seconds(lambda: retriever.index(texts))
        retriever.close()
        again = _seconds(lambda: retriever.index(texts))
        search = _seconds(lambda: retriever.search(texts[:QUERIES], 100))
        retriever.close()
        disk = sum(path.stat().st_size for path in Path(name).rglob("*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(documents, seconds, again, 1000 * search / QUERIES, disk / 2**20, peak)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
