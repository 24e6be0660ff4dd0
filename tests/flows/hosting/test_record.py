"""The record of releases only grows, and a crash costs at most the line it cut."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from flows.contracts.release import PackagedBento, Release
from flows.hosting.record import ReleaseRecord


def release(number: int, outcome: Literal["live", "refused", "reverted"] = "live", reason: str = "") -> Release:
    bento = PackagedBento(
        tag=f"reranker:v{number}",
        model_tag=f"reranker:v{number}",
        store=Path("store"),
        model_name="reranker",
        model_version=number,
        snapshot="s",
        digest=str(number),
        checks=(),
    )
    return Release(
        bento=bento,
        host="local-process",
        url="http://127.0.0.1:3000",
        approved_by="gate",
        at=datetime(2026, 1, number, tzinfo=UTC),
        outcome=outcome,
        reason=reason,
    )


def test_a_release_knows_how_long_after_the_alarm_it_went_live() -> None:
    live = release(2)
    alarm = datetime(2026, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert live.seconds_since(alarm) == 1800
    assert live.seconds_since(live.at) == 0
    assert live.seconds_since(live.at + timedelta(seconds=1)) is None  # it was live before the alarm
    assert live.seconds_since(None) is None


def test_an_empty_record_has_no_live_release(tmp_path: Path) -> None:
    assert ReleaseRecord(tmp_path / "releases.jsonl").last_live() is None


def test_the_last_live_release_is_the_one_that_kept_the_traffic(tmp_path: Path) -> None:
    record = ReleaseRecord(tmp_path / "releases.jsonl")
    written = [release(1), release(2), release(3, "refused", "a\nb"), release(4, "reverted")]
    for entry in written:
        record.append(entry)
    assert record.read() == written
    assert record.last_live() == written[1]


@given(cut=st.integers(min_value=1, max_value=10_000))
def test_a_torn_line_swallows_no_other(tmp_path_factory, cut: int) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("record") / "releases.jsonl"
    record = ReleaseRecord(path)
    record.append(release(1))
    whole = path.stat().st_size
    record.append(release(2))
    torn = path.read_bytes()[: max(whole, path.stat().st_size - cut)]
    path.write_bytes(torn)
    record.append(release(3))
    versions = [entry.bento.model_version for entry in record.read()]
    assert versions in ([1, 3], [1, 2, 3])
