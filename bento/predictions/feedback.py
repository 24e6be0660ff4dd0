"""POST /v1/feedback: what people, or clicks, say of a document; it becomes labelled pairs."""

import asyncio
import json
import logging
import os
import threading
from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from bento.errors import RefusedError
from bento.gateway.exchange import Reply, Request, Route
from bento.predictions.journal import Journal, journal_files
from bento.predictions.recorder import FEEDBACK, MAX_TEXT_CHARACTERS, Recorder
from bento.predictions.scrubbing import scrub

logger = logging.getLogger(__name__)

PATH = "/v1/feedback"
MAX_JUDGEMENTS = 1_000
"""In one request."""
_MAX_FILE_BYTES = 8 * 2**20


class Judgement(BaseModel):
    """Whether one document of an answered request was relevant."""

    model_config = ConfigDict(strict=True)

    request_id: str = Field(
        description="Of the request that was answered: `id` of its answer, also its header x-request-id.",
        min_length=1,
        max_length=256,
    )
    index: int = Field(description="Position of the document in that request's `documents`.", ge=0, lt=2**31)
    relevant: bool | None = Field(None, description="Whether the document helped; or say it with `relevance`.")
    relevance: int | None = Field(None, description="1 for relevant, 0 for not.", ge=0, le=1)
    grade: int | None = Field(None, description="How relevant, 0 to 3, where people graded.", ge=0, le=3)
    query: str | None = Field(None, description="Needed with `document` where the request was not recorded.")
    document: str | None = Field(None, description="Needed with `query` where the request was not recorded.")

    @model_validator(mode="after")
    def _says_something_whole(self) -> Self:
        if self.relevant is None and self.relevance is None:
            raise ValueError("needs `relevant` (true or false) or `relevance` (1 or 0)")
        if self.relevant is not None and self.relevance is not None and self.relevant != bool(self.relevance):
            raise ValueError("has a `relevant` and a `relevance` that contradict each other: send one of them")
        if (self.query is None) != (self.document is None):
            raise ValueError("has only one of `query` and `document`: send both or none")
        for name in ("query", "document"):
            text = getattr(self, name)
            if text is not None and not text.strip():
                raise ValueError(f"has a blank `{name}`")
        return self

    def line(self, at: datetime) -> dict[str, object]:
        """Return what is kept of it."""
        label = self.relevance if self.relevance is not None else int(bool(self.relevant))
        kept = {"request_id": self.request_id, "index": self.index, "relevance": label, "time": at.isoformat()}
        texts = {"query": self.query, "document": self.document}
        return {
            **kept,
            **({} if self.grade is None else {"grade": self.grade}),
            **{name: scrub(text[:MAX_TEXT_CHARACTERS]) for name, text in texts.items() if text is not None},
        }


class FeedbackRequest(BaseModel):
    """One judgement, or several at once."""

    model_config = ConfigDict(strict=True)

    feedback: list[Judgement] = Field(
        description="Judgements of documents, of one request or of several; the newest on a document counts.",
        min_length=1,
        max_length=MAX_JUDGEMENTS,
    )


class FeedbackResponse(BaseModel):
    """How many judgements are kept for good."""

    accepted: int = Field(description="All that were sent: either all are kept, or none.")


class FeedbackLog:
    """Keeps feedback on disk beside the predictions it speaks of, in `<folder>/feedback-*.jsonl`."""

    def __init__(self, recorder: Recorder, worker: str | None = None) -> None:
        self._recorder = recorder
        self._journal = Journal(recorder.folder, FEEDBACK, worker or str(os.getpid()), max_file_bytes=_MAX_FILE_BYTES)
        self._alone = threading.Lock()
        self._refused = False

    async def handle(self, request: Request) -> Reply:
        """Answer POST /v1/feedback: 202 once it is on disk."""
        judgements = parse(request.body)
        unknown = [
            position
            for position, judgement in enumerate(judgements)
            if judgement.query is None and not self._recorder.sampled(judgement.request_id)
        ]
        if unknown:
            raise RefusedError(
                422,
                "invalid_request",
                f"Nothing is known of the requests of {len(unknown)} of {len(judgements)} judgements, the first at "
                f"position {unknown[0]}: only a share of requests is recorded. Send `query` and `document` along. "
                "None was kept.",
            )
        # Scrubbing takes its time too, so all of it happens off the event loop; shielded, since what a thread has
        # begun goes on when the sender hangs up.
        await asyncio.shield(asyncio.to_thread(self._keep, judgements))
        return Reply(FeedbackResponse(accepted=len(judgements)).model_dump_json().encode(), status=202)

    def close(self) -> None:
        """Leave the file."""
        with self._alone:
            self._journal.close()

    def _keep(self, judgements: list[Judgement]) -> None:
        now = datetime.now(UTC)
        lines = b"".join(json.dumps(judgement.line(now)).encode() + b"\n" for judgement in judgements)
        with self._alone:
            there = sum(size for _, size in journal_files(self._recorder.folder, FEEDBACK))
            if there + len(lines) > self._recorder.max_bytes // 2:
                raise self._refusal("the folder is full of feedback that nobody collected")
            try:
                self._journal.append(lines, durable=True)
            except OSError as failure:
                raise self._refusal(failure.strerror or type(failure).__name__) from failure
            self._refused = False

    def _refusal(self, reason: str) -> RefusedError:
        if not self._refused:
            self._refused = True
            logger.warning("Feedback cannot be kept in %s: %s", self._recorder.folder, reason)
        return RefusedError(
            503,
            "unavailable",
            f"The feedback could not be kept ({reason}), so none of it was: send it again later.",
            {"retry-after": "60"},
        )


def feedback_route(log: FeedbackLog | None) -> Route:
    """Return the route of POST /v1/feedback; without a prediction log it says what to set."""
    return Route("POST", PATH, "rerank", _nowhere_to_go if log is None else log.handle)


async def _nowhere_to_go(request: Request) -> Reply:
    raise RefusedError(
        404,
        "not_found",
        "This service keeps no prediction log, so feedback has nowhere to go: its operator sets "
        "RERANKER_SERVICE_PREDICTION_LOG to a folder.",
    )


def parse(body: bytes) -> list[Judgement]:
    """Read one judgement or `{feedback: [...]}`; RefusedError (400, 422) names the field and says what it must be."""
    try:
        given = from_json(body)  # refuses lone surrogates, which no database stores
    except ValueError:
        raise RefusedError(
            400, "invalid_json", "The body is not JSON in UTF-8: send {request_id, index, relevant}."
        ) from None
    if not isinstance(given, dict):
        raise RefusedError(
            422, "invalid_request", "The body must be an object: {request_id, index, relevant} or {feedback: [...]}."
        )
    several = "feedback" in given
    try:
        return FeedbackRequest.model_validate(given if several else {"feedback": [given]}).feedback
    except ValidationError as failure:
        first = failure.errors(include_input=False, include_url=False, include_context=False)[0]
        place, reason = first["loc"], first["msg"].removeprefix("Value error, ")
        if not several:
            place = place[2:]
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        raise RefusedError(422, "invalid_request", f"`{name or 'feedback'}`: {reason}.") from None
