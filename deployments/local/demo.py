"""The demo: the loop played twice on this machine, on real text, with nothing to download."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from rich.console import Console
from rich.rule import Rule

from deployments.local.asking import ask_service, show
from deployments.local.demo_data import docstring_pairs
from deployments.local.services import ROOT
from deployments.local.watching import follow
from flows.settings import Settings
from flows.store import open_store

Cycle = Literal[1, 2]

STORIES: Mapping[Cycle, str] = {
    1: "no champion yet: the retriever's own order is what a challenger must beat",
    2: "a week later, text of another domain arrives: does the champion still do?",
}
QUESTIONS: Mapping[Cycle, str] = {
    1: "find the roots of a polynomial given its coefficients",
    2: "retry a request when the server does not answer",
}
"""Asked after each cycle; nobody labelled them."""


class LoopFailed(Exception):
    """A lifecycle did not end well; the message says how, and where to look."""


def play(settings: Settings, console: Console) -> None:
    """Play both cycles on the running stack; what an earlier demo finished is taken up, not repeated.

    Raises:
        LoopFailed: a lifecycle ended in another state than `Completed`.
    """
    now = _present(settings)
    for cycle in STORIES:
        console.print(Rule(f"cycle {cycle}: {STORIES[cycle]}", align="left"))
        _fill(settings, cycle, now, console)
        _run_lifecycle("person" if cycle == 1 else "drift", console)
        console.print(show(ask_service(settings, QUESTIONS[cycle]), top=5))

    console.print("\n`make stop` ends all of it. `make demo` again takes up what is done.", highlight=False)


def _present(settings: Settings) -> datetime:
    """Return the moment at which the demo's story plays: the first start of it, also when it is played on."""
    path = settings.file("demo.json")
    if not path.exists():
        path.write_text(json.dumps({"now": datetime.now(UTC).isoformat()}), "utf-8")
    return datetime.fromisoformat(json.loads(path.read_text("utf-8"))["now"])


def _fill(settings: Settings, cycle: Cycle, now: datetime, console: Console) -> None:
    with open_store(settings.store, settings.file("labels.db")) as store:
        counts = store.append(docstring_pairs(cycle, now))
    console.print(
        f"  labelled pairs from docstrings: {counts.kept:,} new, {counts.merged:,} there already", highlight=False
    )


def _run_lifecycle(cause: str, console: Console) -> None:
    """Start `lifecycle/local` as a user would, and show its steps until it ends."""
    name = f"demo-{uuid4().hex[:8]}"
    command = ["deployment", "run", "lifecycle/local", "--flow-run-name", name, "--param", f"cause={cause}"]
    console.print(f"  [bold]prefect {' '.join(command)}[/]", highlight=False)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LoopFailed(f"The lifecycle could not be started:\n{done.stdout}{done.stderr}")
    state = follow(_find_run(name), console)
    if not state.is_completed():
        raise LoopFailed(
            f"The lifecycle ended as {state.name}: {state.message}\n"
            "Its steps, artifacts and logs are in the Prefect UI; `make demo` again goes on from there."
        )


def _find_run(name: str) -> UUID:
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
    return run.id
