"""The newest reports as Prometheus and MLflow read them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flows.drift import ChannelResult, DriftReport, Measure, PeriodSummary
from flows.drift.gauges import drift_metrics, write_gauges

AT = datetime(2025, 3, 1, 6, tzinfo=UTC)
SIDE = PeriodSummary(
    rows=300,
    queries=60,
    unrankable_queries=0,
    compared_rows=300,
    compared_queries=60,
    first=None,
    last=None,
)
LENGTHS = ChannelResult(
    name="query length",
    measures=(
        Measure(test="Kolmogorov-Smirnov", statistic=0.3, threshold=0.25),
        Measure(test="PSI", statistic=0.1, threshold=0.2),
    ),
    p_value=0.001,
    queries=60,
    drifted=True,
)
SCORES = ChannelResult(name='champion\'s "score"\\\n')  # not measured, and a name that needs escaping


def report(**changes: Any) -> DriftReport:
    values = {
        "verdict": "red",
        "reason": "",
        "reference": SIDE,
        "current": SIDE,
        "false_alarm_rate": 0.01,
        "channels": (LENGTHS, SCORES),
    }
    return DriftReport(**values | changes)


def read(path: Path) -> dict[tuple[str, ...], float]:
    """Each sample's value by its name and label values, in this order."""
    families = text_string_to_metric_families(path.read_text("utf-8"))
    order = ("traffic", "channel", "test", "verdict")
    return {(s.name, *(s.labels[k] for k in order if k in s.labels)): s.value for f in families for s in f.samples}


def test_prometheus_reads_what_the_report_says(tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    write_gauges([report()], path, AT)
    labelled = "labelled pairs"
    assert read(path) == {
        ("reranker_drift_statistic", labelled, "query length", "Kolmogorov-Smirnov"): 0.3,
        ("reranker_drift_statistic", labelled, "query length", "PSI"): 0.1,
        ("reranker_drift_threshold", labelled, "query length", "Kolmogorov-Smirnov"): 0.25,
        ("reranker_drift_threshold", labelled, "query length", "PSI"): 0.2,
        ("reranker_drift_p_value", labelled, "query length"): 0.001,
        ("reranker_drift_verdict", labelled, "green"): 0,
        ("reranker_drift_verdict", labelled, "amber"): 0,
        ("reranker_drift_verdict", labelled, "red"): 1,
        ("reranker_drift_verdict", labelled, "not enough data"): 0,
        ("reranker_drift_alarm", labelled): 1,
        ("reranker_drift_window_rows", labelled): 300,
        ("reranker_drift_window_queries", labelled): 60,
        ("reranker_drift_judged_timestamp_seconds", labelled): AT.timestamp(),
    }


def test_both_traffics_share_a_file_and_the_newest_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    live = report(traffic="live traffic", verdict="not enough data", channels=())
    write_gauges([report(), live], path, AT)
    found = read(path)
    assert found["reranker_drift_alarm", "labelled pairs"] == 1
    assert found["reranker_drift_alarm", "live traffic"] == 0
    assert found["reranker_drift_verdict", "live traffic", "not enough data"] == 1
    write_gauges([live], path, AT)
    assert {key[1] for key in read(path)} == {"live traffic"}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.prom"]


def test_odd_names_survive_the_text_format(tmp_path: Path) -> None:
    odd = SCORES.model_copy(update={"p_value": 0.5, "measures": (Measure(test="PSI", statistic=0, threshold=0),)})
    write_gauges([report(channels=(odd,))], tmp_path / "metrics.prom", AT)
    assert read(tmp_path / "metrics.prom")["reranker_drift_p_value", "labelled pairs", odd.name] == 0.5


def test_a_file_that_cannot_be_written_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.prom"
    write_gauges([report()], path, AT)
    before = path.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_gauges([report(verdict="green")], path, AT)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.prom"]


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        write_gauges([report()], tmp_path / "metrics.prom", AT.replace(tzinfo=None))


def test_mlflow_gets_each_statistic_with_its_threshold() -> None:
    assert drift_metrics(report()) == {
        "drift labelled pairs/severity": 2,
        "drift labelled pairs/alarm": 1,
        "drift labelled pairs/query length Kolmogorov-Smirnov": 0.3,
        "drift labelled pairs/query length Kolmogorov-Smirnov threshold": 0.25,
        "drift labelled pairs/query length PSI": 0.1,
        "drift labelled pairs/query length PSI threshold": 0.2,
    }
    assert drift_metrics(report(verdict="not enough data", channels=())) == {}
