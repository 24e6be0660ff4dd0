"""Follow a flow run in the terminal, step by step, until it ends."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
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
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Step:
    """A subflow or task of the run, as shown."""

    id: UUID
    name: str
    depth: int
    state: str
    seconds: float
    note: str = ""

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in _MARKS

    def line(self) -> str:
        """One line in rich's markup."""
        mark = _MARKS.get(self.state, "[cyan]●[/]")
        note = f"  [dim]{escape(self.note)}[/]" if self.note else ""
        return f"  {'  ' * self.depth}{mark} {escape(self.name)} [dim]{self.seconds:.0f} s[/]{note}"


def follow(run_id: UUID, console: Console) -> State:
    """Print the steps of flow run `run_id` as they happen and return its final state.

    On a terminal the running steps are redrawn in place; elsewhere each step is printed once, when it ends.
    """
    printed: set[UUID] = set()
    with get_client(sync_client=True) as client, Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            run = client.read_flow_run(run_id)
            final = run.state is not None and run.state.is_final()
            steps = list(_steps(client, run, depth=0))
            for step in steps:
                if step.ended and step.id not in printed:
                    printed.add(step.id)
                    live.console.print(step.line(), highlight=False)
            running = [Text.from_markup(step.line()) for step in steps if not step.ended]
            waiting = run.state.name if run.state else "?"
            live.update(Group(*(running or [Text(f"  {waiting} ...")])), refresh=True)
            if final and run.state is not None:
                return run.state
            time.sleep(_POLL_SECONDS)


def _steps(client: SyncPrefectClient, run: FlowRun, depth: int) -> Iterator[Step]:
    """Yield the subflows and tasks of `run` in the order in which they started, each before its own."""
    one = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    tasks = client.read_task_runs(flow_run_filter=one)
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
    )
    subflows = {child.parent_task_run_id for child in children}
    found: list[TaskRun | FlowRun] = [*children, *(task for task in tasks if task.id not in subflows)]
    note = _progress(client, run.id)
    for each in sorted(found, key=_started):
        step = _step(each, depth, note)
        yield step
        if isinstance(each, FlowRun):
            yield from _steps(client, each, depth + 1)


def _step(run: TaskRun | FlowRun, depth: int, note: str) -> Step:
    state = run.state.type.value if run.state else "PENDING"
    name = run.name.rsplit("-", 1)[0] if isinstance(run, TaskRun) else run.name
    cached = run.state is not None and run.state.name == "Cached"
    seconds = run.estimated_run_time.total_seconds()
    running = state == "RUNNING" and isinstance(run, TaskRun)
    return Step(run.id, name, depth, state, seconds, "taken up" if cached else note if running else "")


def _started(run: TaskRun | FlowRun) -> float:
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
