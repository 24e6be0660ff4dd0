"""Dense retrieval in memory with a sentence-transformers bi-encoder."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from flows.retrieval.retriever import RetrievalError
from flows.weights import WeightsError, resolve_weights
from flows.weights.precision import autocast


class BiEncoder:
    """Cosine similarity of query and document embeddings, found by brute force.

    Embeddings are computed in bfloat16 where the processor has it: cosines are good to about 0.005.
    """

    name = "bi-encoder"

    def __init__(self, weights: str, batch_size: int = 64) -> None:
        """Load `weights` (a name, a path, or `carried:minilm`); RetrievalError when they cannot be read."""
        try:
            found = resolve_weights(weights)
            self._model = SentenceTransformer(found.address, local_files_only=found.local)
        except (WeightsError, OSError, ValueError) as error:
            raise RetrievalError(f"The bi-encoder {weights!r} cannot be loaded: {error}") from error
        self._batch_size = batch_size
        self._corpus: npt.NDArray[np.float32] | None = None

    def index(self, documents: Sequence[str]) -> None:
        """Take `documents` as the corpus; RetrievalError when there are none."""
        if not documents:
            raise RetrievalError("The bi-encoder has nothing to index: there are no documents.")
        self._corpus = self.embed(documents)

    def search(self, queries: Sequence[str], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return positions in the corpus and cosines, best first; each of shape (queries, min(top_k, documents))."""
        if self._corpus is None:
            raise RetrievalError("The bi-encoder was searched before it was given documents: call index() first.")
        top_k = min(top_k, len(self._corpus))
        cosines = self.embed(queries) @ self._corpus.T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :top_k]
        return best, np.take_along_axis(cosines, best, axis=1)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of each pair, shape (n,); each distinct text is embedded once."""
        rows = {text: row for row, text in enumerate(dict.fromkeys([*queries, *documents]))}
        vectors = self.embed(list(rows))
        left = vectors[[rows[query] for query in queries]]
        right = vectors[[rows[document] for document in documents]]
        cosines: npt.NDArray[np.float32] = np.einsum("ij,ij->i", left, right)
        return cosines

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (texts, dimension)."""
        if not texts:
            return np.empty((0, self._model.get_embedding_dimension() or 0), np.float32)
        with autocast(wanted=True):
            vectors = self._model.encode(list(texts), batch_size=self._batch_size, show_progress_bar=False)
        unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float32)
