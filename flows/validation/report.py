"""What validation found, for people and for the flow."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """An expectation that was not met."""

    model_config = ConfigDict(frozen=True)

    suite: str
    expectation: str
    """Great Expectations' name of it, such as `expect_column_values_to_be_in_set`."""
    columns: tuple[str, ...]
    severity: Literal["critical", "warning"]
    description: str
    """What was expected, in words; holds no user text."""
    observed: str
    """What was found, in words and numbers; holds no user text."""
    unexpected: int | None
    """How many rows did not meet it; None where it concerns the table as a whole."""
    examples: tuple[str, ...]
    """A few of those rows as JSON. They hold user text: show them in an artifact, never in a log."""

    @property
    def summary(self) -> str:
        """Expectation and observation in one line, fit for a log."""
        return f"{self.description}: {self.observed}"


class ValidationReport(BaseModel):
    """The verdict on one table or snapshot."""

    model_config = ConfigDict(frozen=True)

    subject: str
    checked: int
    """Expectations that were evaluated."""
    failures: tuple[Finding, ...]
    """Critical expectations that were not met; any of them stops the run."""
    warnings: tuple[Finding, ...]
    data_docs: Path
    """`index.html` of the data docs."""

    @property
    def passed(self) -> bool:
        """Whether no critical expectation failed."""
        return not self.failures

    @property
    def title(self) -> str:
        """The verdict in one line."""
        verdict = "passed" if self.passed else "failed: the run stops before training"
        return f"Validation of {self.subject} {verdict}"

    def to_markdown(self) -> str:
        """Return the report for an artifact: verdict, table, and examples as code, so that no text acts as markup."""
        met = self.checked - len(self.failures) - len(self.warnings)
        lines = [
            f"# {self.title}",
            f"Expectations met: {met} of {self.checked}. Critical failures: {len(self.failures)}. "
            f"Warnings: {len(self.warnings)}.",
        ]
        findings = [*self.failures, *self.warnings]
        if findings:
            rows = [f"| {finding.severity} | {finding.description} | {finding.observed} |" for finding in findings]
            lines.append("\n".join(["| severity | expected | observed |", "| --- | --- | --- |", *rows]))
        for finding in findings:
            if finding.examples:
                lines += [f"### {finding.description}", "\n".join(["~~~~json", *finding.examples, "~~~~"])]
        return "\n\n".join(lines) + "\n"
