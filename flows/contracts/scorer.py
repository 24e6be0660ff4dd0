"""The one thing all rankers have in common: they score pairs."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Scorer(Protocol):
    """Anything that scores query-document pairs: a retriever, a bi-encoder, a CrossEncoder, an exported model."""

    name: str
    """As shown in reports: "bm25", "bi-encoder", "champion v3", ..."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one score for each pair (queries[i], documents[i]), higher is more relevant; shape (n,)."""
        ...
