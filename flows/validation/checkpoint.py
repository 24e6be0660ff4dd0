"""Run suites over frames with Great Expectations and build the data docs."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from flows.validation.report import Finding

_EXAMPLES = 5
_WIDTH = 160  # characters of a text in an example


@dataclass(frozen=True)
class Check:
    """A suite, the frame it speaks of, and the columns of it that make an example understandable."""

    suite: gx.ExpectationSuite
    frame: pd.DataFrame
    shown: tuple[str, ...]
    rows: str
    """What a row is: "pairs", "queries"."""


class Checkpoint:
    """Holds frames against suites, one after the other, and keeps what was not met.

    The context lives in memory: nothing is shared between runs but the folder, and nothing leaves the machine.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare to write data docs into `folder`."""
        self.checked = 0
        self.findings: list[Finding] = []
        self._run = gx.RunIdentifier(run_name=folder.name)
        self._context = _open_context(folder)
        self._source = self._context.data_sources.add_pandas("pandas")

    def hold(self, check: Check) -> bool:
        """Evaluate one check; return whether all its expectations were met."""
        name = check.suite.name
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = gx.ValidationDefinition(name=name, data=batch, suite=self._context.suites.add(check.suite))
        outcome = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": check.frame},
            run_id=self._run,
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": _EXAMPLES},
        )
        self.checked += len(outcome.results)
        self.findings += [_find(check, result) for result in outcome.results if not result.success]
        return bool(outcome.success)

    def write_data_docs(self) -> None:
        """Write `index.html` and a page for each suite that was evaluated."""
        self._context.build_data_docs()


def _open_context(folder: Path) -> Any:
    logging.getLogger("great_expectations").setLevel(logging.ERROR)  # its warnings may quote values
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
            data_docs_sites={"local": site},
        ),
    )


def _find(check: Check, result: Any) -> Finding:
    config = result.expectation_config
    kwargs: Mapping[str, Any] = config.kwargs
    names = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    names += kwargs.get("column_list", [])
    rows = result.result.get("partial_unexpected_index_list") or []
    shown = list(dict.fromkeys([*check.shown, *names]))
    return Finding(
        suite=check.suite.name,
        expectation=config.type,
        columns=tuple(names),
        severity=config.severity.value,
        description=config.description,
        observed=_observed(check, result),
        unexpected=result.result.get("unexpected_count"),
        examples=tuple(_as_example(check.frame.loc[row, shown]) for row in rows[:_EXAMPLES]),
    )


def _observed(check: Check, result: Any) -> str:
    if result.exception_info.get("raised_exception", True):
        return "could not be evaluated; the data docs hold the reason"
    if (unexpected := result.result.get("unexpected_count")) is not None:
        total = result.result["element_count"]
        return f"concerns {unexpected:,} of {total:,} {check.rows} ({unexpected / total:.2%})"
    value = result.result.get("observed_value")
    if value is None or pd.isna(value):
        return "nothing to observe"
    observed: str = result.expectation_config.meta["observed"].format(value)
    return observed


def _as_example(row: "pd.Series[Any]") -> str:
    """Return a row as one line of JSON, null where nothing is, long texts cut."""
    values = {name: None if pd.isna(value) else value for name, value in row.to_dict().items()}
    for name, value in values.items():
        if isinstance(value, str) and len(value) > _WIDTH:
            values[name] = f"{value[:_WIDTH]}…"
    return json.dumps(values, ensure_ascii=False, default=str)
