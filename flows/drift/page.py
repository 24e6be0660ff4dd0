"""Evidently's page of a watch. Its tests are ours: every statistic is registered as a StatTest.

Evidently sees one plain value a query and no text: raw text would outlive its removal from the store, and
Evidently's own text test is a classifier with a fixed threshold. A statistic needs more than the one column (which
rows belong together, words), so its StatTest looks up what the watch measured; verdict and page agree because there
is one number.

Nothing here reaches the network: the page carries its scripts, and `evidently.telemetry` belongs to its
command line and its own server, which are never imported.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.drift.history import page_name
from flows.drift.judging import Measured
from flows.drift.report import DriftReport, Measure
from flows.drift.statistics import STATISTICS

_SHOWN = 2_000
"""Values of the window in a chart, as many as a profile keeps of the reference."""

_measures: ContextVar[Mapping[str, Measure]] = ContextVar("measures")


def write_page(report: DriftReport, measured: Sequence[Measured], folder: Path) -> Path:
    """Write Evidently's `drift.html` and `evidently.json` into `folder`; return the page's path.

    Each statistic of each channel is a column, named "query length (PSI)", with its own ValueDrift. Statistics that
    are not in `report`, such as those without a fixed threshold in that mode, are left out.

    Args:
        report: The verdict.
        measured: What `examine` returned with it.
        folder: Exists; the page links the picture of the last weeks in the folder above it.
    """
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report

    columns = dict(_columns(report))
    shown = {m.reference.name: (m.reference.shown, m.shown) for m in measured}
    names = [name for name, (channel, _) in columns.items() if _is_named(shown[channel][0])]
    definition = DataDefinition(
        numerical_columns=[name for name in columns if name not in names], categorical_columns=names
    )
    reference, window = (
        Dataset.from_pandas(
            pd.DataFrame({name: pd.Series(_drawn(shown[channel][side])) for name, (channel, _) in columns.items()}),
            data_definition=definition,
        )
        for side in (0, 1)
    )
    _register_tests()
    measures = {name: measure for name, (_, measure) in columns.items()}
    token = _measures.set(measures)
    try:
        snapshot = Report([_container(report, measures)], include_tests=True).run(window, reference)
    finally:
        _measures.reset(token)
    page = folder / "drift.html"
    snapshot.save_html(str(page))
    snapshot.save_json(str(folder / "evidently.json"))
    return page


def _columns(report: DriftReport) -> Iterator[tuple[str, tuple[str, Measure]]]:
    """Yield the name of each column, with its channel and its statistic."""
    for channel in report.channels:
        for measure in channel.measures:
            yield f"{channel.name} ({measure.test})", (channel.name, measure)


def _is_named(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind in "OU"


def _drawn(values: npt.NDArray[Any]) -> Any:
    """Return some values, at even distances, as Evidently draws them safely.

    It writes category names into a script element unescaped, and its histogram fails on a range of float noise.
    """
    some = values[np.linspace(0, len(values) - 1, min(_SHOWN, len(values))).astype(np.int64)]
    return [escape(str(name)) for name in some] if _is_named(some) else some.astype(np.float64).round(6)


def _register_tests() -> None:
    """Register our statistics with Evidently; a second time changes nothing."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    kinds = [ColumnType.Numerical, ColumnType.Categorical]
    for test in STATISTICS:
        stat_test = StatTest(name=_name(test), display_name=f"{test} of whole queries", allowed_feature_types=kinds)
        register_stattest(stat_test, default_impl=_look_up)


def _name(test: str) -> str:
    return f"drift watch: {test}"


def _look_up(reference: Any, window: Any, kind: Any, threshold: float) -> tuple[float, bool]:
    """Evidently's signature of a test: two series -> (score, drifted)."""
    statistic = _measures.get()[str(window.name)].statistic
    return statistic, statistic > threshold


def _container(report: DriftReport, measures: Mapping[str, Measure]) -> Any:
    """Return Evidently's container of the page: our verdict in words, then the chart of each statistic."""
    from evidently.core.container import MetricContainer
    from evidently.metrics import ValueDrift

    class DriftWatch(MetricContainer):  # type: ignore[misc]
        """The watch as Evidently sees it."""

        def generate_metrics(self, context: Any) -> Sequence[Any]:
            return [
                ValueDrift(column=name, method=_name(measure.test), threshold=measure.threshold)
                for name, measure in measures.items()
            ]

        def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
            charts = [widget for _, widgets in child_widgets or [] for widget in widgets]
            weeks = f"[Each channel over the last weeks](../{page_name(report.traffic)})"
            return [*_widgets(f"{report.to_markdown()}\n{weeks}\n"), *charts]

    return DriftWatch()


def _widgets(markdown: str) -> Iterator[Any]:
    """Yield Evidently's widgets of a text, its tables apart: the widget of Markdown knows none."""
    from evidently.legacy.renderers.html_widgets import table_data, text_widget

    for is_table, blocks in groupby(markdown.split("\n\n"), lambda block: block.startswith("| ")):
        if is_table:
            header, _, *rows = (
                [cell.strip(" *") for cell in line[1:-1].split("|")] for line in next(blocks).splitlines()
            )
            yield table_data(column_names=header, data=rows)
        else:
            yield text_widget(text="\n\n".join(blocks))
