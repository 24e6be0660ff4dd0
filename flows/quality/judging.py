"""The champion on fresh lists against the champion on its record."""

import logging
from math import ceil

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.evaluation import METRICS
from flows.quality.lists import corrected
from flows.quality.report import KindResult, QualityReport, Verdict
from flows.quality.selection import Selection
from flows.settings import QualitySettings

_log = logging.getLogger(__name__)

NDCG = METRICS[0]
_BATCH_VALUES = 2_000_000  # held in memory at once, whatever the number of queries
_RESAMPLES_A_FALSE_ALARM = 20
"""So many permutations that this many of them pass the threshold by chance."""

_Values = npt.NDArray[np.float64]


def judge(
    selection: Selection, record: pd.DataFrame, fresh: pd.DataFrame | None, settings: QualitySettings
) -> QualityReport:
    """Return whether NDCG@10 on the fresh queries lies below the record by more than chance explains.

    The statistic is the mean over fresh queries of what they lack of the record's mean of their kind; under the null
    hypothesis fresh and recorded lists of a kind are exchangeable, so the permutation test within kinds is exact.

    Args:
        selection: The queries and their kinds.
        record: Per-query metrics of the champion on its snapshot's test split (`per_query_metrics`), as registered.
        fresh: The same on `selection.pairs`; None where there are none.
        settings: Limits, rate and seed.
    """
    old = _values(selection.record, record)
    new = _values(selection.fresh, fresh)
    known = old["kind"].value_counts()
    new = new[new["kind"].isin(known.index[known >= settings.min_record])]
    counts = {"comparable": selection.comparable, "unlike": selection.unlike, "min_drop": settings.min_drop}
    if selection.look and new.empty:
        reason = f"The record lacks too many of the {len(selection.record)} test queries that it should hold."
        return QualityReport(verdict="not enough data", reason=reason, look=0, **counts)
    if selection.look == 0:
        reason = (
            f"{selection.comparable} freshly labelled queries can be compared with the record, and "
            f"{settings.min_queries} are needed."
        )
        if selection.unlike:
            reason += f" {selection.unlike} more are of a kind of list that the record does not know."
        return QualityReport(verdict="not enough data", reason=reason, look=0, **counts)
    old = old[old["kind"].isin(new["kind"])]
    threshold = settings.false_alarm_rate / (selection.look * (selection.look + 1))
    drop, p_value = _permute(old, new, threshold, settings.seed)
    results = _by_kind(old, new)
    verdict, reason = _verdict(drop, p_value, threshold, settings)
    _log.info("quality: %s, drop %.4f, p %.4g on %d fresh queries", verdict, drop, p_value, len(new))
    return QualityReport(
        verdict=verdict,
        reason=reason,
        look=selection.look,
        queries=len(new),
        record_queries=len(old),
        record_ndcg=sum(r.record_ndcg * r.queries for r in results) / len(new),
        fresh_ndcg=float(new["ndcg"].mean()),
        drop=drop,
        p_value=p_value,
        threshold=threshold,
        kinds=results,
        **counts,
    )


def _values(lists: pd.DataFrame, metrics: pd.DataFrame | None) -> pd.DataFrame:
    """Return kind, NDCG and corrected NDCG of the lists that were measured."""
    ndcg = pd.Series(dtype=np.float64) if metrics is None else metrics[NDCG]
    values = lists.assign(ndcg=ndcg.reindex(lists.index))
    values["value"] = corrected(values["ndcg"], values["expected"])
    return values.dropna(subset="value")


def _permute(old: pd.DataFrame, new: pd.DataFrame, threshold: float, seed: int) -> tuple[float, float]:
    """Return the drop and its one-sided p-value, of a permutation test within kinds."""
    rng = np.random.default_rng(seed)
    resamples = ceil(_RESAMPLES_A_FALSE_ALARM / threshold)
    observed, by_chance = 0.0, np.zeros(resamples)
    for kind, values in new.groupby("kind")["value"]:
        mine = values.to_numpy(dtype=np.float64)
        pool = np.concatenate([mine, old.loc[old["kind"] == kind, "value"].to_numpy(dtype=np.float64)])
        weight = len(mine) / len(new)
        observed += weight * _drop(pool[np.newaxis], len(mine))[0]
        by_chance += weight * _shuffled_drops(pool, len(mine), resamples, rng)
    as_large = int((by_chance >= observed - 1e-12).sum())
    return float(observed), (as_large + 1) / (resamples + 1)


def _shuffled_drops(pool: _Values, fresh: int, resamples: int, rng: np.random.Generator) -> _Values:
    rows = max(1, _BATCH_VALUES // len(pool))
    drops = []
    for start in range(0, resamples, rows):
        orders = np.broadcast_to(pool, (min(rows, resamples - start), len(pool)))
        drops.append(_drop(rng.permuted(orders, axis=1), fresh))
    return np.concatenate(drops)


def _drop(values: _Values, fresh: int) -> _Values:
    """Return by how much the first `fresh` values of each row lie below the others, in the mean."""
    drops: _Values = values[:, fresh:].mean(axis=1) - values[:, :fresh].mean(axis=1)
    return drops


def _verdict(drop: float, p_value: float, threshold: float, settings: QualitySettings) -> tuple[Verdict, str]:
    if p_value <= threshold and drop >= settings.min_drop:
        return "red", f"NDCG@10, corrected for chance, fell by {drop:.3f}, which chance does not explain."
    if p_value <= threshold:
        return "amber", f"NDCG@10, corrected for chance, fell by {drop:.3f}: certain, and too small to matter."
    if p_value <= settings.false_alarm_rate and drop >= settings.min_drop:
        return "amber", f"NDCG@10, corrected for chance, seems to have fallen by {drop:.3f}: not certain enough yet."
    return "green", f"NDCG@10, corrected for chance, is {-drop:+.3f} beside the record, within what chance explains."


def _by_kind(old: pd.DataFrame, new: pd.DataFrame) -> tuple[KindResult, ...]:
    before, now = old.groupby("kind"), new.groupby("kind")
    return tuple(
        KindResult(
            kind=str(kind),
            queries=len(mine),
            record_queries=len(before.get_group(kind)),
            fresh_ndcg=float(mine["ndcg"].mean()),
            record_ndcg=float(before.get_group(kind)["ndcg"].mean()),
            drop=float(before.get_group(kind)["value"].mean() - mine["value"].mean()),
        )
        for kind, mine in now
    )
