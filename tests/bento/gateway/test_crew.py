"""Workers that know of each other, whichever way they die."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bento.gateway.crew import Crew

_SIBLING = """
import sys
from pathlib import Path
from bento.gateway.crew import Crew
crew = Crew(2, Path(sys.argv[1]))
crew.join()
print("in", flush=True)
sys.stdin.read()
crew.leave()
"""


@contextmanager
def sibling(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A second worker in a process of its own."""
    command = [sys.executable, "-c", _SIBLING, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_is_complete_while_all_live_and_knows_of_a_killed_one(tmp_path: Path) -> None:
    crew = Crew(2, tmp_path / "crew")
    crew.join()
    assert not crew.complete
    with sibling(tmp_path / "crew") as other:
        assert crew.complete
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert not crew.complete
    with sibling(tmp_path / "crew"):
        assert crew.complete, "a replacement counts, whatever the dead one left behind"


def test_draining_is_one_for_all_and_ends_with_the_last(tmp_path: Path) -> None:
    crew = Crew(2, tmp_path / "crew")
    crew.join()
    with sibling(tmp_path / "crew") as other:
        crew.drain(True)
        assert Crew(2, tmp_path / "crew").draining
        crew.drain(False)
        assert not crew.draining
        crew.drain(True)
        crew.leave()
        assert (tmp_path / "crew" / "draining").exists(), "the sibling drains on"
        other.communicate(b"")
    assert not (tmp_path / "crew").exists()


def test_the_server_ends_when_a_lost_worker_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew(2, tmp_path / "crew")
    crew.join()
    with sibling(tmp_path / "crew"):
        assert crew.complete
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: ended.append(what))
    asyncio.run(asyncio.wait_for(crew.watch(patience=0.05), 10))
    assert ended == [(os.getppid(), signal.SIGTERM)]


def test_a_worker_that_takes_its_time_to_start_ends_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: ended.append(what))
    crew = Crew(2, tmp_path / "crew")
    crew.join()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(crew.watch(patience=0.02), 0.3))
    assert ended == []
