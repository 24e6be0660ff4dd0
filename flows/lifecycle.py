"""The loop: from labelled pairs to a better reranker in service."""

from datetime import datetime
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from pydantic import AwareDatetime

from flows.collect_feedback import collect_feedback
from flows.contracts.outcome import Outcome
from flows.orchestration.admission import Cause, not_started, superfluous
from flows.orchestration.retries import HEALING
from flows.package import package
from flows.promote import promote
from flows.registry import open_registry
from flows.roll_out import roll_out
from flows.settings import ApprovalSettings, GateSettings, StudentSettings, TrainingSettings, load_settings
from flows.train import train
from flows.validate import validate
from flows.watch_drift import watch_drift


# No timeout: every step has its own, and where a person is asked, there is no telling.
# The outcome is kept, because the notice that follows is another run.
@flow(name="lifecycle", flow_run_name="lifecycle-because-of-{cause}", persist_result=True, result_serializer="json")
def lifecycle(
    cause: Cause = "person",
    detected_at: AwareDatetime | None = None,
    training: TrainingSettings | None = None,
    student: StudentSettings | None = None,
    gate: GateSettings | None = None,
    approval: ApprovalSettings | None = None,
    serve: bool = True,
) -> Outcome | State[Any]:
    """Collect feedback, validate, watch drift, train challengers, judge them, package the champion, roll it out.

    Every step recognises what is already done for the same snapshot and settings and takes it up. A run that a
    trigger started while the loop was open, or within the cool-down, ends at once as `NotStarted`, with the reason.

    Args:
        cause: Why the loop runs; it stays with the run.
        detected_at: When a trigger noticed that cause; the time from then to a live release is recorded.
        training: Instead of the settings' own training section.
        student: Instead of the settings' own student section.
        gate: Instead of the settings' own gate section.
        approval: Instead of the settings' own approval section.
        serve: Package the champion and give it the traffic; without it the loop ends at the registry.
    """
    reason = superfluous(cause, load_settings().triggers)
    if reason is not None:
        return _end_early(cause, reason)
    collect_feedback()
    snapshot = validate()
    drift = watch_drift(trigger=False)
    challengers = train(snapshot=snapshot, training=training, student=student)
    decision = promote(versions=challengers, gate=gate, approval=approval)
    service, seconds = None, None
    if serve and decision.champion is not None:
        answered = detected_at if decision.champion in challengers else None
        release = roll_out(bento=package(version=decision.champion), cause=cause, detected_at=answered)
        service, seconds = release.url, release.seconds_since(answered)
        if answered is not None and seconds is not None:
            note_answer(decision.champion, cause, answered, seconds)
    outcome = Outcome(
        cause=cause,
        detected_at=detected_at,
        snapshot=snapshot,
        drift=drift,
        challenger=decision.leading,
        verdict=decision.verdict,
        champion=decision.champion,
        service=service,
        seconds_to_live=seconds,
        before=decision.before,
        after=decision.after,
    )
    create_markdown_artifact(key="outcome", markdown=_story(outcome), description="What this run came to.")
    return outcome


@task(persist_result=False, **HEALING)
def note_answer(version: int, cause: Cause, detected_at: datetime, seconds: float) -> None:
    """Keep with the version in MLflow what it answered, and how long that took."""
    facts = {"cause": cause, "detected_at": detected_at.isoformat(), "seconds_to_live": f"{seconds:.1f}"}
    open_registry(load_settings()).note(version, facts)


def _end_early(cause: Cause, reason: str) -> State[None]:
    state = not_started(reason)
    create_markdown_artifact(key="outcome", markdown=f"# The loop, because of {cause}\n\n{state.message}")
    get_run_logger().info(state.message)
    return state


def _story(outcome: Outcome) -> str:
    facts = outcome.model_dump(exclude={"before", "after"}, exclude_none=True)
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    metrics = "\n".join(f"| {m} | {v:.4f} | {outcome.after[m]:.4f} |" for m, v in outcome.before.items())
    compared = f"\n| metric | before | after |\n|---|---:|---:|\n{metrics}\n" if metrics else ""
    return f"# The loop, because of {outcome.cause}\n\n| | |\n|---|---|\n{rows}\n{compared}"
