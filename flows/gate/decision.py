"""What the gate says, and all that it says it on."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.gate.contender import Costs
from flows.gate.evidence import Evidence
from flows.settings import GateSettings

Verdict = Literal["promote", "reject", "cannot-tell"]
About = Literal["queries", "gain", "harm", "costs"]
"""`gain` can fail for want of queries; `harm` and `costs` were seen."""


class Comparison(BaseModel):
    """One metric on both sides: means over the same queries."""

    model_config = ConfigDict(frozen=True)

    metric: str
    challenger: float
    incumbent: float
    difference: float
    """Challenger less incumbent."""


class Rule(BaseModel):
    """One condition, and what was found."""

    model_config = ConfigDict(frozen=True)

    name: str
    about: About
    demand: str
    """In words, for people."""
    observed: float
    limit: float
    passed: bool


class Slice(BaseModel):
    """The queries that have something in common."""

    model_config = ConfigDict(frozen=True)

    column: str
    """What is looked at, such as "source"."""
    bucket: str
    queries: int
    difference: float
    """Of NDCG@10, challenger less incumbent."""
    p_value: float | None
    """How often chance makes any slice fall as surely as this one, where none is worse; None where too small."""
    vetoed: bool
    """It is large enough, falls by more than the setting, and by more than chance explains."""


class Judgement(BaseModel):
    """One challenger against the incumbent."""

    model_config = ConfigDict(frozen=True)

    challenger: str
    verdict: Verdict
    rules: tuple[Rule, ...]
    comparisons: tuple[Comparison, ...]
    evidence: tuple[Evidence, ...]
    """How sure the differences of the judged metrics are."""
    slices: tuple[Slice, ...]
    queries_needed: int
    """So many test queries see a true gain of `detectable_gain` with probability `power`."""
    costs: Costs | None

    @property
    def gain(self) -> float:
        """Difference of NDCG@10."""
        return next(c.difference for c in self.comparisons if c.metric == "ndcg@10")

    @property
    def failed(self) -> tuple[Rule, ...]:
        """The rules that did not pass."""
        return tuple(rule for rule in self.rules if not rule.passed)


class Decision(BaseModel):
    """What the gate says, and why."""

    model_config = ConfigDict(frozen=True)

    settings: GateSettings
    """What was asked for, and in which mode."""
    verdict: Verdict | Literal["unjudged"]
    """`cannot-tell` means no; `unjudged` is what a disabled gate says."""
    winner: str | None
    """The challenger that passed, and the preferred one of several; of a disabled gate, the preferred of all."""
    incumbent: str
    incumbent_costs: Costs | None
    snapshot: str
    """Digest of the snapshot whose test split was judged."""
    queries: int
    judgements: tuple[Judgement, ...]
    """One a challenger, in the given order; none where the gate is disabled."""

    @property
    def mode(self) -> str:
        """Enabled, dry_run or disabled."""
        return self.settings.mode

    @property
    def promoted(self) -> bool:
        """Whether the winner takes over. In a dry run nobody does, whatever the verdict."""
        return self.winner is not None and self.settings.mode != "dry_run"

    @property
    def leading(self) -> Judgement | None:
        """The winner's judgement; without a winner, the one that gains most, of the undecided if there are any."""
        undecided = [j for j in self.judgements if j.verdict == "cannot-tell"]
        won = [j for j in self.judgements if j.challenger == self.winner]
        return max(won or undecided or self.judgements, key=lambda j: j.gain, default=None)

    @property
    def queries_needed(self) -> int | None:
        """How many test queries would tell, where these could not."""
        return self.leading.queries_needed if self.leading and self.verdict == "cannot-tell" else None
