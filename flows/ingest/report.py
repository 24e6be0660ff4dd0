"""The count of every row of an import."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class ImportReport:
    """What became of the rows of a file: read = kept + merged + quarantined, whenever it is shown."""

    origin: str
    read: int = 0
    """Rows of the file: lines that are not empty, or rows of Parquet. Of BEIR folders, the judgements, and the
    lines of corpus and queries that could not be used."""
    kept: int = 0
    """New in the store."""
    merged: int = 0
    """In the store already, or more than once in the file."""
    quarantined: int = 0
    """In the store's quarantine, with a reason."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Quarantined rows for each reason."""

    def check(self) -> None:
        """Raise AssertionError when a row is unaccounted for, which is a fault of the import itself."""
        if self.read != self.kept + self.merged + self.quarantined or self.quarantined != self.reasons.total():
            raise AssertionError(f"rows of {self.origin} are unaccounted for: {self}")

    def render(self) -> str:
        """Return the counts and reasons as lines of text, the most frequent reason first."""
        width = len(f"{self.read:,}")
        lines = [f"{self.origin}: {self.read:,} rows read"]
        for label, number in (("kept", self.kept), ("merged", self.merged), ("quarantined", self.quarantined)):
            lines.append(f"  {number:>{width},} {label}")
        lines += [f"    {number:>{width},} {reason}" for reason, number in self.reasons.most_common()]
        return "\n".join(lines)
