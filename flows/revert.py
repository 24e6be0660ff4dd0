"""Put a former champion back, and give it the traffic."""

from datetime import UTC, datetime
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.contracts.model import Reversion
from flows.orchestration.events import announce
from flows.orchestration.retries import HEALING
from flows.orchestration.turns import turn
from flows.package import package
from flows.registry import open_registry
from flows.roll_out import roll_out
from flows.settings import load_settings

Words = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"\S")]


@flow(name="revert", timeout_seconds=3600)
def revert(
    name: Words, reason: Words, version: Annotated[int, Field(ge=1)] | None = None, serve: bool = True
) -> Reversion:
    """Take the champion back and put a former one in its place; nothing is judged.

    Started again, after a crash or by mistake, it ends the same: only a version takes it further back, or forth. A
    champion that was taken back is no challenger any more, until a person has it judged again.

    Args:
        name: Who wants it; kept with both versions.
        reason: Why; kept with both versions.
        version: The former champion to put back; without it, the one before this one.
        serve: Package it and give it the traffic; without it, only the registry changes.
    """
    with turn("reranker-promotion"):
        reversion = put_back(version, name.strip(), reason.strip())
        show(reversion)
        settle(reversion)
    if serve:
        roll_out(bento=package(version=reversion.put_back), approved_by=reversion.by)
    return reversion


@task(persist_result=False, **HEALING)
def put_back(version: int | None, name: str, reason: str) -> Reversion:
    """Move the alias `champion`, and note on both versions who did it and why."""
    return open_registry(load_settings()).revert(version, name, reason, datetime.now(UTC))


def show(reversion: Reversion) -> None:
    """Put into the run what was done, by this run or by an earlier one."""
    back, forth = reversion.taken_back, reversion.put_back
    story = f"Version {forth} is champion again instead of version {back}, since {reversion.at:%Y-%m-%d %H:%M:%S} UTC"
    markdown = f"# Version {forth} is champion again\n\n{story}, because {reversion.by} said so: {reversion.reason}\n"
    create_markdown_artifact(key="revert", markdown=markdown, description=story)
    get_run_logger().info("%s.", story)


@task(persist_result=False, **HEALING)
def settle(reversion: Reversion) -> None:
    """Tell everybody, unless an earlier run has, and end the revert."""
    registry = open_registry(load_settings())
    if registry.reverting():
        announce(
            "reranker.champion.reverted",
            f"reranker.model.{reversion.taken_back}",
            put_back=reversion.put_back,
            by=reversion.by,
            at=reversion.at.isoformat(),
        )
        registry.settle()
