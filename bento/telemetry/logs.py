"""Log lines of the service: one JSON object each, and never a text, a token or a secret.

A line for each request would cost more than a cached answer does, and metrics tell the same. So there are lines for
what fails, for what is slow, and for the life of the service.
"""

import hashlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TextIO

from bentoml.exceptions import BentoMLException
from pydantic import ValidationError

logger = logging.getLogger("bentoml.reranker")

_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
SLOW_SECONDS = 5.0
MAX_LINES_PER_SECOND = 10
_BENTOML_HTTP = "bentoml._internal.server.http_app"
_SALT = os.urandom(16)


def install(stream: TextIO | None = None) -> None:
    """Write the lines of "bentoml.reranker" as JSON to `stream`, and keep texts out of everybody's lines.

    Call it when the worker starts, after BentoML has set up logging, which would undo it. BentoML's own lines stay as
    they are.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines())
    logger.handlers = [handler]
    logger.propagate = False
    for name in (None, "bentoml", "uvicorn", "uvicorn.error", "bentoml.reranker"):
        for installed in logging.getLogger(name).handlers:
            if not any(isinstance(present, WithoutText) for present in installed.filters):
                installed.addFilter(WithoutText())


def subject_hash(subject: str) -> str:
    """Return a name for `subject` that tells one from another in the lines of this process, and tells nobody who."""
    return hashlib.blake2b(subject.encode(), digest_size=6, key=_SALT).hexdigest()


class RequestLog:
    """Writes of the requests that failed (5xx) or were slow, and of no more than a few each second."""

    def __init__(self, slow_seconds: float = SLOW_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._slow_seconds = slow_seconds
        self._clock = clock
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def answered(
        self,
        request_id: str,
        route: str,
        status: int,
        seconds: float,
        subject: str = "anonymous",
        failure: BaseException | None = None,
    ) -> None:
        """Write a line if need be; `route` is the template, `failure` the exception behind a 500."""
        if (status < 500 and seconds < self._slow_seconds) or not self._may_write():
            return
        fields: dict[str, object] = {
            "request_id": request_id,
            "route": route,
            "status": status,
            "ms": round(seconds * 1_000, 1),
            "subject": subject_hash(subject),
        }
        if self._left_out:
            fields["left_out"], self._left_out = self._left_out, 0
        logger.log(
            logging.ERROR if failure is not None else logging.WARNING,
            "request failed" if status >= 500 else "request was slow",
            exc_info=failure,
            extra={"fields": fields},
        )

    def _may_write(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > MAX_LINES_PER_SECOND:
            self._left_out += 1
            return False
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the `fields` that the record brings along in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_text:  # from WithoutText
            line["error"] = record.exc_text
        return json.dumps(line, default=str)


class WithoutText(logging.Filter):
    """Takes the messages of exceptions out of log records: they quote what was sent.

    A record of BentoML's about a ValidationError is left out whole: it says that a body was refused with 400. So is
    one about a request that came at a bad time: under overload there would be a traceback for each.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write `record`, changed as need be."""
        failure = record.exc_info[1] if record.exc_info else None
        if isinstance(failure, ValidationError) and record.name == _BENTOML_HTTP:
            return False
        if isinstance(failure, BentoMLException) and failure.error_code in _REFUSALS:
            return False
        if failure is not None:
            record.exc_text, record.exc_info = _told(failure), None
            if record.name == "asyncio":  # its message goes on with the exception's
                record.msg, record.args = record.getMessage().partition("\n")[0], None
        return True


def _told(failure: BaseException) -> str:
    """Return where `failure` came from and its type, not what it says."""
    return "".join(traceback.format_tb(failure.__traceback__)) + type(failure).__name__
