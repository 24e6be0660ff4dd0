"""A question to a person, asked by a pause of the run in Prefect's UI.

The pause keeps the process waiting and holds nothing else. A run whose own deployment has a concurrency limit must
not ask: Prefect takes its slot away at the pause, and ends the run some minutes later for want of it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Literal
from uuid import UUID, uuid4

from prefect import pause_flow_run
from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Running
from pydantic import Field, ValidationError

LOOK_EVERY_SECONDS = 3
_GRACE_SECONDS = 600  # a run that Prefect holds for paused beyond its time can only fail; ours resumes before


class Answer(RunInput):
    """The form."""

    name: str = Field(title="Your name", min_length=1, max_length=100, pattern=r"\S")
    answer: Literal["yes", "no"] = Field(title="Shall it take over?")
    reason: str = Field(title="Why", min_length=1, max_length=1_000, pattern=r"\S")


def ask(question: str, seconds: float) -> Answer | None:
    """Pause the current run until somebody fills in the form; None when nobody does within `seconds`.

    A run that is made to go on without an answer has none. Each call asks anew, whatever was answered before.

    Args:
        question: Shown above the form; Markdown.
        seconds: How long to wait.
    """
    form = Answer.with_initial_data(description=question)
    try:
        with _deadline(UUID(flow_run.id), seconds):
            return pause_flow_run(
                wait_for_input=form,
                timeout=int(seconds) + _GRACE_SECONDS,
                poll_interval=LOOK_EVERY_SECONDS,
                key=uuid4().hex,
            )
    except (FlowPauseTimeout, ValidationError):
        return None


@contextmanager
def _deadline(run: UUID, seconds: float) -> Iterator[None]:
    """Let the paused run go on, without an answer, when the time is over."""
    answered = threading.Event()
    watch = threading.Thread(target=copy_context().run, args=(_go_on, run, seconds, answered), daemon=True)
    watch.start()
    try:
        yield
    finally:
        answered.set()


def _go_on(run: UUID, seconds: float, answered: threading.Event) -> None:
    if answered.wait(seconds):
        return
    with get_client(sync_client=True) as client:
        while not answered.wait(LOOK_EVERY_SECONDS):
            state = client.read_flow_run(run).state
            if state is not None and state.is_paused():
                client.set_flow_run_state(run, Running(message="Nobody answered in time."))
