"""The model under its former interface."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bento.model.manifest import Manifest
from bento.model.model import Model


class Engine(Protocol):
    """Scores pairs of one model."""

    manifest: Manifest

    def score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Return the relevance in 0..1 of each (query, document), in order; shape (len(pairs),)."""
        ...


class OnnxEngine:
    """Scores with whichever engine was packaged. Safe to call from several threads."""

    def __init__(self, folder: Path, *, threads: int, batch_size: int = 16) -> None:
        """Open the model in `folder`."""
        self._model = Model.open(folder, threads)
        self.manifest = self._model.manifest

    def score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Return the relevance in 0..1 of each (query, document), in order; shape (len(pairs),)."""
        logits = self._model.engine.run(self._model.encode(pairs)).astype(np.float64)
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))
