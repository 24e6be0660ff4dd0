"""The service's record of what it was asked and answered."""

import json
import logging
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.feedback.lines import whole_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PredictedDocument:
    """One document of an answered request."""

    text: str
    """Scrubbed, and cut where it is very long."""
    characters: int
    """Of the document as it was sent."""
    tokens: int
    """Of query and document as the model read them."""
    score: float
    """0 to 1."""
    logit: float
    truncated: bool
    unusual: bool


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered request."""

    request_id: str
    at: datetime
    """UTC."""
    model: str
    """Name and version, such as "reranker:3"."""
    query: str
    """Scrubbed."""
    documents: tuple[PredictedDocument, ...]
    """In the order of the request."""


def read_predictions(
    folder: Path, since: datetime | None = None, request_ids: Container[str] | None = None
) -> Iterator[Prediction]:
    """Yield the recorded requests of `folder` that were answered at `since` or later, file by file.

    Args:
        folder: Of the service's setting RERANKER_SERVICE_PREDICTION_LOG; one that is not there holds nothing.
        since: Knows its time zone.
        request_ids: Only these.

    Lines that are no prediction are passed over, with a warning that counts them.
    """
    passed_over = 0
    for path in sorted(folder.glob("predictions-*.jsonl")):
        if since is not None and _last_written(path) < since:
            continue
        for line in whole_lines(path):
            try:
                fields = json.loads(line.content)
                if request_ids is not None and fields["request_id"] not in request_ids:
                    continue
                prediction = _prediction(fields)
                wanted = since is None or prediction.at >= since
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                passed_over += 1
                continue
            if wanted:
                yield prediction
    if passed_over:
        logger.warning("%d lines of the predictions in %s cannot be read and were passed over.", passed_over, folder)


def _prediction(fields: dict[str, Any]) -> Prediction:
    fields["query"].encode()  # a text, without halves of characters
    return Prediction(
        request_id=fields["request_id"],
        at=datetime.fromisoformat(fields["time"]).astimezone(UTC),
        model=fields["model"],
        query=fields["query"],
        documents=tuple(PredictedDocument(**document) for document in fields["documents"]),
    )


def _last_written(path: Path) -> datetime:
    """Return when a file was last written; for one that is gone, a time before all others."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.min.replace(tzinfo=UTC)
