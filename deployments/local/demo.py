"""The demo: the loop played twice on this machine, on real text, with nothing to download."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from deployments.local.asking import ask_service, show
from deployments.local.demo_data import docstring_pairs
from deployments.local.services import ROOT
from deployments.local.watching import findings, follow
from flows.hosting import LocalProcessHost
from flows.settings import Settings, TrainingSettings
from flows.store import open_store

Cycle = Literal[1, 2]

TITLES: Mapping[Cycle, str] = {
    1: "a first champion",
    2: "text of another domain arrives",
}
QUESTIONS: Mapping[Cycle, str] = {
    1: "find the roots of a polynomial given its coefficients",
    2: "retry a request when the server does not answer",
}
"""Asked after each cycle; nobody labelled them."""

TRAINING: Mapping[Cycle, TrainingSettings] = {
    1: TrainingSettings(epochs=1.4, max_minutes=5, max_length=64),
    2: TrainingSettings(window_days=14, epochs=1.5, max_minutes=4, max_length=64, validations=2),
}
"""Short texts and few minutes: the first challenger starts from bi-encoder weights and learns from everything, the
second from the first champion and learns from what came since."""


class LoopFailed(Exception):
    """A lifecycle did not end well; the message says how, and where to look."""


class Story(BaseModel):
    """How far the demo was played in this home folder; kept in `demo.json`."""

    now: datetime
    """The moment at which it plays: its first start, so that it goes on with the same pairs."""
    played: list[Cycle] = []

    @classmethod
    def open(cls, path: Path) -> "Story":
        """Return the story as it stands, or a new one."""
        return cls.model_validate_json(path.read_text("utf-8")) if path.exists() else cls(now=datetime.now(UTC))


def play(settings: Settings, console: Console) -> None:
    """Play both cycles on the running stack; what an earlier demo finished is taken up, not repeated.

    Raises:
        LoopFailed: a lifecycle ended in another state than `Completed`.
    """
    path = settings.file("demo.json")
    story = Story.open(path)
    for cycle in [cycle for cycle in TITLES if cycle not in story.played] or [max(TITLES)]:
        console.print(Rule(f"cycle {cycle}: {TITLES[cycle]}", align="left"))
        path.write_text(story.model_dump_json(), "utf-8")
        if cycle not in story.played:
            _fill(settings, cycle, story.now, console)
        _run_lifecycle("person" if cycle == 1 else "drift", TRAINING[cycle], console)
        if LocalProcessHost(settings.host, settings.folder("host")).current() is not None:
            console.print(show(ask_service(settings, QUESTIONS[cycle]), top=5))
        story = story.model_copy(update={"played": sorted({*story.played, cycle})})
        path.write_text(story.model_dump_json(), "utf-8")


def _fill(settings: Settings, cycle: Cycle, now: datetime, console: Console) -> None:
    with open_store(settings.store, settings.file("labels.db")) as store:
        counts = store.append(docstring_pairs(cycle, now))
    console.print(
        f"  labelled pairs from docstrings: {counts.kept:,} new, {counts.merged:,} there already", highlight=False
    )


def _run_lifecycle(cause: str, training: TrainingSettings, console: Console) -> None:
    """Start `lifecycle/local` as a user would, and show its steps until it ends."""
    name = f"demo-{uuid4().hex[:8]}"
    command = ["deployment", "run", "lifecycle/local", "--flow-run-name", name, "--param", f"cause={cause}"]
    command += ["--param", f"training={training.model_dump_json(exclude_unset=True)}"]
    console.print(f"  [bold]prefect {' '.join(command)}[/]", highlight=False, markup=True, soft_wrap=True)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LoopFailed(f"The lifecycle could not be started:\n{done.stdout}{done.stderr}")
    run = _find_run(name)
    state = follow(run, console)
    if not state.is_completed():
        raise LoopFailed(
            f"The lifecycle ended as {state.name}: {state.message}\n"
            "Its steps, artifacts and logs are in the Prefect UI; `make demo` again goes on from there."
        )
    for key, description in findings(run, ("drift", "gate")):
        console.print(f"  [bold]{key}[/] {escape(description)}", highlight=False)


def _find_run(name: str) -> UUID:
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
    return run.id
