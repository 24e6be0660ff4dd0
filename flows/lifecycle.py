"""The loop: from labelled pairs to a better reranker in service."""

from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, Field

from flows.collect_feedback import collect_feedback
from flows.package import package
from flows.promote import promote
from flows.roll_out import roll_out
from flows.settings import GateSettings, TrainingSettings
from flows.train import train
from flows.validate import validate
from flows.watch_drift import watch_drift

Cause = Literal["person", "schedule", "drift", "growth", "quality"]


class Outcome(BaseModel):
    """What a run of the loop came to."""

    cause: Cause = Field(description="Why it was started.")
    snapshot: str = Field(description="Digest of the frozen pairs.")
    drift: str = Field(description="Verdict of the drift watch.")
    challenger: int = Field(description="Version that was judged.")
    verdict: str = Field(description="Of the gate.")
    champion: int | None = Field(description="Version that is champion now.")
    service: str | None = Field(description="Address where it answers.")


@flow(name="lifecycle", flow_run_name="lifecycle-because-of-{cause}", timeout_seconds=6 * 3600)
def lifecycle(
    cause: Cause = "person",
    training: TrainingSettings | None = None,
    gate: GateSettings | None = None,
    serve: bool = True,
) -> Outcome:
    """Collect feedback, validate, watch drift, train a challenger, judge it, package the champion and roll it out.

    Every step recognises what is already done for the same snapshot and settings and takes it up.

    Args:
        cause: Why the loop runs; it stays with the run.
        training: Instead of the settings' own training section.
        gate: Instead of the settings' own gate section.
        serve: Package the champion and give it the traffic; without it the loop ends at the registry.
    """
    collect_feedback()
    snapshot = validate()
    drift = watch_drift()
    challenger = train(snapshot=snapshot, training=training)
    decision = promote(version=challenger, gate=gate)
    service = None
    if serve and decision.champion is not None:
        service = roll_out(bento=package(version=decision.champion)).url
    outcome = Outcome(
        cause=cause,
        snapshot=snapshot,
        drift=drift,
        challenger=challenger,
        verdict=decision.verdict,
        champion=decision.champion,
        service=service,
    )
    create_markdown_artifact(key="outcome", markdown=_story(outcome), description="What this run came to.")
    return outcome


def _story(outcome: Outcome) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in outcome.model_dump().items())
    return f"# The loop, because of {outcome.cause}\n\n| | |\n|---|---|\n{rows}\n"
