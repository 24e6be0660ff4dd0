"""What an exported model says about itself, in the file `reranker.json` beside it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE = "reranker.json"

Library = Literal["openvino", "onnxruntime"]
Precision = Literal["int8", "fp32"]


class EngineChoice(BaseModel):
    """Which library runs the model, and on what file."""

    model_config = ConfigDict(frozen=True)

    library: Library
    precision: Precision
    file: str
    """In the model's folder."""

    @property
    def name(self) -> str:
        """As in settings and labels: "openvino-int8"."""
        return f"{self.library}-{self.precision}"


class Measurement(BaseModel):
    """How a candidate did, all processors of the packaging host busy; None is what was not measured."""

    model_config = ConfigDict(frozen=True)

    engine: str
    """Its library and precision: "openvino-int8"."""
    long_tokens: int | None = None
    """Length of the pairs behind `long_pairs_per_second` and `latency_ms`."""
    long_pairs_per_second: float | None = None
    short_tokens: int | None = None
    short_pairs_per_second: float | None = None
    latency_ms: float | None = None
    """Of one long pair alone."""
    score_difference: float | None = None
    """The largest from the trained model's scores, of 0..1."""
    ndcg: float | None = None
    """NDCG@10 on the snapshot's test split; None where a faster engine was fit, or that split cannot judge."""
    verdict: str
    """Either `chosen`, or why it is not."""


class Manifest(BaseModel):
    """Identity of an exported model, and how to feed and read it."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Registered model, such as "reranker"."""
    version: int
    """Version in the registry."""
    digest: str
    """SHA-256 of the trained weights and tokenizer."""
    snapshot: str
    """SHA-256 of the pairs it was trained on."""
    max_length: int
    """Tokens of query and document together; longer input is truncated, the longer side first."""
    score_transform: Literal["sigmoid"] = "sigmoid"
    """From the model's logit to the relevance score in 0..1."""
    engine: EngineChoice
    files: Mapping[str, str]
    """SHA-256 of every other file that serving reads."""
    configuration: str = ""
    """Digest of the settings that it was packaged with."""
    measurements: tuple[Measurement, ...] = ()
    """Of every candidate engine."""

    @property
    def model(self) -> str:
        """Name and version as clients see them: "reranker:3"."""
        return f"{self.name}:{self.version}"

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of the model in `folder`."""
        return cls.model_validate_json((folder / FILE).read_bytes())

    def write(self, folder: Path) -> None:
        """Write it into `folder`."""
        (folder / FILE).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
