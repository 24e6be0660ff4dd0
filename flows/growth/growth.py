"""Pairs in the store now, against those that were read when a snapshot was frozen."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.contracts.snapshot import SnapshotManifest
from flows.settings import GrowthSettings

_SENTENCES = {
    "grown": "The labelled pairs have changed by {percent:+.1f} % since the champion's snapshot.",
    "steady": "The labelled pairs have changed by {percent:+.1f} % since the champion's snapshot; "
    "{limit:g} % are asked for.",
    "tried already": "The labelled pairs have changed by {percent:+.1f} % since the champion's snapshot, but the "
    "newest version had most of them and is not champion; {limit:g} % more than it had are asked for.",
}


class GrowthReport(BaseModel):
    """How much the labelled pairs have grown. Counted are pairs as they lie in the store, before cleaning."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    verdict: Literal["grown", "steady", "tried already"]
    pairs: int
    """In the store now."""
    champion_pairs: int
    """In the store when the champion's snapshot was frozen."""
    newest_pairs: int
    """In the store when the newest version's snapshot was frozen; the champion's where they are one."""
    share: float
    """Growth since the champion's snapshot: 0.1 is a tenth more; negative after removals."""
    limit: float
    """`share` from which on it is announced."""

    @property
    def grown(self) -> bool:
        """Whether it is worth training again."""
        return self.verdict == "grown"

    def sentence(self) -> str:
        """Say it in one plain sentence."""
        return _SENTENCES[self.verdict].format(percent=100 * self.share, limit=100 * self.limit)

    def to_markdown(self) -> str:
        """Return the page for the run."""
        rows = [
            ("when the champion's snapshot was frozen", self.champion_pairs),
            ("when the newest version's snapshot was frozen", self.newest_pairs),
            ("now", self.pairs),
        ]
        table = "\n".join(f"| {when} | {pairs:,} |" for when, pairs in rows)
        return f"# Growth: {self.verdict}\n\n{self.sentence()}\n\n| pairs in the store | |\n|---|---:|\n{table}\n"


def measure(
    pairs: int, champion: SnapshotManifest, newest: SnapshotManifest | None, settings: GrowthSettings
) -> GrowthReport:
    """Compare how many pairs the store holds with how many it held when the snapshots were frozen.

    Like with like: a snapshot holds the pairs that cleaning kept, the store all of them, so what counts is what
    cleaning read. (Content that was frozen twice has the count of the first time: the pairs that came between were
    of no use, and count as growth.)

    Args:
        pairs: In the store now.
        champion: Of the snapshot that the champion was trained on.
        newest: Of the snapshot of the newest version, champion or not: growth that was tried and did not help is no
            reason to try it again. None where it is gone.
        settings: The limit.
    """
    before = champion.cleaning.read
    tried = before if newest is None else newest.cleaning.read
    share = pairs / max(before, 1) - 1
    enough = _has_grown(pairs, before, settings.share)
    verdict: Literal["grown", "steady", "tried already"] = "steady"
    if enough:
        verdict = "grown" if _has_grown(pairs, tried, settings.share) else "tried already"
    return GrowthReport(
        verdict=verdict,
        pairs=pairs,
        champion_pairs=before,
        newest_pairs=tried,
        share=share,
        limit=settings.share,
    )


def _has_grown(pairs: int, before: int, share: float) -> bool:
    return pairs - before >= share * before - 1e-9 and pairs > before  # 110 of 100 is a tenth, whatever floats say
