"""Feedback becomes labelled pairs: joined, counted, kept through every failure."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bento.gateway.exchange import Request
from bento.predictions.feedback import FeedbackLog
from bento.predictions.recorder import Recorder
from bento.scoring.scored import ScoredPair
from flows.contracts.pair import PAIR_SCHEMA
from flows.feedback import BrokenProgressError, FeedbackReport, collect, read_predictions
from flows.feedback.progress import Progress
from flows.settings import CleaningSettings
from flows.snapshot.cleaning import clean
from flows.store import LabelStore, SqliteLabelStore, StoreUnavailableError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Folder:
    """The service's folder, a store, and the collection between them."""

    def __init__(self, path: Path) -> None:
        self.path = path / "log"
        self.path.mkdir()
        self.progress = path / "progress.json"
        self.store = SqliteLabelStore(path / "labels.db")

    def predictions(self, *lines: dict[str, Any] | str, name: str = "a") -> None:
        self._append(f"predictions-{name}.jsonl", lines)

    def feedback(self, *lines: dict[str, Any] | str, name: str = "a") -> None:
        self._append(f"feedback-{name}.jsonl", lines)

    def _append(self, name: str, lines: tuple[dict[str, Any] | str, ...]) -> None:
        with (self.path / name).open("a", encoding="utf-8") as file:
            for line in lines:
                file.write(line if isinstance(line, str) else json.dumps(line) + "\n")
        self.touch(name, NOW)

    def touch(self, name: str, at: datetime) -> None:
        os.utime(self.path / name, (at.timestamp(), at.timestamp()))

    def collect(self, now: datetime = NOW, store: LabelStore | None = None) -> FeedbackReport:
        return collect(self.path, self.progress, store or self.store, now)

    def pairs(self) -> list[dict[str, Any]]:
        return pa.Table.from_batches(self.store.scan(), schema=PAIR_SCHEMA).to_pylist()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def prediction(request_id: str, documents: int = 3, at: datetime = NOW - timedelta(hours=2)) -> dict[str, Any]:
    texts = [
        {"text": f"{request_id} d{n}", "characters": 5, "tokens": 9, "score": 0.5, "logit": 0.0}
        | {"truncated": False, "unusual": n == 1}
        for n in range(documents)
    ]
    return {
        "request_id": request_id,
        "time": at.isoformat(),
        "model": "reranker:3",
        "query": f"{request_id} q",
        "documents": texts,
    }


def vote(request_id: str, index: int = 0, relevance: int = 1, minutes: float = 0, **more: Any) -> dict[str, Any]:
    at = NOW - timedelta(hours=1) + timedelta(minutes=minutes)
    return {"request_id": request_id, "index": index, "relevance": relevance, "time": at.isoformat(), **more}


def test_joins_by_request_and_index(folder: Folder) -> None:
    folder.predictions(prediction("r1"), prediction("r2"))
    folder.feedback(vote("r2", 1, grade=3), vote("r1", 2, 0))
    report = folder.collect()
    assert (report.read, report.kept, report.waiting) == (2, 2, 0)
    same = {"source": "feedback", "created_at": NOW - timedelta(hours=1), "subject_id": None}
    assert folder.pairs() == [
        {"query": "r2 q", "document": "r2 d1", "relevance": 1, "grade": 3, **same},
        {"query": "r1 q", "document": "r1 d2", "relevance": 0, "grade": None, **same},
    ]
    assert folder.collect() == FeedbackReport()  # nothing is new


def test_takes_the_texts_that_were_sent_along(folder: Folder) -> None:
    folder.feedback(vote("never recorded", query="q", document="d"))
    assert folder.collect().kept == 1
    assert folder.pairs()[0]["query"] == "q"


def test_what_the_service_writes_is_what_is_read(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "log", 1.0, 2**20, "reranker:3")
    log = FeedbackLog(recorder)
    scored = [ScoredPair(1.0, 9, False, False, False), ScoredPair(-1.0, 12, True, True, False)]
    recorder.record("r1", "who is jane@example.org", ["one", "two"], scored)
    recorder.close()
    body = {"feedback": [{"request_id": "r1", "index": 1, "relevant": True, "grade": 2}]}
    request = Request("f", "/v1/feedback", json.dumps(body).encode(), {}, "anonymous", 0.0)
    assert asyncio.run(log.handle(request)).status == 202
    log.close()
    store = SqliteLabelStore(tmp_path / "labels.db")
    assert collect(tmp_path / "log", tmp_path / "progress.json", store).kept == 1
    (pair,) = pa.Table.from_batches(store.scan()).to_pylist()
    assert (pair["query"], pair["document"], pair["relevance"], pair["grade"]) == ("who is [email]", "two", 1, 2)

    (one,) = read_predictions(tmp_path / "log")
    assert (one.request_id, one.model, one.query) == ("r1", "reranker:3", "who is [email]")
    assert [(d.text, d.tokens, d.truncated, d.unusual) for d in one.documents] == [
        ("one", 9, False, False),
        ("two", 12, True, True),
    ]
    assert one.documents[0].score == pytest.approx(0.731059)


def test_the_newest_of_several_votes_wins(folder: Folder) -> None:
    folder.predictions(prediction("r1", documents=2))
    folder.feedback(vote("r1", 0, 1, minutes=0), vote("r1", 0, 0, minutes=5), vote("r1", 1, 1, minutes=0))
    folder.collect()
    folder.feedback(vote("r1", 0, 1, minutes=9, grade=2), vote("r1", 1, 0, minutes=10))
    report = folder.collect()
    assert (report.kept, report.merged) == (1, 1)
    cleaned = clean(folder.store.scan(), CleaningSettings(min_candidates=1), NOW)
    labels = {row["document"]: row["relevance"] for row in cleaned.table.to_pylist()}
    assert labels == {"r1 d0": 1, "r1 d1": 0}


def test_waits_for_a_record_that_is_late_and_gives_up_in_the_end(folder: Folder) -> None:
    folder.feedback(vote("late"), vote("never"))
    assert folder.collect().waiting == 2
    folder.predictions(prediction("late"))
    report = folder.collect()
    assert (report.read, report.waited, report.kept, report.waiting) == (0, 2, 1, 1)
    report = folder.collect(NOW + timedelta(days=8))
    assert report.reasons == {"its request is on no record after 7 days": 1}
    (row,) = folder.store.quarantined()
    assert (row.origin, row.position) == ("feedback-a.jsonl", 2)
    assert json.loads(row.raw)["request_id"] == "never"
    assert folder.collect(NOW + timedelta(days=9)) == FeedbackReport()


def test_an_id_that_was_used_twice_means_the_request_before_the_vote(folder: Folder) -> None:
    first, second, third = (
        prediction("r") | {"query": name, "time": (NOW - timedelta(hours=hours)).isoformat()}
        for name, hours in (("first", 3), ("second", 2), ("after the vote", 0.5))
    )
    folder.predictions(third, first, second)
    folder.feedback(vote("r"))
    folder.collect()
    assert [pair["query"] for pair in folder.pairs()] == ["second"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no json\n", "the line is no feedback"),
        ('{"request_id": "r1"}\n', "the line is no feedback"),
        ("\0\n", "the line is no feedback"),
        (vote("r1", 7), "its index is beyond the documents of the request"),
        (vote("r1", query="q", document=" "), "document is blank"),
        (vote("r1", query="q\0", document="d"), "query holds a NUL character"),
        (vote("r1", minutes=10_000), "created_at is in the future"),
        (vote("r1", grade=9), "grade is not 0, 1, 2 or 3"),
    ],
)
def test_what_cannot_be_a_pair_goes_into_quarantine(folder: Folder, line: dict[str, Any] | str, reason: str) -> None:
    folder.predictions(prediction("r1"))
    folder.feedback(line, vote("r1"))
    report = folder.collect()
    assert (report.kept, report.quarantined, report.reasons) == (1, 1, {reason: 1})
    assert folder.store.count_quarantined() == 1


def test_a_line_that_is_still_written_is_read_when_it_is_whole(folder: Folder) -> None:
    folder.predictions(prediction("r1"), '{"request_id": "r2", "ti')
    whole = json.dumps(vote("r1")) + "\n"
    folder.feedback(whole[:20])
    assert folder.collect() == FeedbackReport()
    folder.feedback(whole[20:], vote("r1", 1))
    assert folder.collect().kept == 2


def test_files_go_when_they_are_read_and_left(folder: Folder) -> None:
    folder.predictions(prediction("r1"))
    folder.feedback(vote("r1"), '{"torn', name="old")
    folder.feedback(vote("r1", 1), name="new")
    folder.touch("feedback-old.jsonl", NOW - timedelta(days=2))
    report = folder.collect()
    assert (report.kept, report.torn) == (2, 1)
    assert [path.name for path in folder.path.glob("feedback-*")] == ["feedback-new.jsonl"]
    folder.collect()
    assert set(Progress.load(folder.progress).files) == {"feedback-new.jsonl"}


def test_no_folder_is_nothing_to_do(tmp_path: Path) -> None:
    store = SqliteLabelStore(tmp_path / "labels.db")
    assert collect(tmp_path / "log", tmp_path / "progress.json", store) == FeedbackReport()
    assert not (tmp_path / "progress.json").exists()


def test_broken_progress_says_what_to_do(folder: Folder) -> None:
    folder.progress.write_text('{"files": ')
    with pytest.raises(BrokenProgressError, match=r"progress\.json cannot be read: remove it"):
        folder.collect()


class Killed(BaseException):
    """The end of the process."""


class Steps:
    """Counts the steps that change something, and dies before or after one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


@given(last=st.integers(0, 8), late=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_killed_anywhere_nothing_is_lost_or_doubled(
    last: int, late: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Folder(tmp_path_factory.mktemp("killed"))
    folder.predictions(prediction("r1"))
    folder.feedback(vote("r1"), vote("r1", 1, 0), vote("r2"), "broken\n", name="old")
    folder.feedback(vote("r1", 2), name="new")
    folder.touch("feedback-old.jsonl", NOW - timedelta(days=2))
    steps = Steps(last)

    def around(step: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            steps.take()
            result = step(*arguments, **options)
            steps.take()
            return result

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteLabelStore, "append", around(SqliteLabelStore.append))
        patch.setattr(SqliteLabelStore, "quarantine", around(SqliteLabelStore.quarantine))
        patch.setattr(Progress, "save", around(Progress.save))
        patch.setattr(Path, "unlink", around(Path.unlink))
        with suppress(Killed):
            folder.collect()
    if late:
        folder.predictions(prediction("r2"))
    folder.collect()
    assert len(folder.pairs()) == 3 + late
    assert folder.store.count_quarantined() == 1
    assert len(Progress.load(folder.progress).waiting) == 1 - late
    assert [path.name for path in folder.path.glob("feedback-*")] == ["feedback-new.jsonl"]


def test_a_store_that_is_away_loses_nothing(folder: Folder) -> None:
    class Away(SqliteLabelStore):
        def append(self, pairs: Any) -> Any:
            raise StoreUnavailableError("away")

    folder.predictions(prediction("r1"))
    folder.feedback(vote("r1"))
    with pytest.raises(StoreUnavailableError):
        folder.collect(store=Away(folder.store.path))
    assert folder.collect().kept == 1


def texts(predictions: Iterator[Any]) -> list[str]:
    return [prediction.request_id for prediction in predictions]


def test_predictions_are_read_from_a_time_on(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    times = {name: NOW - timedelta(hours=hours) for name, hours in (("old", 48), ("mid", 3), ("new", 1))}
    folder.predictions(prediction("old", at=times["old"]), name="a")
    folder.touch("predictions-a.jsonl", times["old"])
    folder.predictions(
        prediction("mid", at=times["mid"]), "broken\n", '{"request_id": "x", "time": 3}\n', "[]\n", name="b"
    )
    folder.predictions(prediction("new", at=times["new"]), '{"torn', name="c")
    assert texts(read_predictions(folder.path)) == ["old", "mid", "new"]
    assert "3 lines" in caplog.text
    assert texts(read_predictions(folder.path, since=times["mid"])) == ["mid", "new"]
    assert texts(read_predictions(folder.path, since=times["new"])) == ["new"]
    assert texts(read_predictions(folder.path / "nowhere")) == []
