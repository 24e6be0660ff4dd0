"""Dense retrieval in memory with a sentence-transformers bi-encoder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sentence_transformers import SentenceTransformer

from flows.retrieval.retriever import OnProgress, RetrievalError, quiet
from flows.weights import WeightsError, resolve_weights
from flows.weights.precision import autocast

_AT_ONCE = 4_096
"""Documents that are embedded between two reports of progress."""


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
        self._rows: dict[str, int] = {}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over weights, modules, tokenizer and prompts: whatever else the vectors depend on.

        Neither a name nor a path would do: a folder can be trained again, a name on the hub moved.
        """
        digest = hashlib.sha256(repr(self._model).encode())
        digest.update(json.dumps([self._model.prompts, self._model.default_prompt_name], sort_keys=True).encode())
        digest.update(self._model.tokenizer.backend_tokenizer.to_str().encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def index(
        self, documents: Sequence[str], provenance: pa.Table | None = None, on_progress: OnProgress = quiet
    ) -> None:
        """Take `documents` as the corpus; RetrievalError when there are none."""
        if not documents:
            raise RetrievalError("The bi-encoder has nothing to index: there are no documents.")
        parts = []
        for first in range(0, len(documents), _AT_ONCE):
            parts.append(self.embed(documents[first : first + _AT_ONCE]))
            on_progress(min(first + _AT_ONCE, len(documents)), len(documents))
        self._corpus = np.concatenate(parts)
        self._rows = {document: row for row, document in enumerate(documents)}

    def search(self, queries: Sequence[str], top_k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return positions in the corpus and cosines, best first; each of shape (queries, min(top_k, documents))."""
        if self._corpus is None:
            raise RetrievalError("The bi-encoder was searched before it was given documents: call index() first.")
        top_k = min(top_k, len(self._corpus))
        cosines = self.embed(queries) @ self._corpus.T
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :top_k]
        return best, np.take_along_axis(cosines, best, axis=1)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of each pair, shape (n,).

        Each distinct text is embedded once, and documents of the corpus not again.
        """
        left, right = self._vectors(queries, {}), self._vectors(documents, self._rows)
        cosines: npt.NDArray[np.float32] = np.einsum("ij,ij->i", left, right)
        return cosines

    def close(self) -> None:
        """Drop the corpus."""
        self._corpus, self._rows = None, {}

    def _vectors(self, texts: Sequence[str], kept: Mapping[str, int]) -> npt.NDArray[np.float32]:
        """Return the vector of each text, of those in `kept` from that row of the corpus."""
        fresh = {text: row for row, text in enumerate(dict.fromkeys(text for text in texts if text not in kept))}
        embedded = self.embed(list(fresh))
        if self._corpus is None or not kept:
            return embedded[[fresh[text] for text in texts]]
        known = [self._corpus[kept[text]] if text in kept else embedded[fresh[text]] for text in texts]
        return np.array(known, np.float32).reshape(len(texts), self._corpus.shape[1])

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (texts, dimension)."""
        if not texts:
            return np.empty((0, self._model.get_embedding_dimension() or 0), np.float32)
        with autocast(wanted=True):
            vectors = self._model.encode(list(texts), batch_size=self._batch_size, show_progress_bar=False)
        unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float32)
