"""Compare the newest weeks of pairs, and of live queries, with what the champion was trained on."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.contracts.model import ModelVersion
from flows.contracts.pair import PAIR_SCHEMA
from flows.drift import (
    DriftReport,
    Encode,
    Profile,
    Score,
    Traffic,
    UnreadableProfileError,
    Window,
    reservoir,
    select_window,
    watch,
)
from flows.drift.gauges import drift_metrics, write_gauges
from flows.drift.history import write_history
from flows.feedback import read_predictions
from flows.orchestration.events import announce
from flows.orchestration.retries import HEALING
from flows.registry import open_registry
from flows.settings import load_settings
from flows.snapshot import NoPairsError, SnapshotError, clean, find
from flows.store import open_store

NO_CHAMPION = "no champion yet"
NO_REFERENCE = "the champion's snapshot is gone"

KEYS: dict[Traffic, str] = {"labelled pairs": "drift", "live traffic": "drift-live"}
"""Of the artifacts."""


@flow(name="watch-drift", timeout_seconds=1800)
def watch_drift(trigger: bool = True) -> str:
    """Compare the newest window with the champion's snapshot and return the verdict on the labelled pairs.

    The verdict is `green`, `amber`, `red`, `not enough data`, `no champion yet` or
    `the champion's snapshot is gone`, which must not keep the loop from training the next one. Where several
    windows are red, `reranker.drift.detected` is emitted. The artifacts `drift` and `drift-live` tell what moved.

    Args:
        trigger: Emit the event on an alarm; the loop itself, which trains anyway, does without.
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
    profile = fit_profile(champion)
    now = datetime.now(UTC)
    live = load_settings().prediction_log.is_dir()
    traffics: tuple[Traffic, ...] = ("labelled pairs", "live traffic") if live else ("labelled pairs",)
    reports: list[DriftReport] = []
    for traffic in traffics:
        reports.append(compare(champion, profile, traffic, now))
        show(reports[-1])
        if reports[-1].alarm and trigger:
            raise_alarm(champion, reports[-1])
    publish(champion, reports, now)
    return reports[0].verdict


@task(persist_result=False, **HEALING)
def find_champion() -> ModelVersion | None:
    """Ask the registry for the champion."""
    return open_registry(load_settings()).champion()


@task(timeout_seconds=1800, persist_result=False)
def fit_profile(champion: ModelVersion) -> Path:
    """Learn what is ordinary from the champion's snapshot, once for each champion; return where that is kept."""
    settings = load_settings()
    name = f"{champion.snapshot[:16]}-{champion.digest[:16]}-{settings.drift.profile_digest()}.npz"
    path = settings.folder("drift") / name
    try:
        Profile.load(path)
    except UnreadableProfileError:
        snapshot = find(settings.folder("snapshots"), champion.snapshot)
        Profile.fit(snapshot.table(), settings.drift, _encode(), _score(champion)).save(path)
        get_run_logger().info("The reference of version %d is profiled: %s", champion.version, path)
    return path


@task(timeout_seconds=1800, persist_result=False)
def compare(champion: ModelVersion, profile: Path, traffic: Traffic, now: datetime) -> DriftReport:
    """Judge the newest windows against the profile and write Evidently's report."""
    settings = load_settings()
    folder = settings.folder("reports", KEYS[traffic], now.strftime("%Y-%m-%dT%H%M%S"))
    read = _read_pairs if traffic == "labelled pairs" else _read_queries
    score = _score(champion) if traffic == "labelled pairs" else None
    return watch(Profile.load(profile), read, now, settings.drift, folder, _encode(), score, traffic=traffic)


def show(report: DriftReport) -> None:
    """Put the verdict and the way to its evidence into the run."""
    key = KEYS[report.traffic]
    alarm = "alarm, " if report.alarm else ""
    description = f"{alarm}{report.verdict}: {report.reason}"
    create_markdown_artifact(key=key, markdown=report.to_markdown(), description=description)
    if report.report:
        link = load_settings().report_url(report.report)
        create_link_artifact(key=f"{key}-report", link=link, link_text="Evidently's report")


def raise_alarm(champion: ModelVersion, report: DriftReport) -> None:
    """Tell whoever listens, such as the automation that starts the loop."""
    announce(
        "reranker.drift.detected",
        f"reranker.model.{champion.version}",
        traffic=report.traffic,
        channels=[channel.name for channel in report.channels if channel.drifted],
        reason=report.reason,
    )


@task(persist_result=False, **HEALING)
def publish(champion: ModelVersion, reports: list[DriftReport], now: datetime) -> None:
    """Add the reports to the pictures of the last weeks, the curves of the version in MLflow and the gauges."""
    settings = load_settings()
    for report in reports:
        folder = settings.folder("reports", KEYS[report.traffic])
        page = write_history(folder, report.traffic, now, settings.drift.history_weeks)
        if page:
            link = settings.report_url(page)
            key = f"{KEYS[report.traffic]}-history"
            create_link_artifact(key=key, link=link, link_text=f"{report.traffic.capitalize()} over the last weeks")
        open_registry(settings).measure(champion.version, drift_metrics(report), now)
    write_gauges(reports, settings.folder("reports", "drift") / "metrics.prom", now)


def _encode() -> Encode | None:
    settings = load_settings()
    if not settings.drift.max_embedded_queries:
        return None
    from flows.retrieval.bi_encoder import BiEncoder

    return BiEncoder(settings.retrieval.bi_encoder).embed


def _score(champion: ModelVersion) -> Score | None:
    settings = load_settings()
    if not settings.drift.max_scored_rows:
        return None
    from flows.training import CrossEncoderScorer

    return CrossEncoderScorer(open_registry(settings).fetch(champion.version, settings.folder("models"))).score


def _read_pairs(until: datetime) -> Window:
    """Read the labelled pairs of one window from the store, cleaned as those of a snapshot are."""
    settings = load_settings()
    since = until - timedelta(days=settings.drift.window_days)
    with open_store(settings.store, settings.file("labels.db")) as store:
        batches = store.scan(since=since, until=until)
        pairs, seen = reservoir(batches, PAIR_SCHEMA, settings.drift.max_rows, settings.drift.seed)
    sampled_from = seen if seen > pairs.num_rows else None
    with suppress(NoPairsError):  # then it has nothing that can be ranked, which the report says
        pairs = clean(pairs.to_batches(), settings.cleaning, until).table
    return Window(pairs, sampled_from)


def _read_queries(until: datetime) -> Window:
    """Read what was asked of the service in one window. Its documents are left out.

    A snapshot's documents are labelled ones, those of live traffic whatever a retriever found: they always differ.
    """
    settings = load_settings()
    since = until - timedelta(days=settings.drift.window_days)
    asked = [
        (found.query, found.at)
        for found in read_predictions(settings.prediction_log, since)
        if found.at <= until and 0 < len(found.query) <= settings.cleaning.max_query_characters
    ]
    schema = pa.schema([PAIR_SCHEMA.field("query"), PAIR_SCHEMA.field("created_at")])
    table = pa.table([[query for query, _ in asked], [at for _, at in asked]], schema=schema)
    pairs, seen = reservoir(table.to_batches(), schema, settings.drift.max_rows, settings.drift.seed)
    sampled_from = seen if seen > pairs.num_rows else None
    return Window(select_window(pairs, until, settings.drift.window_days), sampled_from)
