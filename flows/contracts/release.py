"""From a registered version to what serves: the Bento, and the record of its release."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class ScoredPair(BaseModel):
    """A pair and the score that the packaged model gives it; whoever serves the model must give the same."""

    model_config = ConfigDict(frozen=True)

    query: str
    document: str
    score: float
    """Relevance in 0..1."""


class PackagedBento(BaseModel):
    """A Bento in a BentoML store."""

    model_config = ConfigDict(frozen=True)

    tag: str
    """As in `bentoml serve <tag>`: "reranker:v3-1f0c2d3e4a5b"."""
    model_tag: str
    """Of the BentoML model that it contains."""
    store: Path
    """The BENTOML_HOME that holds both."""
    model_name: str
    model_version: int
    """Version in the registry."""
    snapshot: str
    engine: str = "onnxruntime-fp32"
    """What runs the network, and in which precision; the default is what was packaged before there was a choice."""
    digest: str
    """SHA-256 over the model (weights, tokenizer, version) and the service: equal digests serve equally."""
    checks: tuple[ScoredPair, ...]
    """What the running service must answer before it gets traffic."""

    @property
    def path(self) -> Path:
        """The Bento's folder."""
        name, _, version = self.tag.partition(":")
        return self.store / "bentos" / name / version


class Release(BaseModel):
    """One line of the append-only record of releases."""

    model_config = ConfigDict(frozen=True)

    bento: PackagedBento
    host: str
    """Where it runs: "local-process"."""
    url: str
    approved_by: str
    at: datetime
    outcome: Literal["live", "refused", "reverted"]
    """live: it serves. refused: it never got traffic. reverted: it failed with the traffic, which went back."""
    reason: str = ""
    """Why it is not live."""
    seconds_without_service: float = 0.0
    """How long the address answered nobody during the switch."""

    def seconds_since(self, moment: datetime | None) -> float | None:
        """Return how long after `moment` (timezone-aware) it went live; None when it was before, and for None."""
        if moment is None or self.at < moment:
            return None
        return (self.at - moment).total_seconds()
