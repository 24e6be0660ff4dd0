"""A trained CrossEncoder as a scorer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class CrossEncoderScorer:
    """Scores pairs with the logit of a CrossEncoder; no sigmoid, which would make the surest scores equal."""

    def __init__(
        self,
        model: "Path | CrossEncoder",
        name: str = "challenger",
        *,
        max_length: int | None = None,
        batch_size: int = 64,
        bf16: bool = True,
    ) -> None:
        """Take a model, or open the one in a folder; UnreadableModelError when it cannot be read.

        Args:
            model: A CrossEncoder with one logit, or its folder.
            name: As shown in reports.
            max_length: Tokens of query and document together; default: as it was trained.
            batch_size: Pairs at once, of similar length.
            bf16: Compute in bfloat16 where the processor has it. Scores differ from float32 in the third digit.
        """
        self.name = name
        self._batch_size = batch_size
        self._bf16 = bf16
        if isinstance(model, Path):
            from flows.training.model import open_model

            model = open_model(model, max_length)
        self._model = model

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one logit for each pair (queries[i], documents[i]), shape (n,)."""
        import torch

        from flows.weights.precision import autocast

        if not queries:
            return np.empty(0, np.float32)
        with autocast(self._bf16):
            logits = self._model.predict(
                list(zip(queries, documents, strict=True)),
                batch_size=self._batch_size,
                activation_fn=torch.nn.Identity(),
                show_progress_bar=False,
            )
        scores: npt.NDArray[np.float32] = np.asarray(logits, dtype=np.float32)
        return scores
