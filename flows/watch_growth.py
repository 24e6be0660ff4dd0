"""Compare the number of labelled pairs with that which the champion was trained on."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.contracts.model import ModelVersion
from flows.contracts.snapshot import Snapshot
from flows.growth import GrowthReport, measure
from flows.orchestration.events import announce
from flows.orchestration.retries import HEALING
from flows.registry import open_registry
from flows.settings import load_settings
from flows.snapshot import SnapshotError, find
from flows.store import open_store

NO_CHAMPION = "no champion yet"
NO_SNAPSHOT = "the champion's snapshot is gone"


@flow(name="watch-growth", timeout_seconds=600)
def watch_growth() -> str:
    """Compare the number of labelled pairs with that of the champion's snapshot and return the verdict.

    The verdict is `grown`, `steady`, `tried already` (the newest version had these pairs and did not become
    champion), `no champion yet` or `the champion's snapshot is gone`; grown emits `reranker.data.grown`. The
    artifact `growth` shows the numbers.
    """
    champion, newest = find_versions()
    if champion is None or newest is None:
        get_run_logger().info("There is no champion yet, so there is nothing to have grown since.")
        return NO_CHAMPION
    reference = find_snapshot(champion)
    if reference is None:
        return NO_SNAPSHOT
    tried = reference if newest.snapshot == champion.snapshot else find_snapshot(newest)
    settings = load_settings()
    report = measure(count_pairs(), reference.manifest, tried.manifest if tried else None, settings.growth)
    show(report, champion)
    return report.verdict


@task(persist_result=False, **HEALING)
def find_versions() -> tuple[ModelVersion | None, ModelVersion | None]:
    """Ask the registry for the champion, and for the newest version of all."""
    registry = open_registry(load_settings())
    return registry.champion(), next(iter(registry.versions()), None)


def find_snapshot(version: ModelVersion) -> Snapshot | None:
    """Return what the version was trained on, None where it is gone."""
    try:
        return find(load_settings().folder("snapshots"), version.snapshot)
    except SnapshotError as failure:
        get_run_logger().warning("What version %d was trained on is unknown: %s", version.version, failure)
        return None


@task(persist_result=False, **HEALING)
def count_pairs() -> int:
    """Ask the store how many labelled pairs it holds."""
    settings = load_settings()
    with open_store(settings.store, settings.file("labels.db")) as store:
        return store.count()


def show(report: GrowthReport, champion: ModelVersion) -> None:
    """Put the numbers into the run, and announce growth."""
    create_markdown_artifact(key="growth", markdown=report.to_markdown(), description=report.sentence())
    get_run_logger().info(report.sentence())
    if report.grown:
        announce(
            "reranker.data.grown",
            f"reranker.model.{champion.version}",
            pairs=report.pairs,
            champion_pairs=report.champion_pairs,
            growth_percent=round(100 * report.share, 1),
            reason=report.sentence(),
        )
