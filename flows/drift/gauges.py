"""The newest reports as numbers: gauges for Prometheus, metrics for MLflow's charts."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from flows.drift.report import DriftReport, Verdict

_SEVERITY = {"green": 0.0, "amber": 1.0, "red": 2.0}


def write_gauges(reports: Sequence[DriftReport], path: Path, at: datetime) -> None:
    """Write `path` in Prometheus' text format, whole or not at all.

    Args:
        reports: The newest of each traffic; what an older file said of others is gone.
        path: `*.prom`, as node_exporter's textfile collector wants it; its folder exists.
        at: When they were judged, with a time zone.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    if at.tzinfo is None:
        raise ValueError("`at` has no time zone: pass an aware time, such as datetime.now(UTC)")
    registry = CollectorRegistry()

    def gauge(name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"reranker_drift_{name}", says, ("traffic", *labels), registry=registry)

    statistic = gauge("statistic", "Distance of the window from the reference.", "channel", "test")
    threshold = gauge("threshold", "What the statistic must pass to count as drift.", "channel", "test")
    p_value = gauge("p_value", "Share of quiet windows that differ at least as much, uncorrected.", "channel")
    verdict = gauge("verdict", "1 for the verdict on the newest window, 0 for the others.", "verdict")
    alarm = gauge("alarm", "1 when so many of the watched windows are red that retraining is due.")
    rows = gauge("window_rows", "Rows of the newest window.")
    queries = gauge("window_queries", "Queries of the newest window.")
    judged = gauge("judged_timestamp_seconds", "When the newest window was judged.")
    for report in reports:
        for channel in report.channels:
            if channel.p_value is not None:
                p_value.labels(report.traffic, channel.name).set(channel.p_value)
            for measure in channel.measures:
                statistic.labels(report.traffic, channel.name, measure.test).set(measure.statistic)
                threshold.labels(report.traffic, channel.name, measure.test).set(measure.threshold)
        for name in get_args(Verdict):
            verdict.labels(report.traffic, name).set(report.verdict == name)
        alarm.labels(report.traffic).set(report.alarm)
        rows.labels(report.traffic).set(report.current.rows)
        queries.labels(report.traffic).set(report.current.queries)
        judged.labels(report.traffic).set(at.timestamp())
    write_to_textfile(str(path), registry)


def drift_metrics(report: DriftReport) -> dict[str, float]:
    """Return the report for `Registry.measure`: `drift labelled pairs/query length PSI`, and its threshold.

    `severity` is 0 for green, 1 for amber, 2 for red; where there was not enough data there is nothing to chart.
    """
    if report.verdict == "not enough data":
        return {}
    metrics = {"severity": _SEVERITY[report.verdict], "alarm": float(report.alarm)}
    for channel in report.channels:
        for measure in channel.measures:
            metrics[f"{channel.name} {measure.test}"] = measure.statistic
            metrics[f"{channel.name} {measure.test} threshold"] = measure.threshold
    return {f"drift {report.traffic}/{name}": value for name, value in metrics.items()}
