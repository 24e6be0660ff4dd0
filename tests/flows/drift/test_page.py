"""The files of a watch: Evidently's page says what the verdict says, holds no text and needs no network."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from flows.drift import DriftReport, watch
from flows.settings import DriftSettings

Traffic = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drift")


@pytest.fixture(scope="module")
def report(traffic: Traffic, folder: Path) -> DriftReport:
    week = traffic(90, seed=2, day=70, topics={"arrays": 0.4, "tables": 0.4, "tensors": 0.2})
    shares: list[float] = []
    found = watch(traffic(400, seed=1, days=70), week, DriftSettings(), folder, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return found


def test_evidently_and_the_verdict_agree_on_every_channel(report: DriftReport, folder: Path) -> None:
    page = json.loads((folder / "evidently.json").read_text("utf-8"))
    tested = {test["name"].removeprefix("Value Drift for column "): test for test in page["tests"]}
    assert tested.keys() == {channel.name for channel in report.channels}
    assert {name for name, test in tested.items() if test["status"] == "FAIL"} == {
        channel.name for channel in report.channels if channel.drifted
    }
    scores = {metric["config"]["column"]: metric["value"] for metric in page["metrics"]}
    assert scores == {channel.name: pytest.approx(channel.statistic) for channel in report.channels}
    assert {metric["config"]["method"] for metric in page["metrics"]} == {
        "quiet windows: Kolmogorov-Smirnov",
        "quiet windows: chi-square",
        "quiet windows: TF-IDF cosine distance",
    }


def test_the_page_names_what_came_and_quotes_no_text(report: DriftReport, folder: Path) -> None:
    assert report.report == folder / "drift.html"
    html = report.report.read_text("utf-8")
    assert "Source **tensors** is new" in html
    assert "q2n7" not in html  # a token that stands in one query alone
    assert "NaN" not in (folder / "evidently.json").read_text("utf-8")


def test_the_json_beside_it_reads_back_as_the_report(report: DriftReport, folder: Path) -> None:
    assert DriftReport.model_validate_json((folder / "drift.json").read_text("utf-8")) == report


def test_a_source_cannot_put_markup_into_the_page(traffic: Traffic, tmp_path: Path) -> None:
    week = traffic(60, seed=2, day=70)
    evil = "</script><script>alert(1)</script>"
    renamed = week.set_column(3, week.schema.field("source"), pa.array([evil] * week.num_rows))
    report = watch(traffic(200, seed=1, days=70), renamed, DriftSettings(), tmp_path)
    assert report.sources[0].name == evil
    assert report.report is not None
    assert "<script>alert" not in report.report.read_text("utf-8")


def test_constant_columns_make_a_page_too(traffic: Traffic, tmp_path: Path) -> None:
    sides = []
    for table in (traffic(200, seed=1, days=70), traffic(60, seed=2, day=70)):
        for column, value in (("source", "one"), ("document", "the same")):
            position = table.schema.get_field_index(column)
            table = table.set_column(position, table.schema.field(column), pa.array([value] * table.num_rows))
        sides.append(table)
    report = watch(*sides, DriftSettings(), tmp_path)
    assert report.verdict != "red"
    assert report.report is not None
    assert report.report.stat().st_size > 100_000
    for name in ("drift.json", "evidently.json"):
        text = (tmp_path / name).read_text("utf-8")
        assert "NaN" not in text
        assert "Infinity" not in text


def test_an_older_page_does_not_outlive_a_watch_that_could_not_tell(traffic: Traffic, tmp_path: Path) -> None:
    (tmp_path / "drift.html").write_text("last week", "utf-8")
    watch(traffic(100, seed=1), traffic(0, seed=2), DriftSettings(), tmp_path)
    assert not (tmp_path / "drift.html").exists()


def test_light_commands_do_not_load_the_heavy_libraries() -> None:
    code = (
        "import sys, flows.drift; print([m for m in ('evidently', 'sklearn', 'pandas', 'scipy') if m in sys.modules])"
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
from flows.drift import watch
from flows.settings import DriftSettings
reference, week = (pa.ipc.open_file(name).read_all() for name in sys.argv[1:3])
assert watch(reference, week, DriftSettings(), Path(sys.argv[3])).report is not None
assert "evidently.telemetry" not in sys.modules
"""


def test_a_watch_opens_no_connection_and_loads_no_telemetry(traffic: Traffic, tmp_path: Path) -> None:
    for name, table in (("reference", traffic(200, seed=1, days=70)), ("week", traffic(60, seed=2, day=70))):
        with pa.ipc.new_file(tmp_path / name, table.schema) as file:
            file.write_table(table)
    names = [str(tmp_path / name) for name in ("reference", "week", "out")]
    done = subprocess.run([sys.executable, "-c", NO_NETWORK, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
