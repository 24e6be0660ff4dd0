"""Check the labelled pairs, clean them and freeze a snapshot."""

import pyarrow as pa
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.orchestration.events import announce
from flows.orchestration.retries import HEALING
from flows.settings import load_settings
from flows.snapshot import describe, find, freeze
from flows.store import open_store
from flows.validation import ValidationReport, validate_pairs, validate_snapshot


class ValidationFailed(Exception):
    """A critical expectation failed; the message names what failed."""


@flow(name="validate", timeout_seconds=3600)
def validate() -> str:
    """Check the labelled pairs with Great Expectations, clean them and freeze a snapshot; return its digest.

    Raises:
        ValidationFailed: a critical expectation failed, so nothing after this step runs. The artifact
            `validation` names what failed, with examples, and links the data docs.
    """
    pairs = read_pairs()
    publish(check_pairs(pairs), subject="reranker.labels")
    snapshot = freeze_snapshot(pairs)
    publish(check_snapshot(snapshot), subject=f"reranker.snapshot.{snapshot}")
    return snapshot


@task(timeout_seconds=1800, persist_result=False, **HEALING)
def read_pairs() -> pa.Table:
    """Read every labelled pair from the store."""
    settings = load_settings()
    with open_store(settings.store, settings.file("labels.db")) as store:
        pairs = pa.Table.from_batches(store.scan(), schema=PAIR_SCHEMA)
        quarantined = store.count_quarantined()
    get_run_logger().info(
        "Read %d pairs from the %s store; %d rows are in quarantine (`reranker quarantine` shows them).",
        pairs.num_rows,
        settings.store.kind,
        quarantined,
    )
    return pairs


@task(timeout_seconds=900, persist_result=False)
def check_pairs(pairs: pa.Table) -> ValidationReport:
    """Hold the pairs against their suite, before cleaning repairs anything."""
    settings = load_settings()
    return validate_pairs(pairs, settings.validation, settings.cleaning, settings.folder("reports", "validation"))


@task(timeout_seconds=1800, persist_result=False)
def freeze_snapshot(pairs: pa.Table) -> str:
    """Clean the pairs, split them by query and time, and freeze them under the digest of their content."""
    settings = load_settings()
    lineage = {"store": settings.store.kind}
    frozen = freeze(pairs.to_batches(), settings.cleaning, settings.folder("snapshots"), lineage)
    digest = frozen.snapshot.digest
    create_markdown_artifact(key="snapshot", markdown=describe(frozen), description=f"Snapshot {digest[:12]}")
    return digest


@task(timeout_seconds=900, persist_result=False)
def check_snapshot(digest: str) -> ValidationReport:
    """Hold the frozen pairs against their suite: above all, no query on two sides of the split."""
    settings = load_settings()
    snapshot: Snapshot = find(settings.folder("snapshots"), digest)
    return validate_snapshot(snapshot, settings.validation, settings.folder("reports", "validation"))


def publish(report: ValidationReport, subject: str) -> None:
    """Show the report in the run; stop the run, with an event, when a critical expectation failed."""
    verdict = "passed" if report.passed else "failed"
    data_docs = load_settings().report_url(report.data_docs)
    create_markdown_artifact(key="validation", markdown=report.to_markdown(), description=f"Validation {verdict}")
    create_link_artifact(key="data-docs", link=data_docs, link_text="Great Expectations data docs")
    for warning in report.warnings:
        get_run_logger().warning("A warning, the run goes on: %s (%s)", warning.description, warning.observed)
    if not report.passed:
        failures = [f"{failure.description} ({failure.observed})" for failure in report.failures]
        announce("reranker.validation.failed", subject, failures=failures, data_docs=data_docs)
        raise ValidationFailed(
            f"Critical expectations failed: {'; '.join(failures)}. Nothing was trained. Examples are in the artifact "
            f"`validation` and in the data docs: {data_docs}"
        )
