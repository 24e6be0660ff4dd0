"""Retry what can heal, and nothing else."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from flows.contracts.failure import Healable


def can_heal(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect whether another attempt can end differently: a server that was away, never wrong data."""
    failure = state.data if isinstance(state.data, BaseException) else None
    if failure is None:
        try:
            state.result(raise_on_failure=True)
        except Exception as error:  # noqa: BLE001 - whatever the task raised is what we ask about
            failure = error
    return isinstance(failure, Healable | ConnectionError | TimeoutError)


HEALING: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": can_heal,
}
"""Options of a task that talks to a server: `@task(**HEALING)`. Waits 2, 4, 8, 16 seconds, with jitter."""
