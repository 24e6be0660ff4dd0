import asyncio
import gc
import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from bento.telemetry.logs import MAX_LINES_PER_SECOND, RequestLog, install, subject_hash

NAMES = (None, "bentoml", "bentoml.reranker", "uvicorn", "uvicorn.error", "asyncio")


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    """The console of a worker, set up as BentoML does it."""
    before = {name: logging.getLogger(name) for name in NAMES}
    kept = {name: (list(one.handlers), one.propagate, one.level) for name, one in before.items()}
    stream = io.StringIO()
    configuration: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"traced": {"format": "[%(levelname)s] %(message)s"}},
        "handlers": {"tracehandler": {"class": "logging.StreamHandler", "formatter": "traced", "stream": stream}},
        "loggers": {"bentoml": {"level": logging.INFO, "handlers": ["tracehandler"], "propagate": False}},
        "root": {"handlers": ["tracehandler"], "level": logging.WARNING},
    }
    logging.config.dictConfig(configuration)
    yield stream
    for name, (handlers, propagate, level) in kept.items():
        before[name].handlers, before[name].propagate = handlers, propagate
        before[name].setLevel(level)


@pytest.fixture
def lines(console: io.StringIO) -> io.StringIO:
    stream = io.StringIO()
    install(stream)
    return stream


def parsed(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_life_is_told_in_json_and_once(lines: io.StringIO, console: io.StringIO) -> None:
    logging.getLogger("bentoml.reranker").info("ready in %g s", 1.5)
    logging.getLogger("bentoml.serve").info("Service initialized")
    (line,) = parsed(lines)
    assert (line["level"], line["event"]) == ("info", "ready in 1.5 s")
    assert line["time"].endswith("+00:00")
    assert console.getvalue() == "[INFO] Service initialized\n"  # BentoML's lines stay as they were


def test_installing_twice_writes_once(console: io.StringIO) -> None:
    stream = io.StringIO()
    install(io.StringIO())
    install(stream)
    logging.getLogger("bentoml.reranker").warning("once")
    assert len(parsed(stream)) == 1


@pytest.mark.parametrize(("status", "seconds"), [(200, 0.1), (401, 0.1), (429, 4.9)])
def test_what_went_well_leaves_no_line(lines: io.StringIO, status: int, seconds: float) -> None:
    RequestLog().answered("id", "/v1/rerank", status, seconds)
    assert lines.getvalue() == ""


def test_a_failure_is_told_with_its_place_and_without_its_message(lines: io.StringIO) -> None:
    try:
        raise ValueError("text of " + "a document")
    except ValueError as failure:
        RequestLog().answered("r-1", "/v1/rerank", 500, 0.0123, "client-1", failure)
    (line,) = parsed(lines)
    assert line["error"].endswith("ValueError")
    assert "test_a_failure_is_told" in line["error"]
    line = {name: value for name, value in line.items() if name not in ("time", "error")}
    assert line == {
        "level": "error",
        "event": "request failed",
        "request_id": "r-1",
        "route": "/v1/rerank",
        "status": 500,
        "ms": 12.3,
        "subject": subject_hash("client-1"),
    }
    assert "text of a document" not in lines.getvalue()
    assert "client-1" not in lines.getvalue()


def test_slow_requests_and_refusals_of_ours_are_warnings(lines: io.StringIO) -> None:
    log = RequestLog(slow_seconds=1.0)
    log.answered("a", "/score", 200, 1.5)
    log.answered("b", "/score", 503, 0.001)
    told = [(line["level"], line["event"], line["request_id"]) for line in parsed(lines)]
    assert told == [("warning", "request was slow", "a"), ("warning", "request failed", "b")]


def test_a_storm_of_failures_does_not_flood_the_disk(lines: io.StringIO) -> None:
    now = [100.0]
    log = RequestLog(clock=lambda: now[0])
    for _ in range(1_000):
        log.answered("a", "/score", 503, 0.1)
    assert len(parsed(lines)) == MAX_LINES_PER_SECOND
    now[0] += 1
    log.answered("b", "/score", 503, 0.1)
    log.answered("c", "/score", 503, 0.1)
    assert [line.get("left_out") for line in parsed(lines)[-2:]] == [1_000 - MAX_LINES_PER_SECOND, None]


def test_subjects_are_told_apart_and_not_named() -> None:
    assert subject_hash("a") == subject_hash("a") != subject_hash("b")
    assert len(subject_hash("a")) == 12


class Body(BaseModel):
    pairs: list[int]


def test_bodies_that_bentoml_refuses_are_not_logged(lines: io.StringIO, console: io.StringIO) -> None:
    with pytest.raises(ValidationError) as refused:
        Body.model_validate({"pairs": "my secret " + "document"})
    logger = logging.getLogger("bentoml._internal.server.http_app")
    logger.error("Exception on /score [POST]", exc_info=refused.value)
    assert console.getvalue() == ""
    RequestLog().answered("r-1", "/v1/rerank", 500, 0.1, failure=refused.value)  # but a failure of ours is
    assert "my secret document" not in lines.getvalue()
    assert parsed(lines)[0]["error"].endswith("ValidationError")


@pytest.mark.parametrize("name", ["bentoml._internal.server.http_app", "uvicorn.error", "some.library"])
def test_others_failures_keep_their_place_and_lose_their_message(
    lines: io.StringIO, console: io.StringIO, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for logger in (logging.getLogger(name), logging.getLogger(name.partition(".")[0])):
        monkeypatch.setattr(logger, "propagate", True)  # whatever a server that ran in this process made of it
        monkeypatch.setattr(logger, "disabled", False)
    try:
        {}["my secret " + "document"]
    except KeyError as failure:
        logging.getLogger(name).error("Exception on /score [POST]", exc_info=failure)
    assert "my secret document" not in console.getvalue()
    assert "test_others_failures_keep_their_place" in console.getvalue()
    assert "KeyError" in console.getvalue()


def test_the_event_loops_complaints_lose_the_message_too(lines: io.StringIO, console: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError("my secret " + "document")

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(forget())
    assert "never retrieved" in console.getvalue()
    assert "my secret document" not in console.getvalue()
