"""Hold labelled pairs and snapshots against their Great Expectations suites."""

from flows.validation.report import Finding, ValidationReport
from flows.validation.subjects import validate_pairs, validate_snapshot

__all__ = ["Finding", "ValidationReport", "validate_pairs", "validate_snapshot"]
