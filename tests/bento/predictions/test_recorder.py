"""The sampled record: what it holds, that it stays small, and that the service outlives its failures."""

import json
import logging
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bento.predictions.journal import Journal
from bento.predictions.recorder import MAX_TEXT_CHARACTERS, Recorder
from bento.scoring.scored import ScoredPair

Lines = Callable[[str], list[dict[str, Any]]]
MEGABYTE = 2**20


def scored(count: int) -> list[ScoredPair]:
    return [ScoredPair(float(n), 10 + n, n % 2 == 1, False, False) for n in range(count)]


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "it never came true"
        time.sleep(0.005)


def test_records_what_was_asked_and_scored(tmp_path: Path, lines: Lines) -> None:
    recorder = Recorder(tmp_path / "log", 1.0, MEGABYTE, "reranker:3")
    pairs = [ScoredPair(0.0, 12, False, True, False), ScoredPair(-30.0, 512, True, False, True)]
    recorder.record("r1", "mail jane@example.org?", ["call +49 30 1234567", "x" * 9_000], pairs)
    recorder.close()
    (line,) = lines("predictions")
    at = datetime.fromisoformat(line.pop("time"))
    assert at.utcoffset() == timedelta(0)
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    same = {"truncated": False, "unusual": True}
    assert line == {
        "request_id": "r1",
        "model": "reranker:3",
        "query": "mail [email]?",
        "documents": [
            {"text": "call [phone]", "characters": 19, "tokens": 12, "score": 0.5, "logit": 0.0, **same},
            {
                "text": "x" * MAX_TEXT_CHARACTERS,
                "characters": 9_000,
                "tokens": 512,
                "score": 0.0,
                "logit": -30.0,
                "truncated": True,
                "unusual": False,
            },
        ],
    }
    assert (recorder.recorded, recorder.dropped) == (1, 0)
    (file,) = (tmp_path / "log").iterdir()
    assert file.stat().st_mode & 0o077 == 0  # users' text is nobody else's


def test_samples_the_stated_share_and_says_which(tmp_path: Path, lines: Lines) -> None:
    recorder = Recorder(tmp_path / "log", 0.1, MEGABYTE, "reranker:3")
    other = Recorder(tmp_path / "log", 0.1, MEGABYTE, "reranker:3", worker="other")
    ids = [f"request-{n}" for n in range(2_000)]
    for request_id in ids:
        recorder.record(request_id, "q", ["d"], scored(1))
    recorder.close()
    other.close()
    recorded = [line["request_id"] for line in lines("predictions")]
    assert 140 < len(recorded) < 260
    assert recorded == [request_id for request_id in ids if other.sampled(request_id)]


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
@given(request_id=st.text())
def test_none_and_all_are_none_and_all(
    share: float, expected: bool, request_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recorder = Recorder(tmp_path_factory.getbasetemp(), share, MEGABYTE, "reranker:3")
    assert recorder.sampled(request_id) is expected
    recorder.close()


def test_the_folder_stays_within_its_bytes_and_keeps_the_newest(tmp_path: Path, lines: Lines) -> None:
    folder = tmp_path / "log"
    recorders = [Recorder(folder, 1.0, MEGABYTE, "reranker:3", worker=name) for name in ("a", "b")]
    for n in range(400):
        recorder = recorders[n % 2]
        recorder.record(f"r{n}", "q", ["word " * 1_600], scored(1))
        until(lambda: recorder.recorded + recorder.dropped > n // 2)  # noqa: B023 - called at once
        assert sum(file.stat().st_size for file in folder.iterdir()) <= MEGABYTE
    for recorder in recorders:
        recorder.close()
    left = {line["request_id"] for line in lines("predictions")}
    assert {f"r{n}" for n in range(350, 400)} <= left
    assert "r0" not in left


def test_a_line_larger_than_everything_is_dropped(tmp_path: Path, lines: Lines) -> None:
    recorder = Recorder(tmp_path / "log", 1.0, MEGABYTE, "reranker:3")
    recorder.record("large", "q", ["word " * 1_600] * 200, scored(200))
    recorder.record("small", "q", ["d"], scored(1))
    recorder.close()
    assert [line["request_id"] for line in lines("predictions")] == ["small"]
    assert (recorder.recorded, recorder.dropped) == (1, 1)


def test_what_would_wait_too_long_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    gate = multiprocessing.get_context("spawn").Event()
    append = Journal.append
    monkeypatch.setattr(Journal, "append", lambda self, data: (gate.wait(20), append(self, data)))
    recorder = Recorder(tmp_path / "log", 1.0, 64 * MEGABYTE, "reranker:3")
    for n in range(60):
        recorder.record(f"r{n}", "q", ["word " * 1_600] * 100, scored(100))
    dropped = recorder.dropped
    gate.set()
    recorder.close(20)
    assert 30 < dropped < 50  # 16 million characters may wait, which is 20 requests
    assert len(lines("predictions")) == 60 - dropped
    recorder.record("late", "q", ["d"], scored(1))
    assert recorder.dropped == dropped + 1


def test_one_answer_that_cannot_be_written_ends_nothing(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "log", 1.0, MEGABYTE, "reranker:3")
    recorder.record("bad", "secret", ["d"], [ScoredPair("no number", 1, False, False, False)])  # type: ignore[arg-type]
    recorder.record("good", "q", ["d"], scored(1))
    with pytest.raises(ValueError, match="2 documents, but 1 scores"):
        recorder.record("uneven", "q", ["d", "e"], scored(1))
    recorder.close()
    assert [line["request_id"] for line in lines("predictions")] == ["good"]
    assert (recorder.recorded, recorder.dropped) == (1, 1)
    assert "Request bad was not recorded: TypeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_vanished_folder_comes_back(tmp_path: Path, lines: Lines) -> None:
    recorder = Recorder(tmp_path / "log", 1.0, MEGABYTE, "reranker:3")
    recorder.record("before", "q", ["d"], scored(1))
    until(lambda: recorder.recorded == 1)
    shutil.rmtree(tmp_path / "log")
    recorder.record("after", "q", ["d"], scored(1))
    recorder.close()
    assert [line["request_id"] for line in lines("predictions")] == ["after"]


def test_a_disk_that_refuses_is_told_once_and_taken_up_again(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "log").write_text("a file where the folder should be")
    recorder = Recorder(tmp_path / "log", 1.0, MEGABYTE, "reranker:3")
    for n in range(3):
        recorder.record(f"secret {n}", "secret", ["secret"], scored(1))
    until(lambda: recorder.dropped == 3)
    (tmp_path / "log").unlink()
    recorder.record("r3", "q", ["d"], scored(1))
    recorder.close()
    assert [line["request_id"] for line in lines("predictions")] == ["r3"]
    first, second = (record.getMessage() for record in caplog.records)
    assert "RERANKER_SERVICE_PREDICTION_LOG" in first
    assert "3 were dropped" in second
    assert "secret" not in caplog.text


def test_nothing_is_written_behind_a_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, "predictions", "w", max_file_bytes=MEGABYTE)
    journal.append(b'{"n": 1}\n')
    write = os.write
    room = [4]

    def full_disk(descriptor: int, data: bytes) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(data)[: room.pop()])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full_disk)
        with pytest.raises(OSError, match="No space left"):
            journal.append(b'{"n": 2}\n')
    journal.append(b'{"n": 3}\n')
    journal.close()
    torn, whole = (file.read_bytes() for file in sorted(tmp_path.iterdir()))
    assert torn == b'{"n": 1}\n{"n"'
    assert whole == b'{"n": 3}\n'


def test_files_are_left_when_they_are_large_or_old(tmp_path: Path) -> None:
    by_size = Journal(tmp_path, "size", "w", max_file_bytes=20)
    by_age = Journal(tmp_path, "age", "w", max_file_bytes=MEGABYTE, max_file_seconds=-1)
    for _ in range(4):
        by_size.append(b"123456789\n")
        by_age.append(b"123456789\n")
    by_size.close()
    by_age.close()
    assert [file.stat().st_size for file in sorted(tmp_path.glob("size-*"))] == [20, 20]
    assert len(list(tmp_path.glob("age-*"))) == 4


def _record_for_ever(folder: Path) -> None:
    recorder = Recorder(folder, 1.0, 64 * MEGABYTE, "reranker:3")
    while True:
        recorder.record("r", "q", ["word " * 100] * 20, scored(20))
        time.sleep(0)


def test_a_killed_worker_leaves_whole_lines_but_for_the_last(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_record_for_ever, args=(tmp_path / "log",))
    process.start()
    until(lambda: sum(file.stat().st_size for file in (tmp_path / "log").glob("*")) > 500_000)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    files = list((tmp_path / "log").iterdir())
    for file in files:
        *whole, _ = file.read_bytes().split(b"\n")
        assert all(json.loads(line)["request_id"] == "r" for line in whole)
