"""The sampled record of what was asked and scored, written off the hot path."""

import json
import logging
import os
import threading
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import tanh
from pathlib import Path

from bento.predictions.journal import Journal, journal_files, remove_oldest
from bento.predictions.scrubbing import scrub
from bento.scoring.scored import ScoredPair

logger = logging.getLogger(__name__)

PREDICTIONS = "predictions"
FEEDBACK = "feedback"
"""Kinds of files in the folder of the record."""

MAX_TEXT_CHARACTERS = 8_000
"""Of a query or document as it is kept: more than the model reads of one."""

_MAX_WAITING_CHARACTERS = 16 * 2**20
"""Of text that waits to be written; what comes beyond is dropped and counted."""
_MAX_WAITING = 2_000
_SAMPLES = 2**32


@dataclass(frozen=True, slots=True)
class _Answer:
    """One request as it waits for the writer."""

    at: datetime
    request_id: str
    query: str
    documents: Sequence[str]
    characters: Sequence[int]
    """Of each document, before it was cut."""
    scored: Sequence[ScoredPair]
    size: int


class Recorder:
    """Keeps a share of all requests in `<folder>/predictions-*.jsonl`, scrubbed, one line each.

    A line holds `request_id`, `time` (UTC, ISO 8601), `model`, `query`, and of each document in the order of the
    request `text`, `characters` (before cutting), `tokens`, `score` (0 to 1), `logit`, `truncated` and `unusual`.
    The service never waits for it and never fails with it: what cannot be kept is counted in `dropped`.
    """

    def __init__(self, folder: Path, share: float, max_bytes: int, model: str, worker: str | None = None) -> None:
        """Record `share` of the requests that `model` (such as "reranker:3") answers.

        All files in `folder` together, feedback and those of other workers too, stay below `max_bytes`; the oldest
        predictions go first. `worker` tells processes apart; default: the process id.
        """
        self.folder = folder
        self.max_bytes = max_bytes
        self.recorded = 0
        """Requests on file."""
        self.dropped = 0
        """Sampled requests that are not: too many waited, or the disk refused."""
        self._limit = round(share * _SAMPLES)
        self._model = model
        self._journal = Journal(folder, PREDICTIONS, worker or str(os.getpid()), max_file_bytes=max_bytes // 8)
        self._refused = False
        self._unmeasured = max_bytes  # bytes since the folder was last looked at
        self._waiting: deque[_Answer] = deque()
        self._waiting_characters = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)
        self._thread.start()

    def sampled(self, request_id: str) -> bool:
        """Return whether requests of this id are recorded; every worker says the same."""
        return zlib.crc32(request_id.encode("utf-8", "surrogatepass")) < self._limit

    def record(self, request_id: str, query: str, documents: Sequence[str], scored: Sequence[ScoredPair]) -> None:
        """Keep one answered request, if it is sampled; `scored` in the order of `documents`, as many."""
        if not self.sampled(request_id):
            return
        if len(documents) != len(scored):
            raise ValueError(f"{len(documents)} documents, but {len(scored)} scores")
        characters = [len(document) for document in documents]
        kept = [document[:MAX_TEXT_CHARACTERS] for document in documents]
        size = min(len(query), MAX_TEXT_CHARACTERS) + sum(map(len, kept))
        answer = _Answer(datetime.now(UTC), request_id, query[:MAX_TEXT_CHARACTERS], kept, characters, scored, size)
        with self._changed:
            if (
                self._closing
                or len(self._waiting) >= _MAX_WAITING
                or self._waiting_characters + size > _MAX_WAITING_CHARACTERS
            ):
                self.dropped += 1
                return
            self._waiting.append(answer)
            self._waiting_characters += size
            self._changed.notify()

    def close(self, timeout: float = 5) -> None:
        """Write what waits and stop; what is not written after `timeout` seconds is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    break
                answer = self._waiting.popleft()
                self._waiting_characters -= answer.size
            try:
                self._write(answer)
            except Exception as failure:  # noqa: BLE001 - one answer must not end the record of all others
                self.dropped += 1
                # Not the message: it may hold what the client sent.
                logger.error("Request %s was not recorded: %s", answer.request_id, type(failure).__name__)
        self._journal.close()

    def _write(self, answer: _Answer) -> None:
        line = json.dumps(self._line(answer)).encode() + b"\n"
        try:
            self._make_room(len(line))
            self._journal.append(line)
        except OSError as failure:
            self.dropped += 1
            if not self._refused:
                self._refused = True
                logger.warning(
                    "Predictions cannot be recorded in %s (%s): the service goes on without, and takes it up again "
                    "when it can. Make room, or choose another folder with RERANKER_SERVICE_PREDICTION_LOG.",
                    self.folder,
                    failure.strerror or failure,
                )
            return
        self.recorded += 1
        if self._refused:
            self._refused = False
            logger.warning("Predictions are recorded in %s again; %d were dropped so far.", self.folder, self.dropped)

    def _make_room(self, coming: int) -> None:
        """Remove old files every now and then, with a margin for what several workers write until they look again."""
        self._unmeasured += coming
        if self._unmeasured < self.max_bytes // 64:
            return
        feedback = sum(size for _, size in journal_files(self.folder, FEEDBACK))
        room = self.max_bytes - feedback - coming - self.max_bytes // 8
        if room < 0:
            raise OSError(f"{coming} bytes do not fit beside {feedback} bytes of feedback")
        remove_oldest(self.folder, PREDICTIONS, room)
        self._unmeasured = 0

    def _line(self, answer: _Answer) -> dict[str, object]:
        columns = zip(answer.documents, answer.characters, answer.scored, strict=True)
        return {
            "request_id": answer.request_id,
            "time": answer.at.isoformat(),
            "model": self._model,
            "query": scrub(answer.query),
            "documents": [
                {
                    "text": scrub(text),
                    "characters": characters,
                    "tokens": pair.tokens,
                    "score": round(0.5 * (1.0 + tanh(0.5 * pair.logit)), 6),
                    "logit": round(pair.logit, 5),
                    "truncated": pair.truncated,
                    "unusual": pair.unusual,
                }
                for text, characters, pair in columns
            ],
        }
