"""Evidently's page of a watch. Its tests are ours: each channel is registered as a StatTest.

Evidently sees one row a query and no text: raw text would outlive its removal from the store, and Evidently's
own text test is a classifier with a fixed threshold. The statistic of a channel needs more than the one column
(which rows belong together, words), so its StatTest looks up what the watch measured; verdict and page agree
because there is one number.

Nothing here reaches the network: the page carries its scripts, and `evidently.telemetry` belongs to its
command line and its own server, which are never imported.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from html import escape
from pathlib import Path
from typing import Any

from flows.drift.channels import Channel
from flows.drift.report import ChannelResult, DriftReport

_measured: ContextVar[Mapping[str, ChannelResult]] = ContextVar("measured")


def write_page(report: DriftReport, channels: Sequence[Channel], folder: Path) -> Path:
    """Write Evidently's `drift.html` and `evidently.json` into `folder`; return the page's path."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report

    results = {result.name: result for result in report.channels}
    kinds: dict[str, list[str]] = {"chi-square": [], "other": []}
    for channel in channels:
        kinds["chi-square" if channel.test == "chi-square" else "other"].append(channel.name)
    definition = DataDefinition(numerical_columns=kinds["other"], categorical_columns=kinds["chi-square"])
    frames = [pd.DataFrame({channel.name: _chart_values(channel, side) for channel in channels}) for side in (0, 1)]
    reference, current = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    _register_tests()
    token = _measured.set(results)
    try:
        snapshot = Report([_verdict(report, channels)], include_tests=True).run(current, reference)
    finally:
        _measured.reset(token)
    page = folder / "drift.html"
    snapshot.save_html(str(page))
    snapshot.save_json(str(folder / "evidently.json"))
    return page


def _chart_values(channel: Channel, side: int) -> Any:
    """Return one value a query that Evidently draws safely.

    It writes category names into a script element unescaped, and its histogram fails on a range of float noise.
    """
    values = channel.shown[side]
    return [escape(name) for name in values] if channel.test == "chi-square" else values.round(6)


def _register_tests() -> None:
    """Register our statistics with Evidently; a second time changes nothing."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    for name, kind in (
        ("Kolmogorov-Smirnov", ColumnType.Numerical),
        ("TF-IDF cosine distance", ColumnType.Numerical),
        ("chi-square", ColumnType.Categorical),
    ):
        test = StatTest(name=_name(name), display_name=f"{name} against quiet windows", allowed_feature_types=[kind])
        register_stattest(test, default_impl=_look_up)


def _name(test: str) -> str:
    return f"quiet windows: {test}"


def _look_up(reference: Any, current: Any, kind: Any, threshold: float) -> tuple[float, bool]:
    """Evidently's signature of a test: two series -> (score, drifted)."""
    statistic = _measured.get()[str(current.name)].statistic
    assert statistic is not None  # only measured channels have a column
    return statistic, statistic > threshold


def _verdict(report: DriftReport, channels: Sequence[Channel]) -> Any:
    """Return Evidently's container of the page: our verdict in words, then each channel's chart."""
    from evidently.core.container import MetricContainer
    from evidently.legacy.renderers.html_widgets import text_widget
    from evidently.metrics import ValueDrift

    class QuietWindows(MetricContainer):  # type: ignore[misc]
        """The watch as Evidently sees it."""

        def generate_metrics(self, context: Any) -> Sequence[Any]:
            thresholds = {result.name: result.threshold for result in report.channels}
            return [ValueDrift(column=c.name, method=_name(c.test), threshold=thresholds[c.name]) for c in channels]

        def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
            charts = [widget for _, widgets in child_widgets or [] for widget in widgets]
            return [text_widget(text=report.to_markdown()), *charts]

    return QuietWindows()
