"""The events that automations subscribe to."""

from typing import Any, Literal

from prefect.events import emit_event

Occasion = Literal[
    "reranker.validation.failed",
    "reranker.drift.detected",
    "reranker.data.grown",
    "reranker.quality.fallen",
    "reranker.challenger.promoted",
    "reranker.challenger.rejected",
    "reranker.champion.reverted",
    "reranker.release.live",
]


def announce(occasion: Occasion, subject: str, **payload: Any) -> None:
    """Emit a Prefect event about `subject`, such as `reranker.snapshot.<digest>`; the payload must be JSON."""
    emit_event(occasion, resource={"prefect.resource.id": subject}, payload=payload)
