"""A snapshot in words, for the artifact of the run that froze it."""

from flows.contracts.snapshot import DROP_REASONS, SPLITS
from flows.snapshot.freezing import Frozen


def describe(frozen: Frozen) -> str:
    """Return Markdown: what the sides hold, and what became of every pair that was read."""
    manifest, counts = frozen.snapshot.manifest, frozen.counts
    new = (
        "Frozen now."
        if frozen.created
        else f"The same content was frozen on {manifest.created_at:%Y-%m-%d %H:%M} UTC."
    )
    sides = [
        f"| {side} | {held.queries:,} | {held.pairs:,} | {held.positives / held.pairs if held.pairs else 0:.1%} |"
        for side, held in ((side, manifest.splits[side]) for side in SPLITS)
    ]
    dropped = [
        f"| {DROP_REASONS[reason]} | {number:,} | {counts.dropped_queries.get(reason, '')} |"
        for reason, number in counts.dropped.items()
    ]
    return "\n".join(
        [
            f"# Snapshot {manifest.digest[:12]}",
            f"{new} Pairs from {manifest.first_pair_at:%Y-%m-%d} to {manifest.last_pair_at:%Y-%m-%d}, "
            f"{len(manifest.sources)} sources.",
            "",
            "| side | queries | pairs | positive |",
            "| --- | ---: | ---: | ---: |",
            *sides,
            "",
            f"Of {counts.read:,} pairs read, {counts.kept:,} were kept.",
            "",
            "| left out because | pairs | queries |",
            "| --- | ---: | ---: |",
            *dropped,
            "",
        ]
    )
