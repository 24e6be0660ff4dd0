"""POST /v1/feedback: what it keeps, what it refuses, and in which words."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bento.errors import RefusedError
from bento.gateway.exchange import Reply, Request
from bento.predictions.feedback import FeedbackLog, FeedbackResponse, feedback_route
from bento.predictions.recorder import Recorder

Lines = Callable[[str], list[dict[str, Any]]]


def post(log: FeedbackLog | None, body: Any) -> Reply:
    route = feedback_route(log)
    assert (route.method, route.path, route.access) == ("POST", "/v1/feedback", "rerank")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(route.handle(Request("f1", "/v1/feedback", raw, {}, "anonymous", 0.0)))  # type: ignore[arg-type]


def refusal(log: FeedbackLog | None, body: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        post(log, body)
    return caught.value


@pytest.fixture(params=[1.0])
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FeedbackLog]:
    recorder = Recorder(tmp_path / "log", request.param, 2**20, "reranker:3")
    log = FeedbackLog(recorder)
    yield log
    log.close()
    recorder.close()


JUDGEMENT = {"request_id": "r1", "index": 2, "relevant": True}


def test_keeps_one_judgement_before_it_answers(
    log: FeedbackLog, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))
    reply = post(log, JUDGEMENT)
    assert reply.status == 202
    assert FeedbackResponse.model_validate_json(reply.body).accepted == 1
    assert len(synced) == 2  # the new file's name, and its content
    (line,) = lines("feedback")
    assert line.pop("time").endswith("+00:00")
    assert line == {"request_id": "r1", "index": 2, "relevance": 1}


def test_keeps_several_scrubbed(log: FeedbackLog, lines: Lines) -> None:
    texts = {"query": "who is jane@example.org", "document": "call +49 30 1234567"}
    reply = post(
        log, {"feedback": [JUDGEMENT, {"request_id": "r2", "index": 0, "relevance": 0, "grade": 1, **texts}]}
    )
    assert json.loads(reply.body) == {"accepted": 2}
    _, second = lines("feedback")
    assert second["relevance"] == 0
    assert second["grade"] == 1
    assert second["query"] == "who is [email]"
    assert second["document"] == "call [phone]"


@pytest.mark.parametrize("log", [0.0], indirect=True)
def test_asks_for_the_texts_of_what_was_not_recorded(log: FeedbackLog, lines: Lines) -> None:
    whole = {**JUDGEMENT, "query": "q", "document": "d"}
    refused = refusal(log, {"feedback": [whole, JUDGEMENT]})
    assert (refused.status, refused.kind) == (422, "invalid_request")
    assert "1 of 2 judgements, the first at position 1" in refused.message
    assert "Send `query` and `document` along" in refused.message
    assert lines("feedback") == []
    assert post(log, whole).status == 202


def test_without_a_log_it_names_the_setting() -> None:
    refused = refusal(None, JUDGEMENT)
    assert (refused.status, refused.kind) == (404, "not_found")
    assert "RERANKER_SERVICE_PREDICTION_LOG" in refused.message


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        ([], 422, "must be an object"),
        ({}, 422, "`request_id`: Field required"),
        ({**JUDGEMENT, "index": "2"}, 422, "`index`: Input should be a valid integer"),
        ({**JUDGEMENT, "index": -1}, 422, "`index`"),
        ({**JUDGEMENT, "grade": 4}, 422, "`grade`: Input should be less than or equal to 3"),
        ({**JUDGEMENT, "relevance": 0}, 422, "contradict each other"),
        ({"request_id": "r", "index": 0}, 422, "needs `relevant`"),
        ({**JUDGEMENT, "query": "q"}, 422, "send both or none"),
        ({**JUDGEMENT, "query": " ", "document": "d"}, 422, "blank `query`"),
        ({**JUDGEMENT, "query": "\ud800", "document": "d"}, 400, "not JSON in UTF-8"),
        ({"feedback": []}, 422, "`feedback`: List should have at least 1 item"),
        ({"feedback": [JUDGEMENT] * 1_001}, 422, "`feedback`: List should have at most 1000 items"),
        ({"feedback": [JUDGEMENT, {}]}, 422, "`feedback[1].request_id`: Field required"),
    ],
)
def test_refuses_in_words(log: FeedbackLog, lines: Lines, body: Any, status: int, words: str) -> None:
    refused = refusal(log, body)
    assert refused.status == status
    assert words in refused.message
    assert lines("feedback") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["feedback", "request_id", "index", "relevant", "relevance", "grade", "query", "document"]
            ),
            inner,
            max_size=8,
        )
    ),
    max_leaves=12,
)


@given(JSON | st.binary(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_body_is_kept_or_refused_as_the_senders_fault(log: FeedbackLog, body: Any) -> None:
    try:
        status = post(log, body).status
    except RefusedError as refused:
        status = refused.status
    assert status in (202, 400, 422)


def test_a_disk_that_refuses_is_no_success(tmp_path: Path, log: FeedbackLog, lines: Lines) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    refused = refusal(log, JUDGEMENT)
    assert (refused.status, refused.kind) == (503, "unavailable")
    assert "send it again later" in refused.message
    assert refused.headers == {"retry-after": "60"}
    (tmp_path / "log").unlink()
    assert post(log, JUDGEMENT).status == 202
    assert len(lines("feedback")) == 1


def test_feedback_that_nobody_collects_is_bounded(log: FeedbackLog) -> None:
    large = {"feedback": [{**JUDGEMENT, "query": "q", "document": "word " * 1_600}] * 50}
    assert post(log, large).status == 202
    refused = refusal(log, large)
    assert refused.status == 503
    assert "nobody collected" in refused.message
