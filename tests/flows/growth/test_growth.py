"""How many more pairs are enough."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.contracts.snapshot import CleaningCounts, SnapshotManifest, SplitCounts
from flows.growth import measure
from flows.settings import GrowthSettings

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SIDE = SplitCounts(queries=1, pairs=4, positives=1)


def frozen(read: int, kept: int = 0) -> SnapshotManifest:
    """Return the manifest of a snapshot for which `read` pairs were read and `kept` were of use."""
    return SnapshotManifest(
        digest="ab" * 32,
        created_at=MOMENT,
        first_pair_at=MOMENT,
        last_pair_at=MOMENT,
        splits={"train": SIDE, "validation": SIDE, "test": SIDE},
        sources={},
        cleaning=CleaningCounts(read=read, kept=kept, dropped={"duplicate": read - kept}, dropped_queries={}),
        settings={},
        lineage={},
    )


@pytest.mark.parametrize(
    ("pairs", "verdict"), [(0, "steady"), (900, "steady"), (1_099, "steady"), (1_100, "grown"), (5_000, "grown")]
)
def test_a_tenth_more_is_growth(pairs: int, verdict: str) -> None:
    before = frozen(1_000)
    assert measure(pairs, before, before, GrowthSettings()).verdict == verdict


def test_what_cleaning_left_out_is_no_growth() -> None:
    before = frozen(1_000, kept=500)
    report = measure(1_000, before, before, GrowthSettings())
    assert (report.verdict, report.share) == ("steady", 0)


@pytest.mark.parametrize(("pairs", "verdict"), [(1_250, "tried already"), (1_320, "grown")])
def test_growth_that_was_tried_is_not_tried_again(pairs: int, verdict: str) -> None:
    report = measure(pairs, frozen(1_000), frozen(1_200), GrowthSettings())
    assert report.verdict == verdict
    assert report.share == pytest.approx(pairs / 1_000 - 1)


def test_without_the_newest_snapshot_the_champions_counts() -> None:
    report = measure(1_100, frozen(1_000), None, GrowthSettings())
    assert (report.verdict, report.newest_pairs) == ("grown", 1_000)


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(1, 100))
def test_the_verdict_is_that_of_whole_numbers(pairs: int, before: int, percent: int) -> None:
    report = measure(pairs, frozen(before), None, GrowthSettings(share=percent / 100))
    assert report.grown == (100 * (pairs - before) >= percent * before and pairs > before)


def test_the_page_says_how_much() -> None:
    page = measure(1_250, frozen(1_000), None, GrowthSettings()).to_markdown()
    assert page.startswith("# Growth: grown")
    assert "+25.0 %" in page
    assert "| now | 1,250 |" in page
