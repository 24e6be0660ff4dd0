"""The artifact that tells what cleaning did."""

from flows.contracts.snapshot import DROP_REASONS
from flows.settings import CleaningSettings
from flows.snapshot import describe, freeze


def test_the_description_gives_every_count(batch, lists, now, tmp_path):
    batches = [batch(*lists(30, candidates=8), *lists(2, candidates=8))]
    first = freeze(batches, CleaningSettings(), tmp_path, {}, now)
    text = describe(first)
    assert first.snapshot.digest[:12] in text
    assert "Of 256 pairs read" in text
    assert "Frozen now." in text
    for reason, number in first.counts.dropped.items():
        assert f"| {DROP_REASONS[reason]} | {number} |" in text
    for side, held in first.snapshot.manifest.splits.items():
        assert f"| {side} | {held.queries} | {held.pairs} |" in text
    assert "was frozen on 2026-03-01" in describe(freeze(batches, CleaningSettings(), tmp_path, {}, now))
