"""How the demo finds and goes on with what the alarm started, on a real Prefect server without a worker."""

import contextvars
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Crashed, Failed, Running, Scheduled
from prefect.testing.utilities import prefect_test_harness
from rich.console import Console

from deployments.local.starting import LoopFailed, start_by_alarm
from flows.orchestration.admission import not_started

pytestmark = pytest.mark.slow

CONSOLE = Console(file=StringIO())
DETECTED = "2026-03-02T10:00:00+00:00"


@pytest.fixture(scope="module")
def client() -> Iterator[SyncPrefectClient]:
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployments(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> dict[str, UUID]:
    """The two deployments that the demo uses; no flow runs."""
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value() or "")
    for old in client.read_flow_runs():
        client.delete_flow_run(old.id)

    @flow(name="lifecycle")
    def lifecycle(cause: str = "person", detected_at: str | None = None) -> None: ...

    @flow(name="watch-drift")
    def watch_drift() -> None: ...

    return {
        each.name: client.create_deployment(
            client.create_flow(each), "local", parameter_openapi_schema=schema_of(parameters)
        )
        for each, parameters in ((lifecycle, ("cause", "detected_at")), (watch_drift, ()))
    }


def schema_of(parameters: tuple[str, ...]) -> dict[str, object]:
    return {"type": "object", "properties": {name: {} for name in parameters}}


@pytest.fixture
def lifecycles(client: SyncPrefectClient, deployments: dict[str, UUID]) -> "Lifecycles":
    return Lifecycles(client, deployments["lifecycle"])


class Lifecycles:
    """Flow runs of `lifecycle/local` as an automation makes them, in the states in which a demo may find them."""

    def __init__(self, client: SyncPrefectClient, deployment: UUID) -> None:
        self._client = client
        self._deployment = deployment

    def add(self, state: State[None] | None = None, minutes: float = 0, cause: str = "drift") -> UUID:
        due = datetime.now(UTC) + timedelta(minutes=minutes - 60)
        made = self._client.create_flow_run_from_deployment(
            self._deployment,
            parameters={"cause": cause, "detected_at": DETECTED},
            state=Scheduled(scheduled_time=due),
        )
        if state is not None:
            self._client.set_flow_run_state(made.id, state, force=True)
        return made.id

    def read(self, run: UUID) -> FlowRun:
        return self._client.read_flow_run(run)


def test_an_open_lifecycle_is_followed_and_the_first_of_several(lifecycles: Lifecycles) -> None:
    lifecycles.add(Crashed(), minutes=-1)
    first = lifecycles.add(Running())
    lifecycles.add(minutes=1)  # another trigger; it waits for its turn
    lifecycles.add(Running(), minutes=-2, cause="person")
    assert start_by_alarm(CONSOLE) == first


def test_where_the_watch_over_growth_was_due_first_its_lifecycle_is_the_one(lifecycles: Lifecycles) -> None:
    grown = lifecycles.add(Running(), cause="growth")
    lifecycles.add(not_started("another lifecycle is open"), minutes=1)
    assert start_by_alarm(CONSOLE) == grown


def test_one_that_waits_goes_on_where_the_first_broke_off(lifecycles: Lifecycles) -> None:
    lifecycles.add(Crashed())
    waiting = lifecycles.add(minutes=1)
    assert start_by_alarm(CONSOLE) == waiting


@pytest.mark.parametrize("state", [Crashed(), Failed()], ids=lambda state: state.name)
def test_one_that_broke_off_is_started_again_with_its_cause_and_time(
    lifecycles: Lifecycles, state: State[None]
) -> None:
    lifecycles.add(Completed(), minutes=-1)
    broken = lifecycles.add(state)
    again = start_by_alarm(CONSOLE)
    assert again != broken
    parameters = lifecycles.read(again).parameters
    assert parameters["cause"] == "drift"
    assert datetime.fromisoformat(parameters["detected_at"]) == datetime.fromisoformat(DETECTED)


def test_one_that_ended_well_is_taken_up_by_hand(lifecycles: Lifecycles) -> None:
    lifecycles.add(Completed())
    lifecycles.add(not_started("the cool-down lasts"), minutes=1)
    again = lifecycles.read(start_by_alarm(CONSOLE))
    assert again.parameters["cause"] == "person"


@pytest.mark.parametrize(
    ("end", "says"),
    [(Completed(), "No lifecycle was started within 1 s"), (Failed(message="no store"), "ended as Failed: no store")],
    ids=["no alarm", "failed"],
)
def test_a_watch_that_starts_nothing_is_an_error_that_says_so(
    client: SyncPrefectClient, deployments: dict[str, UUID], end: State[None], says: str
) -> None:
    def watch() -> None:
        """Stand in for the worker, which would run the watch."""
        with get_client(sync_client=True) as own:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                for run in own.read_flow_runs():
                    if run.state_type is StateType.SCHEDULED:
                        own.set_flow_run_state(run.id, end, force=True)
                        return
                time.sleep(0.2)

    worker = threading.Thread(target=contextvars.copy_context().run, args=(watch,))
    worker.start()
    with pytest.raises(LoopFailed, match=says):
        start_by_alarm(CONSOLE, patience=1)
    worker.join()
