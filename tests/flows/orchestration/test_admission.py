"""Which triggered run of the loop goes on, and which one ends at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.flow_engine import run_flow_sync
from prefect.states import Crashed, Scheduled
from prefect.testing.utilities import prefect_test_harness

from flows.orchestration.admission import NOT_STARTED, Cause, not_started, objection, superfluous
from flows.settings import TriggerSettings

ALARM = datetime(2026, 3, 2, 10, tzinfo=UTC)
FLOW = uuid4()


def run(
    minutes: float = 0,
    *,
    cause: str | None = "drift",
    state: StateType = StateType.RUNNING,
    name: str | None = None,
    ended: float | None = None,
    number: int | None = None,
) -> FlowRun:
    """A run of the loop that was due so many minutes after the alarm and ended when it says."""
    due = ALARM + timedelta(minutes=minutes)
    return FlowRun(
        id=UUID(int=number) if number is not None else uuid4(),
        name=f"because-of-{cause}",
        flow_id=FLOW,
        parameters={} if cause is None else {"cause": cause},
        state=State(type=state, name=name),
        state_type=state,
        expected_start_time=due,
        end_time=None if ended is None else ALARM + timedelta(minutes=ended),
    )


DONE = StateType.COMPLETED
DAY = 24 * 60

SUPERFLUOUS = {
    "a person's run is at work": run(-30, cause="person"),
    "a person's run began just after the alarm": run(0.1, cause="person"),
    "a run without a cause is at work": run(-30, cause=None),
    "a run is about to begin": run(-1, cause="schedule", state=StateType.PENDING),
    "a run that was due waits for its turn": run(-1, cause="schedule", state=StateType.SCHEDULED),
    "a run is being cancelled": run(-30, cause="person", state=StateType.CANCELLING),
    "another trigger came first": run(-0.01, cause="growth", state=StateType.SCHEDULED),
    "the loop was at work, and ended while this one waited": run(-30, cause="person", state=DONE, ended=90),
    "a triggered run began within the cool-down": run(-DAY + 1, cause="quality", state=DONE, ended=-DAY + 60),
}

NEEDED = {
    "the loop had ended": run(-30, cause="person", state=DONE, ended=-1),
    "a schedule's run is due later": run(60, cause="schedule", state=StateType.SCHEDULED),
    "another trigger came later": run(0.01, cause="growth", state=StateType.SCHEDULED),
    "another trigger came later and waits already": run(0.01, cause="growth", state=StateType.PENDING),
    "the cool-down is over": run(-DAY - 1, cause="quality", state=DONE, ended=-DAY + 60),
    "a person's run within the cool-down": run(-120, cause="person", state=DONE, ended=-60),
    "a schedule's run within the cool-down": run(-120, cause="schedule", state=DONE, ended=-60),
    "the triggered run before failed": run(-60, state=StateType.FAILED, ended=-30),
    "the triggered run before crashed while this one waited": run(-60, state=StateType.CRASHED, ended=30),
    "the triggered run before was cancelled": run(-60, state=StateType.CANCELLED, ended=-30),
    "the triggered run before was superfluous": run(-60, state=DONE, name=NOT_STARTED, ended=-59),
    "a superfluous run ended later": run(-1, state=DONE, name=NOT_STARTED, ended=30),
}


@pytest.mark.parametrize("other", SUPERFLUOUS.values(), ids=SUPERFLUOUS.keys())
def test_a_trigger_that_the_loop_answers_already_ends_at_once(other: FlowRun) -> None:
    own = run()
    reason = objection(own, [own, other], TriggerSettings())
    assert reason is not None
    assert other.name in reason


@pytest.mark.parametrize("other", NEEDED.values(), ids=NEEDED.keys())
def test_a_trigger_that_nothing_answers_goes_on(other: FlowRun) -> None:
    own = run()
    assert objection(own, [own, other], TriggerSettings()) is None


def test_the_limits_are_settings() -> None:
    at_work, before = run(-30, cause="person"), run(-90, state=DONE, ended=-60)
    assert objection(run(), [at_work], TriggerSettings(open_runs=2)) is None
    assert objection(run(), [at_work, run(-20, cause="person")], TriggerSettings(open_runs=2)) is not None
    assert objection(run(), [before], TriggerSettings(cool_down_hours=1)) is None
    assert objection(run(), [before], TriggerSettings(cool_down_hours=2)) is not None
    assert objection(run(), [run(-1, state=DONE, ended=-0.5)], TriggerSettings(cool_down_hours=0)) is None


@given(
    seconds=st.lists(st.integers(0, 2), min_size=2, max_size=6),
    data=st.data(),
)
def test_of_triggers_at_once_the_first_alone_goes_on_whoever_is_asked_first(
    seconds: list[int], data: st.DataObject
) -> None:
    """Until they are asked they wait; who goes on is at work, who does not has ended as superfluous."""
    runs = [
        run(second / 60, cause=data.draw(st.sampled_from(["drift", "growth", "quality"])), state=state, number=number)
        for number, second in enumerate(seconds)
        for state in [data.draw(st.sampled_from([StateType.SCHEDULED, StateType.PENDING]))]
    ]
    first = min(runs, key=lambda each: (each.expected_start_time, each.id))
    now = {each.id: each for each in runs}
    for number in data.draw(st.permutations(range(len(runs)))):
        own = now[UUID(int=number)]
        reason = objection(own, now.values(), TriggerSettings())
        assert (reason is None) == (own.id == first.id)
        state = State(type=StateType.RUNNING) if reason is None else not_started(reason)
        now[own.id] = own.model_copy(update={"state": state, "state_type": state.type})


def test_without_a_cool_down_two_at_once_still_make_one_loop() -> None:
    waiting, own = run(-0.01, cause="growth", state=StateType.SCHEDULED), run()
    reason = objection(own, [waiting], TriggerSettings(cool_down_hours=0))
    assert reason is not None
    assert "was open when this run was triggered" in reason


@flow(name="loop")
def loop(cause: Cause = "person") -> Any:
    """Admission, and nothing behind it."""
    reason = superfluous(cause, TriggerSettings())
    return "went on" if reason is None else not_started(reason)


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def scheduled(cause: Cause, due: datetime) -> FlowRun:
    """Have a run of the loop on record, as an automation's action makes it."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run(loop, parameters={"cause": cause}, state=Scheduled(scheduled_time=due))


def play(one: FlowRun) -> State[Any]:
    state: State[Any] = run_flow_sync(loop, flow_run=one, parameters=one.parameters, return_type="state")
    return state


@pytest.mark.slow
def test_on_a_server_one_of_two_triggers_goes_on_and_people_always(server: None) -> None:
    due = datetime.now(UTC) - timedelta(seconds=1)
    older, younger = sorted((scheduled("drift", due), scheduled("quality", due)), key=lambda each: each.id)

    late = play(younger)
    assert (late.type, late.name) == (DONE, NOT_STARTED)
    assert f"{older.name} was triggered at {due:%Y-%m-%d %H:%M:%S} UTC already" in (late.message or "")
    assert play(older).name == "Completed"

    after = play(scheduled("growth", datetime.now(UTC)))
    assert after.name == NOT_STARTED
    assert "the cool-down lasts 24 hours" in (after.message or "")
    for cause in ("person", "schedule"):
        assert loop(cause) == "went on"

    with get_client(sync_client=True) as client:
        runs = [client.read_flow_run(each.id) for each in (older, younger)]
    assert {tag for each in runs for tag in each.tags} == {"cause:drift", "cause:quality"}


@pytest.mark.slow
def test_on_a_server_a_run_that_broke_off_answers_nothing(server: None) -> None:
    @flow(name="loop-that-crashes")
    def crashing() -> Any:
        return superfluous("drift", TriggerSettings())

    with get_client(sync_client=True) as client:
        due = datetime.now(UTC) - timedelta(minutes=1)
        broken = client.create_flow_run(crashing, parameters={"cause": "drift"}, state=Scheduled(scheduled_time=due))
        assert crashing() is not None
        client.set_flow_run_state(broken.id, Crashed(), force=True)
    assert crashing() is None
