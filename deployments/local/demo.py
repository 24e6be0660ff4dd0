"""The demo: the loop played twice on this machine, on real text, with nothing to download."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from deployments.local.asking import ask_service, show
from deployments.local.demo_data import docstring_pairs
from deployments.local.demo_training import TRAINING, Cycle
from deployments.local.starting import LoopFailed, start_by_alarm, start_by_hand
from deployments.local.watching import findings, follow
from flows.hosting import LocalProcessHost
from flows.orchestration.admission import NOT_STARTED
from flows.settings import Settings
from flows.store import open_store

TITLES: Mapping[Cycle, str] = {
    1: "a first champion",
    2: "text of another domain arrives",
}
QUESTIONS: Mapping[Cycle, str] = {
    1: "find the roots of a polynomial given its coefficients",
    2: "retry a request when the server does not answer",
}
"""Asked after each cycle; nobody labelled them."""


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
        LoopFailed: a lifecycle ended in another state than `Completed`, or the alarm started none.
    """
    path = settings.file("demo.json")
    story = Story.open(path)
    for cycle in [cycle for cycle in TITLES if cycle not in story.played] or [max(TITLES)]:
        console.print(Rule(f"cycle {cycle}: {TITLES[cycle]}", align="left"))
        path.write_text(story.model_dump_json(), "utf-8")
        if cycle not in story.played:
            _fill(settings, cycle, story.now, console)
        run = start_by_hand(console, TRAINING[1]) if cycle == 1 else start_by_alarm(console)
        _finish(run, console)
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


def _finish(run: UUID, console: Console) -> None:
    """Show the steps of a lifecycle until it ends, and what they found."""
    state = follow(run, console)
    if not state.is_completed() or state.name == NOT_STARTED:
        raise LoopFailed(
            f"The lifecycle ended as {state.name}: {state.message}\n"
            "Its steps, artifacts and logs are in the Prefect UI; `make demo` again goes on from there."
        )
    for key, description in findings(run, ("drift", "gate")):
        console.print(f"  [bold]{key}[/] {escape(description)}", highlight=False)
