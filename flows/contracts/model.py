"""What training produces and what the registry keeps."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 over the weights and the tokenizer in `folder`, by name and content."""
    total = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("tokenizer*.json")]):
        with file.open("rb") as content:
            total.update(f"{file.name}\0".encode() + hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


class TrainedModel(BaseModel):
    """A challenger on disk, before it is registered: a CrossEncoder folder with safetensors and tokenizer."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    digest: str
    """`weights_digest` of the folder when it was written."""
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

    @property
    def is_whole(self) -> bool:
        """Whether the folder still holds what was trained."""
        return weights_digest(self.folder) == self.digest


class Approval(BaseModel):
    """The last word on a challenger that the gate let through."""

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: str
    """A person's name; "gate" where nobody had to be asked, "nobody" where nobody answered in time."""
    at: datetime
    reason: str
    champion: int | None
    """The champion that the challenger was held against; the word holds for this pair alone."""

    @property
    def by_a_person(self) -> bool:
        """Whether somebody answered."""
        return self.by not in ("gate", "nobody")


class Reversion(BaseModel):
    """A champion that was taken back, and the version that was put back in its place."""

    model_config = ConfigDict(frozen=True)

    taken_back: int
    put_back: int
    by: str
    reason: str
    at: datetime


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
    validation: Mapping[str, float] = {}
    """The same of the validation split, which nothing but the choice of checkpoint and teacher looks at."""
    parent: int | None = None
    """The champion whose weights it started from; None where it started from a base model."""
    teacher: int | None = None
    """The version that a student was distilled from; None for one that was trained on labels."""
    was_champion: bool = False
    """Whether it was promoted once; it may be the champion still."""
    replaced: int | None = None
    """The champion that it took over from, when it did."""
    approval: Approval | None = None
    """The last word on it, once the gate had let it through."""
    taken_back: Reversion | None = None
    """Set on a champion that was taken back, until it is champion again."""

    @property
    def uri(self) -> str:
        """MLflow's address of this version."""
        return f"models:/{self.name}/{self.version}"
