"""What the watch found, for the flow, for people and for machines."""

from datetime import datetime
from html import escape
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["green", "amber", "red", "not enough data"]


class _Model(BaseModel):
    """Frozen, and refuses NaN: a number that is not one never reaches a report."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ChannelResult(_Model):
    """One channel of the watch. The numbers are None where a side lacks the column."""

    name: str
    test: str
    statistic: float | None = None
    threshold: float | None = None
    """What the statistic must pass to count as drift, after Holm's correction."""
    p_value: float | None = None
    """Share of quiet windows that differ at least as much; before the correction."""
    dispersion: float | None = None
    """How much more stretches of real history differ than random draws; the threshold contains it."""
    drifted: bool = False


class Shift(_Model):
    """A source or word whose share of the queries moved by more than chance."""

    kind: Literal["source", "query word", "document word"]
    name: str
    before: float
    """Share in the reference, 0..1."""
    now: float
    """Share in the window, 0..1."""

    @property
    def came(self) -> bool:
        """Whether the reference did not know it."""
        return self.before == 0

    @property
    def went(self) -> bool:
        """Whether the window does not have it any more."""
        return self.now == 0

    def sentence(self) -> str:
        """Say it in plain words, escaped for Markdown and HTML.

        >>> Shift(kind="source", name="torch", before=0, now=0.25).sentence()
        'Source **torch** is new: 25 % of the queries.'
        """
        name = f"**{_plain(self.name)}**"
        whole = {"source": "queries", "query word": "queries", "document word": "documents"}[self.kind]
        subject = f"Source {name}" if self.kind == "source" else f"The word {name}"
        if self.came:
            return f"{subject} is new: {_percent(self.now)} of the {whole}."
        if self.went:
            return f"{subject} is gone: it had {_percent(self.before)} of the {whole}."
        verb = "rose" if self.now > self.before else "fell"
        return f"{subject} {verb} from {_percent(self.before)} to {_percent(self.now)} of the {whole}."


class PeriodSummary(_Model):
    """How much one side held."""

    rows: int
    queries: int
    unrankable_queries: int
    """Without a relevant or without another document; a snapshot has none, so they are not compared."""
    compared_rows: int
    compared_queries: int
    """Fewer than `queries - unrankable_queries` where queries were sampled."""
    first: datetime | None
    last: datetime | None


class DriftReport(_Model):
    """The verdict and its evidence.

    - red: at least one channel passed its threshold; in quiet times this happens at `false_alarm_rate`.
    - amber: none did, but one would have, had it been the only channel.
    - not enough data: a side is too small or too empty to say anything.
    """

    verdict: Verdict
    reason: str
    reference: PeriodSummary
    current: PeriodSummary
    false_alarm_rate: float
    quiet_windows: int
    """Drawn from the reference to set the thresholds."""
    channels: tuple[ChannelResult, ...] = ()
    sources: tuple[Shift, ...] = ()
    words: tuple[Shift, ...] = ()
    notes: tuple[str, ...] = ()
    """What limits this verdict, in plain words."""
    report: Path | None = None
    """Evidently's page; None where nothing could be compared."""

    @property
    def drifted(self) -> bool:
        """Whether this is an alarm."""
        return self.verdict == "red"

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(self.model_dump_json(indent=2), "utf-8")

    def to_markdown(self) -> str:
        """Return the report for a Prefect artifact: verdict, what moved, the channels, the limits."""
        parts = [f"# Drift: {self.verdict}", self.reason, self._sides()]
        if self.sources or self.words:
            parts.append("## What moved\n\n" + "\n".join(f"- {s.sentence()}" for s in (*self.sources, *self.words)))
        if self.channels:
            parts.append("## Channels\n\n" + self._table())
        if self.notes:
            parts.append("## Limits\n\n" + "\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"

    def _sides(self) -> str:
        lines = ["| | rows | queries | from | to |", "|---|---:|---:|---|---|"]
        for name, side in (("reference", self.reference), ("window", self.current)):
            rows, queries = f"{side.rows:,}", f"{side.queries:,}"
            if side.compared_rows < side.rows:
                rows += f" ({side.compared_rows:,} compared)"
                queries += f" ({side.compared_queries:,} compared)"
            ends = [f"{end:%Y-%m-%d %H:%M} UTC" if end else "—" for end in (side.first, side.last)]
            lines.append(f"| {name} | {rows} | {queries} | {ends[0]} | {ends[1]} |")
        return "\n".join(lines)

    def _table(self) -> str:
        lines = ["| channel | test | statistic | threshold | p | |", "|---|---|---:|---:|---:|---|"]
        for channel in sorted(self.channels, key=lambda c: (not c.drifted, 2 if c.p_value is None else c.p_value)):
            if channel.statistic is None:
                numbers = "— | — | — | column missing or empty"
            else:
                mark = "**drift**" if channel.drifted else ""
                numbers = f"{channel.statistic:.4g} | {channel.threshold:.4g} | {channel.p_value:.3g} | {mark}"
            lines.append(f"| {channel.name} | {channel.test} | {numbers} |")
        return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def _plain(name: str) -> str:
    clean = escape(" ".join(name.split()) or "(empty)", quote=False)
    return "".join("\\" + c if c in "\\`*_[]|#" else c for c in clean)
