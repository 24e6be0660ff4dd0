from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bento.errors import RefusedError
from bento.security.rate import RateLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def passes(limiter: RateLimiter, subject: str = "a") -> bool:
    return wait(limiter, subject) == 0


def wait(limiter: RateLimiter, subject: str = "a") -> int:
    """Return after how many seconds to come again, 0 when this request passes."""
    try:
        limiter.take(subject)
    except RefusedError as refused:
        return int(refused.headers["retry-after"])
    return 0


limits = {"per_minute": st.integers(1, 5_000), "workers": st.integers(1, 8)}


@given(**limits, pauses=st.lists(st.floats(0, 30) | st.just(0.0), max_size=150))
def test_no_window_holds_more_than_rate_and_burst(per_minute: int, workers: int, pauses: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, workers, clock=clock)
    passed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if passes(limiter):
            passed.append(clock.now)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            allowed = limiter.burst + (passed[last] - passed[first]) * per_minute / 60 / workers
            assert last - first + 1 <= allowed + 1e-3


@given(**limits, count=st.integers(1, 200))
def test_who_keeps_to_the_rate_is_never_refused(per_minute: int, workers: int, count: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, workers, clock=clock)
    for _ in range(count):
        assert passes(limiter)
        clock.now += 60 * workers / per_minute


@given(**limits, pauses=st.lists(st.floats(0, 2), max_size=100))
def test_the_wait_that_is_named_suffices(per_minute: int, workers: int, pauses: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, workers, clock=clock)
    for pause in pauses:
        clock.now += pause
        if seconds := wait(limiter):
            clock.now += seconds
            assert passes(limiter)


def test_a_refusal_says_what_to_do() -> None:
    limiter = RateLimiter(4, 1, clock=Clock())
    limiter.take("a")
    with pytest.raises(RefusedError) as caught:
        limiter.take("a")
    assert (caught.value.status, caught.value.kind) == (429, "rate_limited")
    assert caught.value.headers == {"retry-after": "15"}
    assert "wait 15 s" in caught.value.message


def test_subjects_do_not_pay_for_each_other() -> None:
    limiter = RateLimiter(60, 1, clock=Clock())
    while passes(limiter, "greedy"):
        pass
    assert passes(limiter, "modest")


def test_refused_requests_cost_nothing_later() -> None:
    clock = Clock()
    limiter = RateLimiter(60, 1, clock=clock)
    while passes(limiter):
        pass
    for _ in range(1_000):
        assert not passes(limiter)
    clock.now += 1
    assert passes(limiter)


def test_subjects_are_bounded_and_the_least_recent_is_forgotten() -> None:
    limiter = RateLimiter(4, 1, max_subjects=3, clock=Clock())
    assert limiter.burst == 1
    for subject in "abc":
        assert passes(limiter, subject)
    assert not passes(limiter, "a")
    assert passes(limiter, "d")  # "a" goes
    assert not passes(limiter, "b")
    assert passes(limiter, "a")
    assert len(limiter._next) == 3


def test_without_a_limit_everything_passes() -> None:
    limiter = RateLimiter(None, 4)
    assert all(passes(limiter) for _ in range(10_000))


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_share_the_limit(workers: int) -> None:
    clock: Any = Clock()
    limiters = [RateLimiter(1_200, workers, clock=clock) for _ in range(workers)]
    for _ in range(600):  # ten minutes of a flood that spreads evenly
        clock.now += 1.0
        for limiter in limiters:
            while passes(limiter):
                limiter.passed = getattr(limiter, "passed", 0) + 1  # type: ignore[attr-defined]
    total = sum(limiter.passed for limiter in limiters)  # type: ignore[attr-defined]
    assert 12_000 * 0.98 <= total <= 12_000 + 300
