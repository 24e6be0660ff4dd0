"""Follow a flow run in the terminal, step by step, until it ends."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

_MARKS = {"COMPLETED": "[green]✓[/]", "FAILED": "[red]✗[/]", "CRASHED": "[red]✗[/]", "CANCELLED": "[yellow]-[/]"}
_RUNNING = "[cyan]●[/]"
_POLL_SECONDS = 1.0
_TELL_SECONDS = 20.0


@dataclass(frozen=True)
class Step:
    """A subflow or task of the run, as shown."""

    id: UUID
    name: str
    depth: int
    state: str
    seconds: float
    note: str = ""
    is_flow: bool = False

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in _MARKS

    def line(self) -> str:
        """One line in rich's markup."""
        indent = "  " * (self.depth + 1)
        if self.is_flow:
            return f"{indent}[bold]{escape(self.name)}[/]"
        note = f"  [dim]{escape(self.note)}[/]" if self.note else ""
        return f"{indent}{_MARKS.get(self.state, _RUNNING)} {escape(self.name)} [dim]{self.seconds:.0f} s[/]{note}"


def follow(run_id: UUID, console: Console) -> State:
    """Print the steps of flow run `run_id` as they happen and return its final state.

    A subflow is printed when it begins, a task when it ends. What runs is redrawn in place on a terminal, and
    printed now and then elsewhere.
    """
    printed: set[UUID] = set()
    told = time.monotonic()
    with get_client(sync_client=True) as client, Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            run = client.read_flow_run(run_id)
            final = run.state is not None and run.state.is_final()
            steps = list(_steps(client, run, depth=0))
            for step in steps:
                if (step.ended or step.is_flow) and step.id not in printed:
                    printed.add(step.id)
                    live.console.print(step.line(), highlight=False)
            running = [step.line() for step in steps if not step.ended and not step.is_flow]
            waiting = run.state.name if run.state else "?"
            live.update(Group(*map(Text.from_markup, running or [f"  {waiting} ..."])), refresh=True)
            if not console.is_terminal and running and time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                console.print(*running, sep="\n", highlight=False)
            if final and run.state is not None:
                return run.state
            time.sleep(_POLL_SECONDS)


def findings(run_id: UUID, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Return (key, description) of the artifacts of a run and its subflows that have one of `keys`."""
    with get_client(sync_client=True) as client:
        runs = [run_id, *(child.id for child in _subflows(client, run_id))]
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                key=ArtifactFilterKey(any_=list(keys)), flow_run_id=ArtifactFilterFlowRunId(any_=runs)
            )
        )
    return sorted((artifact.key or "", artifact.description or "") for artifact in artifacts)


def _subflows(client: SyncPrefectClient, run_id: UUID) -> list[FlowRun]:
    children = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run_id]))
    return client.read_flow_runs(flow_run_filter=children)


def _steps(client: SyncPrefectClient, run: FlowRun, depth: int) -> Iterator[Step]:
    """Yield the subflows and tasks of `run` in the order in which they started, each before its own."""
    one = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    tasks = client.read_task_runs(flow_run_filter=one)
    subflows = {child.parent_task_run_id: child for child in _subflows(client, run.id)}
    note = _progress(client, run.id)
    for task in sorted(tasks, key=_started):
        subflow = subflows.get(task.id)  # a subflow stands among its parent's tasks, under the name of its flow
        yield _step(task, depth, note, is_flow=subflow is not None)
        if subflow is not None:
            yield from _steps(client, subflow, depth + 1)


def _step(task: TaskRun, depth: int, note: str, is_flow: bool) -> Step:
    state = task.state.type.value if task.state else "PENDING"
    cached = task.state is not None and task.state.name == "Cached"
    shown = "taken up" if cached else note if state == "RUNNING" else ""
    return Step(
        id=task.id,
        name=task.name.rsplit("-", 1)[0],
        depth=depth,
        state=state,
        seconds=task.estimated_run_time.total_seconds(),
        note=shown,
        is_flow=is_flow,
    )


def _started(run: TaskRun) -> float:
    started = run.start_time or run.expected_start_time
    return started.timestamp() if started else float("inf")


def _progress(client: SyncPrefectClient, run_id: UUID) -> str:
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            type=ArtifactFilterType(any_=["progress"]), flow_run_id=ArtifactFilterFlowRunId(any_=[run_id])
        )
    )
    latest = max(
        artifacts, key=lambda artifact: artifact.updated.timestamp() if artifact.updated else 0, default=None
    )
    return (latest.description or "") if latest else ""
