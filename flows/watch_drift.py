"""Compare the newest week of pairs with what the champion was trained on."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.contracts.model import ModelVersion
from flows.contracts.pair import PAIR_SCHEMA
from flows.drift import DriftReport, select_window, watch
from flows.orchestration.events import announce
from flows.orchestration.retries import HEALING
from flows.registry import open_registry
from flows.settings import load_settings
from flows.snapshot import SnapshotError, find
from flows.store import open_store

NO_CHAMPION = "no champion yet"
NO_REFERENCE = "the champion's snapshot is gone"


@flow(name="watch-drift", timeout_seconds=1800)
def watch_drift() -> str:
    """Compare the newest window of pairs with the champion's snapshot and return the verdict.

    The verdict is `green`, `amber`, `red`, `not enough data`, `no champion yet` or
    `the champion's snapshot is gone`, which must not keep the loop from training the next one; red emits
    `reranker.drift.detected`. The artifact `drift` tells what moved, and links Evidently's report.
    """
    champion = find_champion()
    if champion is None:
        get_run_logger().info("There is no champion yet, so there is nothing to drift away from.")
        return NO_CHAMPION
    try:
        find(load_settings().folder("snapshots"), champion.snapshot)
    except SnapshotError as failure:
        get_run_logger().warning("Version %d cannot be watched: %s", champion.version, failure)
        return NO_REFERENCE
    report = compare(champion, read_window())
    create_markdown_artifact(
        key="drift", markdown=report.to_markdown(), description=f"{report.verdict}: {report.reason}"
    )
    if report.report:
        link = load_settings().report_url(report.report)
        create_link_artifact(key="drift-report", link=link, link_text="Evidently's report")
    if report.drifted:
        moved = [channel.name for channel in report.channels if channel.drifted]
        announce(
            "reranker.drift.detected", f"reranker.model.{champion.version}", channels=moved, reason=report.reason
        )
    return report.verdict


@task(persist_result=False, **HEALING)
def find_champion() -> ModelVersion | None:
    """Ask the registry for the champion."""
    return open_registry(load_settings()).champion()


@task(timeout_seconds=900, persist_result=False, **HEALING)
def read_window() -> pa.Table:
    """Read the pairs of the newest window from the store."""
    settings = load_settings()
    now = datetime.now(UTC)
    since = now - timedelta(days=settings.drift.window_days)
    with open_store(settings.store, settings.file("labels.db")) as store:
        return select_window(
            pa.Table.from_batches(store.scan(since=since), schema=PAIR_SCHEMA), now, settings.drift.window_days
        )


@task(timeout_seconds=900, persist_result=False)
def compare(champion: ModelVersion, window: pa.Table) -> DriftReport:
    """Judge the window against the champion's snapshot and write Evidently's report."""
    settings = load_settings()
    reference = find(settings.folder("snapshots"), champion.snapshot).table()
    folder = settings.folder("reports", "drift", datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S"))
    return watch(reference, window, settings.drift, folder)
