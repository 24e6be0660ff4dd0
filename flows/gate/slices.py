"""Parts of the test queries: whether one of them got worse while the whole got better."""

import numpy as np
import pandas as pd

from flows.gate.contender import GateError
from flows.gate.decision import Slice
from flows.gate.evidence import Values, p_value, signs
from flows.settings import GateSettings

_ROUNDING = 1e-9


def judge_slices(differences: pd.Series, slices: pd.DataFrame, settings: GateSettings) -> tuple[Slice, ...]:
    """Return what became of each part, the deepest fall first.

    A part vetoes when it holds enough queries, falls by more than the setting, and by more than chance explains over
    all parts together: one of many small parts nearly always falls.

    Args:
        differences: Of NDCG@10, indexed by query_id.
        slices: Indexed by query_id; a column a way to part the queries, named buckets in it.
        settings: The least size, the largest fall and the level.

    Raises:
        GateError: a query stands in no row or in several.
    """
    if slices.index.has_duplicates or not differences.index.isin(slices.index).all():
        raise GateError("Each judged query needs one row of slices: make them from the same split.")
    names, members = _members(slices.loc[differences.index])
    sizes = members.sum(axis=0)
    useful = sizes >= settings.min_slice_queries
    values = differences.to_numpy(dtype=np.float64)
    means = values @ members / np.maximum(sizes, 1)
    p_values = np.full(len(names), np.nan)
    p_values[useful] = _p_values(values, members[:, useful], settings.resamples)
    found = [
        Slice(
            column=column,
            bucket=bucket,
            queries=int(size),
            difference=float(mean),
            p_value=float(p) if enough else None,
            vetoed=bool(enough and mean < -settings.max_slice_fall - _ROUNDING and p < settings.max_p_value),
        )
        for (column, bucket), size, mean, p, enough in zip(names, sizes, means, p_values, useful, strict=True)
    ]
    return tuple(sorted(found, key=lambda s: (s.difference, s.column, s.bucket)))


def _members(slices: pd.DataFrame) -> tuple[list[tuple[str, str]], Values]:
    """Return (column, bucket) of each part, and who is in it: 0 or 1, shape (queries, parts)."""
    parts = {
        (str(column), str(bucket)): (slices[column] == bucket).to_numpy(dtype=np.float64)
        for column in slices.columns
        for bucket in sorted(slices[column].dropna().unique())
    }
    return list(parts), np.stack(list(parts.values()), axis=1) if parts else np.empty((len(slices), 0))


def _p_values(values: Values, members: Values, resamples: int) -> Values:
    """Return for each part how often, under random signs, any part falls as far as this one, in its own spread.

    The single-step maxT of Westfall and Young, "Resampling-Based Multiple Testing" (1993): exact where parts overlap.
    """
    parts = values[:, np.newaxis] * members
    spread = np.sqrt((parts**2).sum(axis=0))
    scaled = np.divide(parts, spread, out=np.zeros_like(parts), where=spread > 0)
    observed = -scaled.sum(axis=0) - _ROUNDING
    as_deep = np.zeros(members.shape[1])
    for batch in signs(len(values), resamples):
        deepest = -(batch @ scaled).min(axis=1, initial=np.inf)
        as_deep += (deepest[:, np.newaxis] >= observed).sum(axis=0)
    return p_value(as_deep, len(values), resamples)
