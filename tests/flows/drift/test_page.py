"""The files of a watch: Evidently's page says what the verdict says, holds no text and needs no network."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.drift import DriftReport, Profile
from flows.drift.channels import NAMES
from flows.drift.judging import Measured, examine
from flows.drift.page import write_page
from flows.settings import DriftSettings

Traffic = Callable[..., pa.Table]

SETTINGS = DriftSettings(false_alarm_rate=0.05, quiet_windows=200)
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"longer": 1.2},
    {"longer": 2},
    {"relevant": 2},
    {"relevant": 3, "candidates": 8},
    {"topics": {"arrays": 0.5, "tensors": 0.5}},
)
FIXED = SETTINGS.model_copy(update={"mode": "fixed"})


def encode(texts: Sequence[str]) -> Any:
    """An embedding as good as any here: the texts' letters."""
    return np.array([[text.count(letter) for letter in "abcdefghij"] for text in texts], np.float32)


def score(queries: Sequence[str], documents: Sequence[str]) -> Any:
    """A champion that counts the words that both texts use."""
    return np.array([len({*q.split()} & {*d.split()}) for q, d in zip(queries, documents, strict=True)], np.float32)


@pytest.fixture(scope="module")
def profile(traffic: Traffic) -> Profile:
    return Profile.fit(traffic(400, seed=1, days=70), SETTINGS, encode, score)


@pytest.fixture(scope="module")
def changed(traffic: Traffic, profile: Profile) -> tuple[DriftReport, tuple[Measured, ...]]:
    week = traffic(90, seed=2, day=70, topics={"arrays": 0.4, "tables": 0.4, "tensors": 0.2})
    return examine(profile, week, SETTINGS, encode, score)


def verdicts(report: DriftReport) -> dict[str, bool]:
    """Each statistic under its column's name, and whether it passed its threshold."""
    return {f"{c.name} ({m.test})": m.statistic > m.threshold for c in report.channels for m in c.measures}


def evidently_verdicts(folder: Path) -> dict[str, bool]:
    """The same as Evidently has it."""
    page = json.loads((folder / "evidently.json").read_text("utf-8"))
    return {test["name"].removeprefix("Value Drift for column "): test["status"] == "FAIL" for test in page["tests"]}


@pytest.mark.parametrize("settings", [SETTINGS, FIXED], ids=["calibrated", "fixed"])
def test_evidently_and_the_verdict_agree_on_every_statistic(
    traffic: Traffic, profile: Profile, tmp_path: Path, settings: DriftSettings
) -> None:
    both = {True: 0, False: 0}
    for seed, change in enumerate(CHANGES):
        week = traffic(60, seed=100 + seed, day=70, **change)
        report, measured = examine(profile, week, settings, encode, score)
        write_page(report, measured, tmp_path)
        said = verdicts(report)
        assert evidently_verdicts(tmp_path) == said
        assert {c.name for c in report.channels if c.drifted} == {
            name.rsplit(" (", 1)[0] for name, drifted in said.items() if drifted
        }
        for drifted in said.values():
            both[drifted] += 1
    assert min(both.values()) > 0  # both answers were put to the test


def test_evidently_shows_our_statistic_and_our_threshold(
    changed: tuple[DriftReport, tuple[Measured, ...]], tmp_path: Path
) -> None:
    report, measured = changed
    assert write_page(report, measured, tmp_path) == tmp_path / "drift.html"
    page = json.loads((tmp_path / "evidently.json").read_text("utf-8"))
    shown = {
        m["config"]["column"]: (m["value"], m["config"]["threshold"], m["config"]["method"]) for m in page["metrics"]
    }
    assert shown == {
        f"{c.name} ({m.test})": (m.statistic, m.threshold, f"drift watch: {m.test}")
        for c in report.channels
        for m in c.measures
    }
    assert len(shown) == sum(map(len, NAMES.values()))


def test_a_statistic_on_its_threshold_is_no_drift(
    changed: tuple[DriftReport, tuple[Measured, ...]], tmp_path: Path
) -> None:
    report, measured = changed
    level = [
        c.model_copy(update={"measures": tuple(m.model_copy(update={"threshold": m.statistic}) for m in c.measures)})
        for c in report.channels
    ]
    write_page(report.model_copy(update={"channels": tuple(level)}), measured, tmp_path)
    assert set(evidently_verdicts(tmp_path).values()) == {False}


def test_a_profile_that_was_kept_makes_a_page_too(profile: Profile, traffic: Traffic, tmp_path: Path) -> None:
    profile.save(tmp_path / "profile.npz")
    week = traffic(60, seed=3, day=70, relevant=3)
    report, measured = examine(Profile.load(tmp_path / "profile.npz"), week, SETTINGS, encode, score)
    write_page(report, measured, tmp_path)
    assert evidently_verdicts(tmp_path) == verdicts(report)


def test_the_page_names_what_came_links_the_last_weeks_and_quotes_no_text(
    changed: tuple[DriftReport, tuple[Measured, ...]], tmp_path: Path
) -> None:
    html = write_page(*changed, tmp_path).read_text("utf-8")
    assert "Source **tensors** is new" in html
    assert "](../history-labelled-pairs.html)" in html
    assert "|---" not in html  # a table that Evidently would show as text
    assert "q2n7" not in html  # a token that stands in one query alone
    assert "NaN" not in (tmp_path / "evidently.json").read_text("utf-8")


def test_a_large_window_shows_a_part_of_its_values(
    changed: tuple[DriftReport, tuple[Measured, ...]], tmp_path: Path
) -> None:
    report, measured = changed
    small = write_page(report, measured, tmp_path).stat().st_size
    large = tuple(replace(m, shown=np.repeat(m.shown, 500)) for m in measured)
    assert write_page(report, large, tmp_path).stat().st_size < small + 100_000
    assert evidently_verdicts(tmp_path) == verdicts(report)


def test_a_source_cannot_put_markup_into_the_page(traffic: Traffic, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    sides = [traffic(200, seed=1, days=70), traffic(60, seed=2, day=70)]
    renamed = [t.set_column(3, t.schema.field("source"), pa.array([evil] * t.num_rows)) for t in sides]
    for reference, week in ((sides[0], renamed[1]), (renamed[0], sides[1])):
        report, measured = examine(Profile.fit(reference, SETTINGS), week, SETTINGS)
        assert evil in {shift.name for shift in report.sources}
        assert "<script>alert" not in write_page(report, measured, tmp_path).read_text("utf-8")


def test_constant_columns_make_a_page_too(traffic: Traffic, tmp_path: Path) -> None:
    sides = []
    for table in (traffic(200, seed=1, days=70), traffic(60, seed=2, day=70)):
        for column, value in (("source", "one"), ("document", "the same")):
            position = table.schema.get_field_index(column)
            table = table.set_column(position, table.schema.field(column), pa.array([value] * table.num_rows))
        sides.append(table)
    report, measured = examine(Profile.fit(sides[0], SETTINGS), sides[1], SETTINGS)
    assert write_page(report, measured, tmp_path).stat().st_size > 100_000
    assert evidently_verdicts(tmp_path) == verdicts(report)
    text = (tmp_path / "evidently.json").read_text("utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_page_without_any_statistic_is_still_a_page(
    changed: tuple[DriftReport, tuple[Measured, ...]], tmp_path: Path
) -> None:
    report = changed[0].model_copy(update={"channels": ()})
    assert "Drift of labelled pairs" in write_page(report, (), tmp_path).read_text("utf-8")


def test_light_commands_do_not_load_the_heavy_libraries() -> None:
    code = (
        "import sys, flows.drift, flows.drift.page, flows.drift.history, flows.drift.gauges; "
        "print([m for m in ('evidently', 'sklearn', 'pandas', 'scipy', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


NO_NETWORK = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a drift watch opened a connection")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import pyarrow as pa
from pathlib import Path
from flows.drift import Profile
from flows.drift.channels import NAMES
from flows.drift.judging import examine
from flows.drift.page import write_page
from flows.settings import DriftSettings
reference, week = (pa.ipc.open_file(name).read_all() for name in sys.argv[1:3])
settings = DriftSettings(quiet_windows=200)
assert write_page(*examine(Profile.fit(reference, settings), week, settings), Path(sys.argv[3])).exists()
assert "evidently.telemetry" not in sys.modules
"""


def test_a_page_opens_no_connection_and_loads_no_telemetry(traffic: Traffic, tmp_path: Path) -> None:
    for name, table in (("reference", traffic(200, seed=1, days=70)), ("week", traffic(60, seed=2, day=70))):
        with pa.ipc.new_file(tmp_path / name, table.schema) as file:
            file.write_table(table)
    names = [str(tmp_path / name) for name in ("reference", "week")]
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *names, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
