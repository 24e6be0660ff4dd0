"""The window: which rows belong to it, whatever clock and zone they come from."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.drift import select_window

Traffic = Callable[..., pa.Table]
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def dated(*times: datetime, kind: pa.DataType | None = None) -> pa.Table:
    return pa.table({"created_at": pa.array(times, kind or pa.timestamp("us", "UTC"))})


@given(st.lists(st.timedeltas(timedelta(days=-30), timedelta(days=30)), max_size=30), st.floats(0.01, 20))
def test_the_window_ends_now_and_is_that_long(ages: list[timedelta], days: float) -> None:
    times = [NOW - age for age in ages]
    kept = select_window(dated(*times), NOW, days)["created_at"].to_pylist()
    assert kept == [at for at in times if NOW - timedelta(days=days) < at <= NOW]


def test_the_zone_of_now_and_of_the_rows_does_not_matter() -> None:
    inside, outside = NOW - timedelta(days=6, hours=23), NOW - timedelta(days=7, hours=1)
    local = NOW.astimezone(timezone(timedelta(hours=-9)))
    for kind in (pa.timestamp("ns", "Asia/Tokyo"), pa.timestamp("s", "UTC")):
        assert select_window(dated(inside, outside, kind=kind), local, 7).num_rows == 1
    naive = dated(inside.replace(tzinfo=None), outside.replace(tzinfo=None), kind=pa.timestamp("us"))
    assert select_window(naive, local, 7).num_rows == 1


def test_rows_from_the_future_stay_out_and_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert select_window(dated(NOW, NOW + timedelta(seconds=1)), NOW, 7).num_rows == 1
    assert "1 rows are dated after" in caplog.text


def test_an_empty_table_gives_an_empty_window() -> None:
    assert select_window(dated(), NOW, 7).num_rows == 0


def test_a_now_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        select_window(dated(NOW), NOW.replace(tzinfo=None), 7)
