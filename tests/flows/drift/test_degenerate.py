"""Input that has nothing to say gets a right verdict or "not enough data", never a crash or NaN."""

import json
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.contracts.pair import PAIR_SCHEMA
from flows.drift import DriftReport
from flows.settings import DriftSettings
from tests.flows.drift.fresh import judge_afresh, watch_afresh

Traffic = Callable[..., pa.Table]

SETTINGS = DriftSettings(false_alarm_rate=0.05, quiet_windows=100)


@pytest.fixture(scope="module")
def reference(traffic: Traffic) -> pa.Table:
    return traffic(300, seed=1, days=42)


@pytest.fixture(scope="module")
def week(traffic: Traffic) -> pa.Table:
    return traffic(60, seed=2, day=42)


DOCUMENT = {"document length", "document words", "document text", "document out of distribution"}
ALL = {*DOCUMENT, *(name.replace("document", "query") for name in DOCUMENT), "relevant documents", "source"}
"""What is measured without embeddings and scores."""


def constant(table: pa.Table, column: str, value: object) -> pa.Table:
    field = table.schema.field(column).with_nullable(True)
    return table.set_column(
        table.schema.get_field_index(column), field, pa.array([value] * table.num_rows, field.type)
    )


def measured(report: DriftReport) -> set[str]:
    return {channel.name for channel in report.channels if channel.measures}


def check_numbers(report: DriftReport) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in the report")

    text = report.model_dump_json()
    json.loads(text, parse_constant=refuse)
    assert "nan" not in report.to_markdown().lower().split()
    for channel in report.channels:
        assert all(math.isfinite(m.statistic) and math.isfinite(m.threshold) for m in channel.measures)


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_a_small_side_gives_no_verdict(reference: pa.Table, week: pa.Table, rows: int, tmp_path: Path) -> None:
    for before, now, name in ((reference, week[:rows], "window"), (reference[:rows], week, "reference")):
        report = watch_afresh(before, now, SETTINGS, tmp_path)
        assert report.verdict == "not enough data"
        assert f"The {name} has {rows} rows" in report.reason
        assert report.report is None
        assert json.loads((tmp_path / "drift.json").read_text("utf-8"))["verdict"] == "not enough data"
        check_numbers(report)


def test_many_rows_of_few_queries_give_no_verdict(reference: pa.Table, traffic: Traffic) -> None:
    report = judge_afresh(reference, traffic(10, seed=3, candidates=30), SETTINGS)
    assert report.verdict == "not enough data"
    assert "10 queries" in report.reason


def test_identical_data_is_green(reference: pa.Table) -> None:
    report = judge_afresh(reference, reference, SETTINGS)
    assert report.verdict == "green"
    # What is fitted on a part of the reference is compared with its other part alone.
    whole = [c for c in report.channels if c.measures and not c.name.endswith(("text", "of distribution"))]
    assert {m.statistic for channel in whole for m in channel.measures} == {0.0}
    assert {channel.p_value for channel in whole} == {1.0}
    assert not report.words
    assert not report.sources
    assert any("too few" in note for note in report.notes)


@pytest.mark.parametrize(
    ("column", "value"), [("source", "one"), ("document", "always the same"), ("created_at", None)]
)
def test_a_column_that_is_constant_on_both_sides_is_no_drift(
    reference: pa.Table, week: pa.Table, column: str, value: object
) -> None:
    report = judge_afresh(constant(reference, column, value), constant(week, column, value), SETTINGS)
    assert report.verdict != "red"
    assert measured(report) == ALL
    check_numbers(report)


def test_a_column_that_becomes_constant_is_drift(reference: pa.Table, week: pa.Table) -> None:
    report = judge_afresh(reference, constant(week, "source", "unseen | *category*"), SETTINGS)
    assert report.verdict == "red"
    assert report.sources[0].name == "unseen | *category*"
    assert report.sources[0].came
    assert r"unseen \| \*category\*" in report.to_markdown()
    check_numbers(report)


@pytest.mark.parametrize("label", [0, 1])
def test_a_window_of_one_label_has_nothing_to_rank(reference: pa.Table, week: pa.Table, label: int) -> None:
    report = judge_afresh(reference, constant(week, "relevance", label), SETTINGS)
    assert report.verdict == "not enough data"
    assert report.current.unrankable_queries == 60
    assert any("60 queries of the window" in note for note in report.notes)


@pytest.mark.parametrize(
    ("column", "lost"),
    [
        ("source", {"source"}),
        ("document", DOCUMENT),
        ("relevance", {"relevant documents"}),
        ("created_at", set()),
    ],
)
@pytest.mark.parametrize("how", ["dropped", "all missing"])
def test_a_missing_column_leaves_its_channels_out(
    reference: pa.Table, week: pa.Table, column: str, lost: set[str], how: str
) -> None:
    now = week.drop_columns([column]) if how == "dropped" else constant(week, column, None)
    report = judge_afresh(reference, now, SETTINGS)
    assert report.verdict in ("green", "amber")
    assert ALL - measured(report) == lost
    left_out = next(note for note in report.notes if note.startswith("Left out"))
    assert all(name in left_out for name in lost)
    check_numbers(report)


def test_without_queries_every_row_stands_alone(reference: pa.Table, week: pa.Table) -> None:
    sides = [table.drop_columns(["query", "relevance"]) for table in (reference, week)]
    report = judge_afresh(*sides, SETTINGS)
    assert report.current.queries == week.num_rows
    assert measured(report) == {*DOCUMENT, "source"}


def test_no_shared_column_gives_no_verdict(reference: pa.Table, week: pa.Table) -> None:
    report = judge_afresh(reference.select(["query"]), week.select(["created_at"]), SETTINGS)
    assert report.verdict == "not enough data"
    assert "no column" in report.reason


def test_the_zone_of_the_time_stamps_changes_nothing(reference: pa.Table, week: pa.Table) -> None:
    position = reference.schema.get_field_index("created_at")
    expected = judge_afresh(reference, week, SETTINGS)
    for kind in (pa.timestamp("ns", "Asia/Kolkata"), pa.timestamp("us"), pa.timestamp("ms", "America/New_York")):
        moved = week.set_column(position, "created_at", pc.cast(week["created_at"], kind, safe=False))
        report = judge_afresh(reference, moved, SETTINGS)
        assert report.channels == expected.channels
        assert abs(report.current.last - expected.current.last) < timedelta(milliseconds=1)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(TEXT, TEXT, st.integers(0, 1), st.sampled_from(["a", "b", ""])), max_size=40),
    split=st.integers(0, 40),
)
def test_any_table_gets_a_verdict(rows: list[tuple[str, str, int, str]], split: int) -> None:
    sides = []
    for part in (rows[:split], rows[split:]):
        columns = list(zip(*part, strict=True)) or [()] * 4
        names = ["query", "document", "relevance", "source"]
        arrays = [pa.array(c, PAIR_SCHEMA.field(n).type) for c, n in zip(columns, names, strict=True)]
        sides.append(pa.table(arrays, names=names))
    report = judge_afresh(*sides, DriftSettings(min_rows=2, min_queries=2, false_alarm_rate=0.5, quiet_windows=20))
    assert report.verdict in ("green", "amber", "red", "not enough data")
    check_numbers(report)
