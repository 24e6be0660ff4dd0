"""What training produces and what the registry keeps."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class TrainedModel(BaseModel):
    """A challenger on disk, before it is registered: a CrossEncoder folder with safetensors and tokenizer."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    digest: str
    """SHA-256 of the weights and the tokenizer."""
    snapshot: str
    """Digest of the snapshot it was trained on."""
    configuration: str
    """Digest of the training settings. One snapshot and one configuration make one challenger."""
    started_from: str
    """The base model's name or path, or `models:/<name>/<version>` of the parent champion."""
    max_length: int
    """Tokens of query and document together; longer input is truncated."""
    steps: int
    seconds: float
    pairs_per_second: float
    validation: Mapping[str, float]
    """Metrics of the chosen checkpoint on the validation split."""


class ModelVersion(BaseModel):
    """A version in the registry."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    digest: str
    snapshot: str
    configuration: str
    run_id: str
    aliases: tuple[str, ...] = ()
    metrics: Mapping[str, float] = {}
    """Test metrics, such as `ndcg@10`."""

    @property
    def uri(self) -> str:
        """MLflow's address of this version."""
        return f"models:/{self.name}/{self.version}"
