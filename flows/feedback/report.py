"""The count of every vote."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class FeedbackReport(BaseModel):
    """What became of the votes; read + waited = kept + merged + quarantined + waiting."""

    model_config = ConfigDict(frozen=True)

    read: int = 0
    """Lines that are new since the last time."""
    waited: int = 0
    """Votes of earlier times that waited for their request's record."""
    kept: int = 0
    """Pairs that are new in the store."""
    merged: int = 0
    """Pairs that were in the store with the same label; they have the newest date now."""
    quarantined: int = 0
    waiting: int = 0
    """Votes whose request is not on record yet; they are kept for the next time."""
    torn: int = 0
    """Lines cut short by the end of their writer, which never acknowledged them; not counted in `read`."""
    reasons: Mapping[str, int] = {}
    """Quarantined votes for each reason."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.read + self.waited != self.kept + self.merged + self.quarantined + self.waiting:
            raise ValueError(f"votes are unaccounted for: {self!r}")
        return self

    def to_markdown(self) -> str:
        """Return the counts and reasons as a page."""
        words = {
            "read": "votes read",
            "waited": "votes that had waited for the record of their request",
            "kept": "new pairs",
            "merged": "pairs that were there already",
            "quarantined": "votes in quarantine (`reranker quarantine` shows them)",
            "waiting": "votes that wait for the record of their request",
            "torn": "lines cut short by the end of a worker, never acknowledged",
        }
        counts = "\n".join(f"| {label} | {getattr(self, name):,} |" for name, label in words.items())
        reasons = "\n".join(f"- {number:,}: {reason}" for reason, number in self.reasons.items())
        return f"# Feedback\n\n| | |\n|---|--:|\n{counts}\n\n{reasons}\n"
