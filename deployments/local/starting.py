"""How the demo's lifecycles start: by hand, or by the alarm of the drift watch."""

import subprocess
import sys
import time
from collections.abc import Mapping
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from rich.console import Console
from rich.markup import escape

from deployments.local.services import ROOT
from deployments.local.watching import findings, follow
from flows.orchestration.admission import NOT_STARTED
from flows.settings import TrainingSettings

PATIENCE = 120.0
"""Seconds from the end of the watch until the automation has started a lifecycle; it takes about two."""

_POLL_SECONDS = 0.5
_TRIGGERS = ("drift", "growth", "quality")
_BY_A_PERSON: Mapping[str, object] = {"cause": "person"}


class LoopFailed(Exception):
    """A lifecycle did not end well, or did not start; the message says how, and where to look."""


def start_by_hand(
    console: Console, training: TrainingSettings | None = None, parameters: Mapping[str, object] = _BY_A_PERSON
) -> UUID:
    """Start `lifecycle/local` as a user would and return its flow run."""
    arguments = [f"{name}={value}" for name, value in parameters.items()]
    if training is not None:
        arguments.append(f"training={training.model_dump_json(exclude_unset=True)}")
    return _start("lifecycle/local", arguments, console)


def start_by_alarm(console: Console, patience: float = PATIENCE) -> UUID:
    """Start the drift watch, whose alarm starts the lifecycle through an automation; return the lifecycle's run.

    A lifecycle that an earlier alarm started is gone on with: followed when it is open, started again with its
    parameters when it broke off, and by hand when it had ended well, which takes up all that is done.

    Raises:
        LoopFailed: the watch failed or raised no alarm, or no automation answered within `patience` seconds.
    """
    earlier = _started_by_alarm()
    if earlier is None:
        return _watch(console, patience)
    state = earlier.state
    if state is None or not state.is_final():
        console.print(f"  the alarm has started [bold]{earlier.name}[/]", highlight=False)
        return earlier.id
    if state.is_completed():
        return start_by_hand(console)
    known = {name: earlier.parameters.get(name) for name in ("cause", "detected_at")}
    return start_by_hand(console, parameters={name: value for name, value in known.items() if value})


def _watch(console: Console, patience: float) -> UUID:
    watch = _start("watch-drift/local", [], console)
    state = follow(watch, console)
    said = "; ".join(description for _, description in findings(watch, ("drift",)))
    if not state.is_completed():
        raise LoopFailed(f"The drift watch ended as {state.name}: {state.message}")
    console.print(f"  [bold]drift[/] {escape(said)}", highlight=False)
    until = time.monotonic() + patience
    with console.status("waiting for the lifecycle that the alarm starts ..."):
        while (run := _started_by_alarm()) is None:
            if time.monotonic() > until:
                raise LoopFailed(
                    f"No lifecycle was started within {patience:.0f} s of the drift watch, which said: "
                    f"{said or 'nothing'}\nWhere that is no alarm, the pairs of the demo may have grown too old: "
                    "`make clean` and begin anew. Else look whether the automation `Start the lifecycle on drift` is "
                    "enabled, under Automations in the Prefect UI; `make demo` again goes on from there."
                )
            time.sleep(_POLL_SECONDS)
    console.print(f"  the alarm has started [bold]{run.name}[/]", highlight=False)
    return run.id


def _started_by_alarm() -> FlowRun | None:
    """Return the lifecycle that answers the alarm: the first open one, else the newest; none that was superfluous.

    The new pairs are growth as well: where that watch was due first, its run is the one and drift's superfluous.
    """
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["lifecycle"])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(name=FlowRunFilterStateName(not_any_=[NOT_STARTED]))
            ),
        )
    answers = sorted((run for run in runs if run.parameters.get("cause") in _TRIGGERS), key=_due)
    still_open = [run for run in answers if run.state is None or not run.state.is_final()]
    return next(iter(still_open or answers[::-1]), None)


def _due(run: FlowRun) -> tuple[float, UUID]:
    return run.expected_start_time.timestamp() if run.expected_start_time else float("inf"), run.id


def _start(deployment: str, parameters: list[str], console: Console) -> UUID:
    """Type `prefect deployment run` and return the flow run that came of it."""
    name = f"demo-{uuid4().hex[:8]}"
    command = ["deployment", "run", deployment, "--flow-run-name", name]
    command += [word for parameter in parameters for word in ("--param", parameter)]
    console.print(f"  [bold]prefect {escape(' '.join(command))}[/]", highlight=False, soft_wrap=True)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LoopFailed(f"{deployment} could not be started:\n{done.stdout}{done.stderr}")
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
    return run.id
