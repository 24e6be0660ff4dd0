"""Give a packaged model the traffic."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from pydantic import AwareDatetime

from flows.contracts.release import PackagedBento, Release
from flows.hosting import LocalProcessHost
from flows.orchestration.admission import Cause
from flows.orchestration.events import announce
from flows.orchestration.retries import HEALING
from flows.orchestration.turns import turn
from flows.package import package
from flows.registry import open_registry
from flows.settings import load_settings


@flow(name="roll-out", timeout_seconds=1800)
def roll_out(
    bento: PackagedBento | None = None,
    approved_by: str | None = None,
    cause: Cause = "person",
    detected_at: AwareDatetime | None = None,
) -> Release:
    """Start a Bento beside what serves now, check its answers, and let it serve; return the release.

    When it serves already, nothing happens. When it does not get ready or scores otherwise than the model it was made
    of, what served before goes on and the run fails with the reason.

    Args:
        bento: What to roll out; without it, the champion, packaged first.
        approved_by: Who let it through, kept with the release; without it, who had the last word on the version.
        cause: Why there is a new model, for those who hear of the release.
        detected_at: When that was noticed; the event says how long it took from then until the release was live.
    """
    bento = bento or package()
    approved_by = approved_by or find_approver(bento.model_version)
    with turn("reranker-traffic"):
        release = switch(bento, approved_by)
    create_markdown_artifact(key="release", markdown=_story(release), description=f"{release.bento.tag} is live")
    create_link_artifact(key="service", link=release.url, link_text="The service and its API")
    announce(
        "reranker.release.live",
        f"reranker.model.{bento.model_version}",
        bento=bento.tag,
        url=release.url,
        cause=cause,
        seconds_to_live=release.seconds_since(detected_at),
    )
    return release


@task(persist_result=False, **HEALING)
def find_approver(version: int) -> str:
    """Return who let the version through the gate; the gate itself where nobody was asked."""
    approval = open_registry(load_settings()).version(version).approval
    return approval.by if approval else "gate"


@task(timeout_seconds=900, persist_result=False, **HEALING)
def switch(bento: PackagedBento, approved_by: str) -> Release:
    """Let the host start, check and switch."""
    settings = load_settings()
    host = LocalProcessHost(settings.host, settings.folder("host"), settings.prediction_log)
    return host.roll_out(bento, bento.checks, approved_by, get_run_logger().info)


def _story(release: Release) -> str:
    return (
        f"# Version {release.bento.model_version} is live\n\n"
        f"`{release.bento.tag}` answers at {release.url} since {release.at:%Y-%m-%d %H:%M:%S} UTC, let through by "
        f"{release.approved_by}. {len(release.bento.checks)} known scores were asked for and came back right. "
        f"During the switch the address answered nobody for {release.seconds_without_service:.1f} s."
    )
