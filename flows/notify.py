"""Tell people what a run of the loop came to."""

import re
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import MissingResult
from prefect.utilities.urls import url_for

from flows.contracts.outcome import Outcome
from flows.notice import Notice, Side, Step, headline, to_markdown
from flows.orchestration.retries import HEALING
from flows.orchestration.sending import send
from flows.registry import RegistryError, open_registry
from flows.settings import load_settings


@flow(name="notify", timeout_seconds=900)
def notify(run: UUID) -> Notice:
    """Keep a notice of how a run of the loop ended as the artifact `notice`, and send it where the settings say.

    An automation starts this for every lifecycle that completes, fails, crashes or is cancelled. It is a run of its
    own, so that it speaks also where the loop's process is gone, and so that it cannot harm the loop.

    Args:
        run: Id of the flow run that ended.
    """
    notice = compose(run)
    create_markdown_artifact(key="notice", markdown=to_markdown(notice), description=headline(notice))
    block = load_settings().notice.block
    if block is not None:
        deliver(block, headline(notice), to_markdown(notice))
    return notice


@task(persist_result=False, **HEALING)
def compose(run: UUID) -> Notice:
    """Gather what Prefect and MLflow know."""
    with get_client(sync_client=True) as client:
        ended = client.read_flow_run(run)
        children = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run])),
            sort=FlowRunSort.START_TIME_ASC,
        )
        steps = [_step(child, client.read_flow(child.flow_id).name) for child in children]
    state = ended.state
    outcome = _outcome(state)
    champion, challenger = _versions(outcome)
    return Notice(
        run=ended.name,
        state=state.name or state.type.value if state else "Pending",
        failure=_failure(state),
        page=url_for("flow-run", obj_id=run),
        outcome=outcome,
        champion=champion,
        challenger=challenger,
        seconds=(ended.end_time - ended.start_time).total_seconds() if ended.start_time and ended.end_time else 0,
        steps=steps,
    )


@task(persist_result=False, **HEALING)
def deliver(block: str, subject: str, body: str) -> None:
    """Send the notice through a notification block."""
    send(block, subject, body)


def _step(run: FlowRun, name: str) -> Step:
    state = run.state.name or run.state.type.value if run.state else "Pending"
    return Step(name=name, state=state, seconds=run.total_run_time.total_seconds())


def _outcome(state: State[Outcome] | None) -> Outcome | None:
    if state is None or not state.is_completed():
        return None
    try:
        found: object = state.result()
        return None if found is None else Outcome.model_validate(found)  # it was kept as JSON
    except (MissingResult, FileNotFoundError, ValueError):  # gone from the storage, or never was there
        return None


def _versions(outcome: Outcome | None) -> tuple[Side | None, Side | None]:
    """Return the champion and the challenger; none where MLflow is away, for the notice goes out all the same."""
    try:
        registry = open_registry(load_settings())
        champion = registry.champion()
        ours = Side(version=champion.version, page=registry.page(champion.version)) if champion else None
        theirs = Side(version=outcome.challenger, page=registry.page(outcome.challenger)) if outcome else None
    except RegistryError:
        return None, None
    return ours, theirs


def _failure(state: State[Outcome] | None) -> str | None:
    if state is None or not (state.is_failed() or state.is_crashed()):
        return None
    found = re.search(r"exception: ([\w.]+)", state.message or "")
    return found[1] if found else None
