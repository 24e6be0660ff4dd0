"""The notice of the result: numbers, names of versions and addresses; never a word that a user wrote."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from flows.contracts.outcome import Outcome

SHOWN = ("ndcg@10", "mrr@10", "map@10")


class Step(BaseModel):
    """One flow of the run."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: str
    seconds: float = Field(description="At work; waiting for a person does not count.")


class Side(BaseModel):
    """A version, and where it can be looked at."""

    model_config = ConfigDict(frozen=True)

    version: int
    page: str | None = Field(description="In MLflow's UI.")


class Notice(BaseModel):
    """What a run of the loop came to, as far as it is known: a run that broke off has no outcome."""

    model_config = ConfigDict(frozen=True)

    run: str
    state: str = Field(description="Completed, Failed, Crashed, Cancelled or TimedOut.")
    failure: str | None = Field(description="Name of the exception; its words may be a user's and stay in the run.")
    page: str | None = Field(description="The run in Prefect's UI.")
    outcome: Outcome | None
    champion: Side | None
    challenger: Side | None
    seconds: float = Field(description="From the start to the end of the run, waiting included.")
    steps: Sequence[Step]

    @property
    def compute_seconds(self) -> float:
        """How long the steps were at work."""
        return sum(step.seconds for step in self.steps)


def headline(notice: Notice) -> str:
    """Return the notice in one line of plain text."""
    if notice.outcome is None:
        reason = f" ({notice.failure})" if notice.failure else ""
        return f"Reranker: {notice.run} ended as {notice.state}{reason}; the champion is {_version(notice.champion)}"
    verdict, challenger = notice.outcome.verdict, notice.outcome.challenger
    gain = _gain(notice.outcome.before, notice.outcome.after)
    return (
        f"Reranker: {verdict} for version {challenger}{gain}; the champion is "
        f"{_version(notice.champion)} ({notice.run})"
    )


def to_markdown(notice: Notice) -> str:
    """Return the notice as Markdown that also reads well as plain text."""
    parts = [f"# {headline(notice)}"]
    if notice.outcome is not None and notice.outcome.before:
        rows = [
            f"| {name} | {notice.outcome.before[name]:.4f} | {notice.outcome.after[name]:.4f} |"
            for name in SHOWN
            if name in notice.outcome.before and name in notice.outcome.after
        ]
        parts.append("\n".join(["| metric | before | after |", "|---|---:|---:|", *rows]))
    if notice.failure is not None:
        last = next((step.name for step in reversed(notice.steps) if step.state != "Completed"), None)
        where = f" in {last}" if last else ""
        parts.append(f"It ended with {notice.failure}{where}. What was said of it stands in the run.")
    parts.append("\n".join(_places(notice)))
    steps = ", ".join(f"{step.name} {_duration(step.seconds)}" for step in notice.steps)
    parts.append(
        f"It took {_duration(notice.seconds)}, {_duration(notice.compute_seconds)} of them at work on this project's "
        f"own machines, for which nothing is billed{f': {steps}' if steps else ''}."
    )
    return "\n\n".join(parts) + "\n"


def _places(notice: Notice) -> list[str]:
    places = [f"- champion: {_version(notice.champion)}{_at(notice.champion)}"]
    if notice.challenger is not None and notice.challenger != notice.champion:
        places.append(f"- challenger: {_version(notice.challenger)}{_at(notice.challenger)}")
    if notice.outcome is not None:
        places.append(f"- snapshot: {notice.outcome.snapshot}, because of {notice.outcome.cause}")
        if notice.outcome.service:
            places.append(f"- service: {notice.outcome.service}")
    return [*places, f"- run: {notice.run}{f', {notice.page}' if notice.page else ''}"]


def _gain(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    if SHOWN[0] not in before or SHOWN[0] not in after:
        return ""
    return f", NDCG@10 {before[SHOWN[0]]:.3f} -> {after[SHOWN[0]]:.3f}"


def _version(side: Side | None) -> str:
    return f"version {side.version}" if side else "not known"


def _at(side: Side | None) -> str:
    return f", {side.page}" if side and side.page else ""


def _duration(seconds: float) -> str:
    """Return hours, minutes and seconds.

    >>> _duration(3725.4), _duration(9.6)
    ('1:02:05', '10 s')
    """
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
