"""What the watch found, for the flow, for people and for machines."""

from datetime import datetime
from html import escape
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from flows.drift.period import Period

Traffic = Literal["labelled pairs", "live traffic"]
Verdict = Literal["green", "amber", "red", "not enough data"]


class _Model(BaseModel):
    """Frozen, and refuses NaN: a number that is not one never reaches a report."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Measure(_Model):
    """One statistic of a channel."""

    test: str
    statistic: float
    threshold: float
    """What the statistic must pass to count as drift, after Holm's correction; in the fixed mode, the setting."""
    fixed: bool | None = None
    """What the fixed threshold says; None where the statistic is not on its scale."""


class ChannelResult(_Model):
    """One channel of the watch."""

    name: str
    measures: tuple[Measure, ...] = ()
    """Empty where a side lacks the column."""
    p_value: float | None = None
    """Share of quiet windows that differ at least as much; before the correction."""
    dispersion: float | None = None
    """How much more stretches of real history differ than random draws; the threshold contains it."""
    queries: int = 0
    """Of the window, that were measured: slow channels take a sample."""
    drifted: bool = False
    """Whether any of its statistics passed its threshold."""


class WatchedWindow(_Model):
    """One of the windows that an alarm needs several of."""

    until: datetime
    verdict: Verdict
    queries: int


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

    @classmethod
    def of(cls, whole: Period, rankable: Period, compared: Period) -> Self:
        """Count a side: as it came, without queries that cannot be ranked, and as it was compared."""
        first, last = whole.span()
        return cls(
            rows=whole.rows.num_rows,
            queries=whole.queries,
            unrankable_queries=whole.queries - rankable.queries,
            compared_rows=compared.rows.num_rows,
            compared_queries=compared.queries,
            first=first,
            last=last,
        )


class DriftReport(_Model):
    """The verdict on one window, and its evidence.

    - red: at least one channel passed its threshold; in quiet times this happens at `false_alarm_rate`.
    - amber: none did, but one would have, had it been the only channel.
    - not enough data: a side is too small or too empty to say anything.
    """

    traffic: Traffic = "labelled pairs"
    verdict: Verdict
    reason: str
    reference: PeriodSummary
    current: PeriodSummary
    mode: Literal["calibrated", "fixed"] = "calibrated"
    false_alarm_rate: float
    quiet_windows: int = 0
    """Drawn from the reference to set the thresholds."""
    fixed_threshold: float = 0.25
    channels: tuple[ChannelResult, ...] = ()
    sources: tuple[Shift, ...] = ()
    words: tuple[Shift, ...] = ()
    notes: tuple[str, ...] = ()
    """What limits this verdict, in plain words."""
    windows: tuple[WatchedWindow, ...] = ()
    """The newest windows, this one first."""
    alarm_windows: int = 1
    """So many of `windows` must be red for an alarm, this one among them."""
    report: Path | None = None
    """Evidently's page; None where nothing could be compared."""

    @property
    def drifted(self) -> bool:
        """Whether this window is red."""
        return self.verdict == "red"

    @property
    def alarm(self) -> bool:
        """Whether this window is red and enough of the watched ones are."""
        red = sum(window.verdict == "red" for window in self.windows) if self.windows else int(self.drifted)
        return self.drifted and red >= self.alarm_windows

    @property
    def fixed_drifted(self) -> tuple[str, ...]:
        """The statistics that the fixed threshold would have called drift, such as "query text (PSI)"."""
        return tuple(f"{channel.name} ({m.test})" for channel in self.channels for m in channel.measures if m.fixed)

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(self.model_dump_json(indent=2), "utf-8")

    def to_markdown(self) -> str:
        """Return the report for a Prefect artifact: verdict, what moved, the channels, the limits."""
        parts = [f"# Drift of {self.traffic}: {self.verdict}", self.reason, self._alarm(), self._sides()]
        if self.sources or self.words:
            parts.append("## What moved\n\n" + "\n".join(f"- {s.sentence()}" for s in (*self.sources, *self.words)))
        if self.channels:
            parts.append("## Channels\n\n" + self._table())
            parts.append(self._fixed())
        if self.notes:
            parts.append("## Limits\n\n" + "\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(part for part in parts if part) + "\n"

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

    def _alarm(self) -> str:
        if not self.windows:
            return ""
        shown = ", ".join(f"{w.until:%Y-%m-%d}: {w.verdict} ({w.queries:,} queries)" for w in self.windows)
        rule = (
            f"An alarm needs {self.alarm_windows} red of the {len(self.windows)} newest windows, this one among them"
        )
        return f"{'**Alarm.** ' if self.alarm else ''}{rule}. Windows up to {shown}."

    def _fixed(self) -> str:
        said = f"drift in {', '.join(self.fixed_drifted)}" if self.fixed_drifted else "no drift"
        return (
            f"A fixed threshold of {self.fixed_threshold:g} on every distance between 0 and about 1 would have said: "
            f"{said}."
        )

    def _table(self) -> str:
        lines = ["| channel | test | statistic | threshold | p | queries | |", "|---|---|---:|---:|---:|---:|---|"]
        for channel in sorted(self.channels, key=lambda c: (not c.drifted, 2 if c.p_value is None else c.p_value)):
            if not channel.measures:
                lines.append(f"| {channel.name} | — | — | — | — | — | missing or empty on a side |")
            for m in channel.measures:
                mark = "**drift**" if m.statistic > m.threshold else ""
                p = "—" if channel.p_value is None else f"{channel.p_value:.3g}"
                numbers = f"{m.statistic:.4g} | {m.threshold:.4g} | {p} | {channel.queries:,} | {mark}"
                lines.append(f"| {channel.name} | {m.test} | {numbers} |")
        return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def _plain(name: str) -> str:
    clean = escape(" ".join(name.split()) or "(empty)", quote=False)
    return "".join("\\" + c if c in "\\`*_[]|#" else c for c in clean)
