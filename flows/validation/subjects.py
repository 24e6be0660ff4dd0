"""The two things that are validated: the pairs of the store, and a frozen snapshot."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa

from flows.contracts.snapshot import SPLITS, Snapshot
from flows.settings import CleaningSettings, ValidationSettings
from flows.validation.data_docs import seal
from flows.validation.report import ValidationReport

if TYPE_CHECKING:
    from flows.validation.checkpoint import Checkpoint


def validate_pairs(
    table: pa.Table,
    settings: ValidationSettings,
    cleaning: CleaningSettings,
    folder: Path,
    now: datetime | None = None,
) -> ValidationReport:
    """Hold the pairs of the store against the suites of `expectations.labelled_pairs`, before they are cleaned.

    The columns come first: where one is missing or has another type, the rest is not evaluated. The data docs and
    `report.json` go to a new folder under `folder`. Broken data gives a failed report, not an exception.
    """
    from expectations import labelled_pairs as suites
    from flows.validation import frames
    from flows.validation.checkpoint import Check, Checkpoint

    now = now or datetime.now(UTC)
    site = _new_site(folder, "pairs", now)
    checkpoint = Checkpoint(site)
    if checkpoint.hold(Check(suites.columns(), frames.columns(table.schema), ("name",), "columns")):
        pairs = frames.pairs(table, now)
        queries = frames.queries(pairs)
        shown = ("query", "document", "relevance", "source", "created_at")
        checkpoint.hold(Check(suites.pairs(settings, cleaning), pairs, shown, "pairs"))
        checkpoint.hold(Check(suites.queries(settings, cleaning), queries, ("query", "candidates"), "queries"))
    return _report(f"{table.num_rows:,} labelled pairs", checkpoint, site)


def validate_snapshot(
    snapshot: Snapshot, settings: ValidationSettings, folder: Path, now: datetime | None = None
) -> ValidationReport:
    """Hold a snapshot against the suites of `expectations.snapshot`: above all, no query on two sides of the split.

    The ids are computed anew from the text, so that they need not be trusted. Data docs and `report.json` go to a
    new folder under `folder`.
    """
    from expectations import snapshot as suites
    from flows.validation import frames
    from flows.validation.checkpoint import Check, Checkpoint

    site = _new_site(folder, f"snapshot-{snapshot.digest[:12]}", now or datetime.now(UTC))
    pairs = frames.snapshot_pairs(snapshot.table())
    queries = frames.snapshot_queries(pairs)
    without_validation = snapshot.manifest.settings.get("validation_share") == 0
    expected = tuple(side for side in SPLITS if not (side == "validation" and without_validation))
    sides = frames.snapshot_sides(queries, expected)
    checkpoint = Checkpoint(site)
    checkpoint.hold(Check(suites.pairs(), pairs, ("query", "document", "relevance", "split"), "pairs"))
    checkpoint.hold(
        Check(suites.queries(settings), queries, ("query", "split", "candidates", "positives"), "queries")
    )
    checkpoint.hold(Check(suites.sides(settings), sides, ("split", "queries"), "sides"))
    return _report(f"snapshot {snapshot.digest[:12]}", checkpoint, site)


def _new_site(folder: Path, name: str, now: datetime) -> Path:
    site = Path(folder) / f"{now:%Y%m%dT%H%M%S}-{name}-{uuid4().hex[:6]}"
    site.mkdir(parents=True)
    return site


def _report(subject: str, checkpoint: "Checkpoint", site: Path) -> ValidationReport:
    checkpoint.write_data_docs()
    report = ValidationReport(
        subject=subject,
        checked=checkpoint.checked,
        failures=tuple(finding for finding in checkpoint.findings if finding.severity == "critical"),
        warnings=tuple(finding for finding in checkpoint.findings if finding.severity == "warning"),
        data_docs=site / "index.html",
    )
    seal(site, report.title, [*report.failures, *report.warnings])
    (site / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")
    return report
