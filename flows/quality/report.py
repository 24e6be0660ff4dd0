"""What the watch found, for the flow and for people."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["green", "amber", "red", "not enough data"]


class _Model(BaseModel):
    """Frozen, and refuses NaN: a number that is not one never reaches a report."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class KindResult(_Model):
    """Lists of one kind, such as "1 of 12-15": relevant candidates of candidates."""

    kind: str
    queries: int
    """Fresh ones."""
    record_queries: int
    fresh_ndcg: float
    record_ndcg: float
    drop: float
    """Of NDCG@10 corrected for chance."""


class QualityReport(_Model):
    """The verdict and its evidence.

    - red: quality fell by more than chance explains, and by enough to matter.
    - amber: it fell certainly but little, or much but less than certainly.
    - not enough data: too few fresh queries that can be compared; the numbers are None.
    """

    verdict: Verdict
    reason: str
    comparable: int
    """Fresh queries of a kind that the record knows."""
    unlike: int
    """Fresh queries of other kinds, which are not compared."""
    look: int
    """The how manieth judgement of this champion, 0 for none: one whenever the fresh queries have doubled."""
    min_drop: float
    queries: int = 0
    """Judged: the oldest of the comparable ones."""
    record_queries: int = 0
    """They are held against."""
    record_ndcg: float | None = None
    """Mean NDCG@10 of the record, its kinds of list weighed as they stand among the fresh queries."""
    fresh_ndcg: float | None = None
    drop: float | None = None
    """Of NDCG@10 corrected for chance: positive is worse."""
    p_value: float | None = None
    threshold: float | None = None
    """Which the p-value must not exceed: this look's share of the false alarm rate."""
    kinds: tuple[KindResult, ...] = ()

    @property
    def fallen(self) -> bool:
        """Whether this is an alarm."""
        return self.verdict == "red"

    def to_markdown(self) -> str:
        """Return the report for a Prefect artifact."""
        parts = [f"# Quality: {self.verdict}", self.reason]
        if self.kinds:
            parts += [self._numbers(), "## Kinds of list", self._kinds()]
        return "\n\n".join(parts) + "\n"

    def _numbers(self) -> str:
        rows = [
            ("NDCG@10 on the record", f"{self.record_ndcg:.4f}"),
            ("NDCG@10 on fresh queries", f"{self.fresh_ndcg:.4f}"),
            ("drop, corrected for chance", f"{self.drop:+.4f} (an alarm from {self.min_drop:g} on)"),
            ("p-value", f"{self.p_value:.3g} (an alarm up to {self.threshold:.3g})"),
            ("fresh queries judged", f"{self.queries:,} of {self.comparable:,} (look {self.look})"),
            ("recorded queries", f"{self.record_queries:,}"),
            ("fresh queries of kinds without a record", f"{self.unlike:,}"),
        ]
        return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)])

    def _kinds(self) -> str:
        lines = [
            "| relevant of candidates | fresh queries | recorded | NDCG@10 fresh | recorded | drop, corrected |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for kind in sorted(self.kinds, key=lambda k: -k.queries):
            numbers = f"{kind.fresh_ndcg:.4f} | {kind.record_ndcg:.4f} | {kind.drop:+.4f}"
            lines.append(f"| {kind.kind} | {kind.queries:,} | {kind.record_queries:,} | {numbers} |")
        return "\n".join(lines)
