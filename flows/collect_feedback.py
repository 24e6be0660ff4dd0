"""Make labelled pairs of what people said of the service's answers."""

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows.feedback import FeedbackReport, collect
from flows.orchestration.retries import HEALING
from flows.settings import load_settings
from flows.store import open_store


@flow(name="collect-feedback", timeout_seconds=1800)
def collect_feedback() -> FeedbackReport:
    """Join the service's feedback with its prediction log and append the pairs to the labels; return the counts.

    Nothing happens where no service has kept a log. The artifact `feedback` says what became of every vote.
    """
    report = collect_new()
    create_markdown_artifact(
        key="feedback", markdown=report.to_markdown(), description=f"{report.kept} new pairs of feedback"
    )
    return report


@task(timeout_seconds=1800, persist_result=False, **HEALING)
def collect_new() -> FeedbackReport:
    """Collect what is new since the last time."""
    settings = load_settings()
    with open_store(settings.store, settings.file("labels.db")) as store:
        return collect(settings.prediction_log, settings.file("feedback", "progress.json"), store)
