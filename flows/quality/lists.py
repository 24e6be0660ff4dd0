"""What a list's labels alone say: what chance gets on it, and which lists are like it."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.evaluation import CUT, gains

_HALF_OCTAVES = 2
_DISCOUNTS = 1 / np.log2(np.arange(2, CUT + 2))


def expected_ndcg(gain: npt.ArrayLike) -> float:
    """Return the mean NDCG@10 over all orders of a list; NaN where nothing in it gains anything.

    Every candidate stands at every rank equally often, so the expected DCG is the mean gain times the sum of the
    discounts 1/log2(rank + 1) of the ranks that are filled, up to 10.

    >>> round(expected_ndcg([1, 0]), 4)
    0.8155
    """
    values = np.sort(np.asarray(gain, dtype=np.float64))[::-1]
    ideal = float(values[:CUT] @ _DISCOUNTS[: len(values)]) if values.size else 0.0
    if ideal == 0:
        return float("nan")
    return float(values.mean() * _DISCOUNTS[: len(values)].sum() / ideal)


def kinds(lists: pd.DataFrame) -> pd.DataFrame:
    """Return what each list is like (columns query_id, relevance, grade; one row a candidate, in any order).

    Returns:
        One row a query, indexed and sorted by query_id: `expected`, its NDCG@10 by chance, and `kind`, in words.
        Lists of a kind have about as many candidates and relevant ones (within half an octave), and are graded or
        not. Lists whose every order is as good (nothing relevant, or all alike) are left out.
    """
    named = lists[["query_id"]].assign(gain=gains(lists))
    gain_of = named.groupby("query_id")["gain"]
    found = pd.DataFrame({"expected": gain_of.apply(expected_ndcg).astype(np.float64)}).rename_axis("query_id")
    found["kind"] = gain_of.apply(_kind).astype(str)
    return found[found["expected"] < 1 - 1e-9]


def corrected(ndcg: pd.Series, expected: pd.Series) -> pd.Series:
    """Return NDCG on a scale where chance has 0 and the best order 1: (ndcg - expected) / (1 - expected)."""
    return (ndcg - expected) / (1 - expected)


def _kind(gain: pd.Series) -> str:
    relevant = _about(int((gain > 0).sum()))
    return f"{relevant} of {_about(len(gain))}{', graded' if gain.max() > 1 else ''}"


def _about(number: int) -> str:
    """Return the half octave that holds `number`: "1", "2", "3", "4-5", "6-7", "8-11", "12-15", "16-22", ..."""
    if number < 1:
        return "0"
    step = int(_HALF_OCTAVES * np.log2(number) + 1e-9)
    low = int(np.ceil(2 ** (step / _HALF_OCTAVES) - 1e-9))
    high = int(np.ceil(2 ** ((step + 1) / _HALF_OCTAVES) - 1e-9)) - 1
    return f"{low}" if low == high else f"{low}-{high}"
