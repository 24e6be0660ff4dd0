"""Files beside a version: per-query scores, the gate's decision, reports, the model card."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "evaluation"
"""Of a run's artifacts."""

Evidence = Mapping[str, pd.DataFrame | str | Path]
"""Files that belong to a version, by name, such as `report/metrics.json`: a frame becomes Parquet, a text and a file
are kept as they are."""


def log_evidence(client: "MlflowClient", run_id: str, evidence: Evidence) -> None:
    """Keep the files below `evaluation/` of the run; the newest wins."""
    if not evidence:
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in evidence.items():
            path = Path(temporary) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            match content:
                case str():
                    path.write_text(content, "utf-8")
                case Path():
                    shutil.copyfile(content, path)
                case _:
                    content.to_parquet(path)
        client.log_artifacts(run_id, temporary, FOLDER)
