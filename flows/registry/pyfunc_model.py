"""The model as MLflow loads it. MLflow keeps this file and runs it (models from code); nothing is pickled.

It stands alone, imports nothing of the project, and runs wherever the version's requirements are installed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Reranker(PythonModel):
    """A CrossEncoder that gives each query-document pair a relevance between 0 and 1."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load weights and tokenizer; asks no model hub."""
        import torch
        from sentence_transformers import CrossEncoder

        folder = Path(context.artifacts["cross_encoder"])
        about = json.loads((folder / "reranker.json").read_text("utf-8"))
        self._activation = torch.nn.Sigmoid()
        self._model = CrossEncoder(str(folder), max_length=about["max_length"], local_files_only=True)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return one score for each row of `model_input` (columns query and document), shape (n,)."""
        pairs = list(zip(model_input["query"], model_input["document"], strict=True))
        if not pairs:
            return np.empty(0, dtype=np.float32)
        scores = self._model.predict(pairs, activation_fn=self._activation, show_progress_bar=False)
        return np.asarray(scores, dtype=np.float32)


set_model(Reranker())
