"""The order in which waiting pairs are read."""

import asyncio
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bento.model.encoded import EncodedPair
from bento.scoring.fair_queue import FLOOR_TOKENS, FairQueue
from bento.scoring.job import Job, Work

BUDGET = 256
RATE = 1_000.0


def pair(tokens: int) -> EncodedPair:
    return EncodedPair([1] * tokens, [0] * tokens, truncated=False, unusual=False)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Line:
    """A queue at time 0, and jobs with names."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.queue = FairQueue(BUDGET)
        self._loop = loop

    def add(self, name: str, lengths: Iterable[int], deadline: float = 1e6) -> Job:
        pairs = [(f"{name}{number}".encode(), pair(tokens)) for number, tokens in enumerate(lengths)]
        job = Job(len(pairs), deadline, self._loop.create_future())
        self.queue.add(job, pairs, 0.0)
        return job

    def cut(self, now: float = 0.0, idle: int = 1) -> list[Work]:
        return self.queue.cut(now, RATE, idle)

    def names(self, now: float = 0.0) -> list[str]:
        return [work.key.decode() for work in self.cut(now)]


@pytest.fixture
def line(loop: asyncio.AbstractEventLoop) -> Line:
    return Line(loop)


def test_one_document_beside_a_thousand_is_read_next(line: Line) -> None:
    line.add("large", [40] * 1_000)
    for _ in range(20):
        line.cut()
    line.add("small", [60])
    assert "small0" in line.names()


def test_the_thousand_do_not_starve(line: Line) -> None:
    line.add("large", [40] * 1_000)
    served = []
    for number in range(200):  # small requests that alone fill the engine, for ever
        line.add(f"small{number}-", [40] * 6)
        served.append(sum(name.startswith("large") for name in line.names()))
    assert sum(served[:100]) >= 30
    assert sum(served[100:]) >= 15


def test_late_comers_share_alike(line: Line) -> None:
    line.add("a", [32] * 500)
    for _ in range(10):
        line.cut()
    line.add("b", [32] * 500)
    names = [name[0] for _ in range(20) for name in line.names()]
    assert abs(names.count("a") - names.count("b")) <= BUDGET // 32


def test_the_nearest_deadline_goes_first_when_time_is_short(line: Line) -> None:
    line.add("early", [32] * 100, deadline=1_000)
    for _ in range(3):
        line.cut()
    line.add("urgent", [32] * 40, deadline=1.6)
    names = [name for cut in range(6) for name in line.names(now=cut * BUDGET / RATE)]
    assert {name for name in names if name.startswith("urgent")} == {f"urgent{number}" for number in range(40)}


def test_a_hopeless_request_does_not_make_others_late(line: Line) -> None:
    line.add("hopeless", [32] * 100, deadline=0.5)
    line.add("urgent", [32] * 40, deadline=1.5)
    names = [name for cut in range(5) for name in line.names(now=cut * BUDGET / RATE)]
    assert sorted(names) == sorted(f"urgent{number}" for number in range(40))


def test_hopeless_or_not_something_is_read(line: Line) -> None:
    line.add("hopeless", [32] * 100, deadline=0.5)
    assert len(line.cut()) == BUDGET // 32


def test_lengths_go_together(line: Line) -> None:
    line.add("mixed", [20, 60] * 50)
    line.add("others", [21, 61] * 50)
    padding = total = 0
    while works := line.cut():
        lengths = [work.tokens for work in works]
        padding += max(lengths) * len(lengths) - sum(lengths)
        total += sum(lengths)
    assert total == 8_100
    assert padding < total * 0.05


def test_little_work_is_split_over_idle_streams(line: Line) -> None:
    line.add("a", [25] * 10)
    assert len(line.cut(idle=2)) == 6  # an even half and a little, so that unequal lengths need no third round
    assert len(line.cut(idle=1)) == 4


def test_very_little_work_is_not_split(line: Line) -> None:
    line.add("a", [FLOOR_TOKENS // 4] * 4)
    assert len(line.cut(idle=4)) == 4


def test_a_pair_longer_than_the_budget_goes_alone(line: Line) -> None:
    line.add("a", [BUDGET + 1] * 2)
    assert len(line.cut()) == 1


def test_a_shared_pair_stays_for_who_is_left(line: Line) -> None:
    line.add("a", [200, 10])
    joiner = line.add("b", [])
    line.queue.join(joiner, b"a1", 0.0)
    assert line.names() == ["a0"]  # both offered a1, too, and it stands with the joiner since
    line.queue.drop(joiner)
    assert line.names() == ["a1"]


lengths = st.lists(st.integers(1, 130), min_size=1, max_size=12)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), lengths, st.sampled_from([0.3, 2.0, 1e6])),
            st.tuples(st.just("join"), st.integers(0, 5), st.integers(0, 5)),
            st.tuples(st.just("cut"), st.integers(1, 3), st.floats(0, 2)),
            st.tuples(st.just("drop"), st.integers(0, 5), st.none()),
        ),
        max_size=40,
    )
)
def test_every_wanted_pair_is_read_once_and_all_is_counted(
    loop: asyncio.AbstractEventLoop, steps: list[tuple[str, object, object]]
) -> None:
    line = Line(loop)
    jobs: list[Job] = []
    wanted: dict[Job, set[bytes]] = {}
    tokens: dict[bytes, int] = {}
    read: set[bytes] = set()

    def note(works: list[Work], budget: int = BUDGET) -> None:
        for work in works:
            assert work.key not in read
            assert any(work.key in keys for keys in wanted.values())
            read.add(work.key)
        longest = max((work.tokens for work in works), default=0)
        assert len(works) <= 1 or len(works) * longest <= budget

    for kind, first, second in steps:
        if kind == "add":
            name = f"job{len(jobs)}-"
            jobs.append(line.add(name, first, second))  # type: ignore[arg-type]
            keys = {f"{name}{number}".encode(): size for number, size in enumerate(first)}  # type: ignore[arg-type]
            tokens |= keys
            wanted[jobs[-1]] = set(keys)
        elif kind == "join" and len(jobs) > 1:
            job, other = jobs[first % len(jobs)], jobs[second % len(jobs)]  # type: ignore[operator]
            for key in sorted(wanted.get(other, set()) - wanted.get(job, set()) - read)[:3]:
                if job in wanted:
                    line.queue.join(job, key, 0.0)
                    wanted[job].add(key)
        elif kind == "cut":
            note(line.cut(second, first))  # type: ignore[arg-type]
        elif kind == "drop" and jobs:
            job = jobs[first % len(jobs)]  # type: ignore[operator]
            line.queue.drop(job)
            wanted.pop(job, None)
        waiting = set().union(*wanted.values()) - read
        assert line.queue.tokens == sum(tokens[key] for key in waiting)
    while works := line.cut():
        note(works)
    assert set().union(*wanted.values()) <= read
    assert line.queue.tokens == 0
    assert not line.queue._bins
    assert all(job.waiting == 0 for job in jobs)
