"""What an exported model says about itself, in the file `reranker.json` beside it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE = "reranker.json"


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
