"""The page on the watch names what there is: every channel, test, setting and gauge, and nothing else."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

import flows.drift
from flows.drift import ChannelResult, DriftReport, Measure, PeriodSummary
from flows.drift.channels import NAMES
from flows.drift.gauges import write_gauges
from flows.settings import DriftSettings, ServerSettings

README = (Path(flows.drift.__file__).parent / "README.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    table = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*", table, re.M)[2:]]


def test_every_channel_stands_there_with_its_tests() -> None:
    said = {
        name: tuple(tests.split(", ")) for names, tests, _ in rows("What is compared") for name in names.split(", ")
    }
    assert said == dict(NAMES)


def test_every_setting_stands_there_with_its_default() -> None:
    said = {name.strip("`").lower(): default for name, default, _ in rows("Settings")}
    assert said == {name: str(value) for name, value in DriftSettings().model_dump(mode="json").items()} | {
        "window_days": "7"
    }


def test_every_gauge_stands_there_with_its_labels(tmp_path: Path) -> None:
    side = PeriodSummary(
        rows=1, queries=1, unrankable_queries=0, compared_rows=1, compared_queries=1, first=None, last=None
    )
    measure = Measure(test="PSI", statistic=1, threshold=1)
    report = DriftReport(
        verdict="green",
        reason="",
        reference=side,
        current=side,
        false_alarm_rate=0.01,
        channels=(ChannelResult(name="query length", measures=(measure,), p_value=1),),
    )
    write_gauges([report], tmp_path / "metrics.prom", datetime.now(UTC))
    samples = re.findall(r"^(\w+)\{(.*)\}", (tmp_path / "metrics.prom").read_text("utf-8"), re.M)
    written = {name: {*re.findall(r'(\w+)="', labels)} - {"traffic"} for name, labels in samples}
    assert written == {name.strip("`"): {*re.findall(r"\w+", labels)} for name, labels, _ in rows("Gauges")}


@pytest.mark.parametrize("key", ["scrape_configs", "groups"])
def test_the_examples_for_prometheus_fit_what_runs_here(key: str) -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.S)]
    (block,) = [block for block in blocks if key in block]
    if key == "scrape_configs":
        (job,) = block[key]
        assert job["static_configs"] == [{"targets": [f"127.0.0.1:{ServerSettings().reports_port}"]}]
    else:
        names = {name for rule in block[key][0]["rules"] for name in re.findall(r"reranker_\w+", rule["expr"])}
        assert names <= {name.strip("`") for name, *_ in rows("Gauges")}
