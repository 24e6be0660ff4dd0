"""Who may start the loop: a person and the schedule always, a trigger unless the loop has just answered it.

Triggers come in swarms: one change of the traffic can raise the alarm of the drift watch, let the quality fall and
bring many labels. A triggered run is judged as of the moment of its trigger, by what Prefect has on record, so that
waiting for its turn changes nothing, and of two triggered at once the same one always wins.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run as current
from prefect.states import Completed

from flows.settings import TriggerSettings

Trigger = Literal["drift", "growth", "quality"]
Cause = Literal["person", "schedule", Trigger]

NOT_STARTED = "NotStarted"
"""Name of the state in which a superfluous run completes."""

_BROKEN = (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
_AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def superfluous(cause: Cause, settings: TriggerSettings) -> str | None:
    """Tag the current flow run with its cause; return why it need not go on, None when it shall."""
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(current.id))
        client.update_flow_run(own.id, tags={*own.tags, f"cause:{cause}"})
        if cause not in get_args(Trigger):
            return None
        others = client.read_flow_runs(  # the newest 200
            flow_filter=FlowFilter(id=FlowFilterId(any_=[own.flow_id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(
                    type=FlowRunFilterStateType(not_any_=list(_BROKEN)),
                    name=FlowRunFilterStateName(not_any_=[NOT_STARTED]),
                ),
                expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        )
    return objection(own, others, settings)


def objection(own: FlowRun, others: Iterable[FlowRun], settings: TriggerSettings) -> str | None:
    """Return what speaks against the triggered run `own` beside the other runs of its flow, None when nothing does.

    Runs that broke off and runs that were superfluous themselves count for nothing: the trigger is not answered.
    """
    counting = [run for run in others if run.id != own.id and _counts(run)]
    answered = [run for run in counting if _is_triggered(run) and _place(run) < _place(own)]
    latest = max(answered, key=_place, default=None)
    if latest is not None and _due(own) - _due(latest) < timedelta(hours=settings.cool_down_hours):
        return (
            f"{latest.name} was triggered at {_due(latest):%Y-%m-%d %H:%M:%S} UTC already, and the cool-down lasts "
            f"{settings.cool_down_hours:g} hours"
        )
    open_then = [run for run in counting if _was_open(run, own)]
    if len(open_then) >= settings.open_runs:
        names = ", ".join(sorted(run.name for run in open_then))
        return f"{names} was open when this run was triggered, and no more than {settings.open_runs} may be"
    return None


def not_started(reason: str) -> State[None]:
    """Return the state in which a superfluous run completes, for the flow to return."""
    return Completed(name=NOT_STARTED, message=f"Not started: {reason}.")


def _counts(run: FlowRun) -> bool:
    return run.state is not None and run.state.type not in _BROKEN and run.state.name != NOT_STARTED


def _was_open(run: FlowRun, own: FlowRun) -> bool:
    """Whether `run` was at work, or due before `own`, when `own` was triggered; or is at work for a person now."""
    state = run.state_type
    if state is StateType.COMPLETED:
        return _place(run) < _place(own) and run.end_time is not None and run.end_time > _due(own)
    return _place(run) < _place(own) or (state in _AT_WORK and not _is_triggered(run))


def _is_triggered(run: FlowRun) -> bool:
    return run.parameters.get("cause") in get_args(Trigger)


def _place(run: FlowRun) -> tuple[datetime, UUID]:
    """Order of the runs: when they were due, which for a triggered one is the moment of the trigger."""
    return _due(run), run.id


def _due(run: FlowRun) -> datetime:
    if run.expected_start_time is None:
        raise ValueError(f"{run.name} has no expected start: it is not a flow run that Prefect has on record.")
    return run.expected_start_time
