"""The export before the gate: what ships must win where the trained model won."""

import hashlib
import logging
from dataclasses import dataclass

import pandas as pd

from flows.gate import JUDGED, Contender, decide
from flows.settings import GateSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Victory:
    """What the packaged version won against, and by which rules."""

    incumbent: Contender
    settings: GateSettings
    snapshot: str
    slices: pd.DataFrame | None = None
    """Of the test queries, as `decide` takes them."""

    def fault(self, engine: str, per_query: pd.DataFrame) -> str:
        """Return which rules of quality the engine fails against the incumbent, or nothing.

        GateError where it was judged on other queries than the incumbent.
        """
        judged = per_query.index.isin(self.incumbent.per_query.index)  # some test queries may have judged nobody
        (judgement,) = decide(
            [Contender(engine, per_query.loc[judged, list(JUDGED)])],
            self.incumbent,
            self.settings,
            slices=self.slices,
            snapshot=self.snapshot,
        ).judgements
        failed = " and ".join(f'"{rule.demand}" ({rule.observed:+.4f})' for rule in judgement.failed)
        return f"it does not beat {self.incumbent.name} as the trained model did: {failed}" if failed else ""

    def digest(self) -> str:
        """Return 16 hex digits over all that it depends on."""
        total = hashlib.sha256(f"{self.settings.digest()} {self.snapshot}".encode())
        for frame in (self.incumbent.per_query, self.slices):
            if frame is not None:
                total.update(pd.util.hash_pandas_object(frame.sort_index()).to_numpy().tobytes())
        return total.hexdigest()[:16]


def victory(
    trained: pd.DataFrame,
    incumbent: pd.DataFrame,
    settings: GateSettings,
    snapshot: str,
    slices: pd.DataFrame | None = None,
) -> Victory | None:
    """Return what an export has to repeat; None, said in the log, where the trained model itself did not win.

    Such a version was promoted unjudged, under other rules, or never: its export is held against the trained model
    alone.

    Args:
        trained: Per-query metrics of the trained model on the snapshot's test split (`challenger.parquet`).
        incumbent: The same of the incumbent that it was judged against (`incumbent.parquet`).
        settings: Of the gate. Its mode does not matter here: what ships is always judged.
        snapshot: Digest of the data.
        slices: Of the test queries.
    """
    rules = settings.model_copy(update={"mode": "enabled"})
    found = Victory(Contender("the incumbent", incumbent[list(JUDGED)]), rules, snapshot, slices)
    fault = found.fault("the trained model", trained)
    if fault:
        _log.warning(
            "The export is held against the trained model alone, which did not win by these rules: %s", fault
        )
        return None
    return found
