"""Compare the champion's NDCG@10 on freshly labelled pairs with its own record."""

from datetime import timedelta

import pandas as pd
import pyarrow as pa
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.contracts.model import ModelVersion
from flows.contracts.snapshot import Snapshot
from flows.evaluation import Evaluation, evaluate
from flows.orchestration.events import announce
from flows.orchestration.finished import kept
from flows.orchestration.retries import HEALING
from flows.quality import QualityReport, Selection, judge, select
from flows.registry import RegistryError, RegistryUnavailable, open_registry
from flows.settings import load_settings
from flows.snapshot import SnapshotError, content_digest, find
from flows.store import open_store
from flows.training import CrossEncoderScorer

NO_CHAMPION = "no champion yet"
NO_SNAPSHOT = "the champion's snapshot is gone"
NO_RECORD = "the champion has no record"


@flow(name="watch-quality", timeout_seconds=7200)
def watch_quality() -> str:
    """Judge the champion on freshly labelled queries against its own record and return the verdict.

    The verdict is `green`, `amber`, `red`, `not enough data`, `no champion yet`, `the champion's snapshot is gone`
    or `the champion has no record`; red emits `reranker.quality.fallen`. The artifact `quality` shows the numbers.
    """
    champion = find_champion()
    if champion is None:
        get_run_logger().info("There is no champion yet, so there is no quality to fall.")
        return NO_CHAMPION
    try:
        snapshot = find(load_settings().folder("snapshots"), champion.snapshot)
    except SnapshotError as failure:
        get_run_logger().warning("Version %d cannot be watched: %s", champion.version, failure)
        return NO_SNAPSHOT
    record = read_record(champion)
    if record is None:
        return NO_RECORD
    selection = select_fresh(snapshot)
    measured = measure_fresh(champion, selection.pairs) if selection.pairs is not None else None
    report = compare(selection, record, measured)
    show(report, champion)
    return report.verdict


@task(persist_result=False, **HEALING)
def find_champion() -> ModelVersion | None:
    """Ask the registry for the champion."""
    return open_registry(load_settings()).champion()


@task(persist_result=False, **HEALING)
def read_record(champion: ModelVersion) -> pd.DataFrame | None:
    """Fetch the champion's per-query metrics on its snapshot's test split, None where none were kept."""
    try:
        return open_registry(load_settings()).evidence(champion.version, "challenger.parquet")
    except RegistryUnavailable:
        raise
    except RegistryError as failure:
        get_run_logger().warning("Version %d cannot be watched: %s", champion.version, failure)
        return None


@task(timeout_seconds=1800, persist_result=False, **HEALING)
def select_fresh(snapshot: Snapshot) -> Selection:
    """Read the pairs that are newer than the champion's snapshot and choose the queries to judge."""
    settings = load_settings()
    since = snapshot.manifest.last_pair_at + timedelta(microseconds=1)
    with open_store(settings.store, settings.file("labels.db")) as store:
        return select(store.scan(since=since), snapshot, settings.quality, settings.cleaning)


def measure_fresh(champion: ModelVersion, pairs: pa.Table) -> Evaluation:
    """Measure the champion on fresh lists, once for the same lists."""
    measured = kept(score_fresh, "measured", "pickle", model=champion.digest, pairs=content_digest(pairs))
    return measured(champion, pairs)


@task(timeout_seconds=3600, **HEALING)
def score_fresh(champion: ModelVersion, pairs: pa.Table) -> Evaluation:
    """Score the fresh lists with the champion."""
    settings = load_settings()
    folder = open_registry(settings).fetch(champion.version, settings.folder("models"))
    return evaluate(pairs, CrossEncoderScorer(folder, name=f"version {champion.version}"))


@task(persist_result=False)
def compare(selection: Selection, record: pd.DataFrame, measured: Evaluation | None) -> QualityReport:
    """Hold the fresh lists' metrics against the record."""
    fresh = measured.per_query if measured is not None else None
    return judge(selection, record, fresh, load_settings().quality)


def show(report: QualityReport, champion: ModelVersion) -> None:
    """Put the numbers into the run, and announce a fall."""
    description = f"{report.verdict}: {report.reason}"
    create_markdown_artifact(key="quality", markdown=report.to_markdown(), description=description)
    get_run_logger().info(description)
    if report.fallen:
        numbers = report.model_dump(include={"queries", "record_ndcg", "fresh_ndcg", "drop", "p_value", "threshold"})
        announce("reranker.quality.fallen", f"reranker.model.{champion.version}", reason=report.reason, **numbers)
