import numpy as np
import pandas as pd
import pytest

from flows.gate.slices import judge_slices
from flows.settings import GateSettings

SETTINGS = GateSettings(resamples=1_000)


def parted(differences, *columns):
    index = pd.Index([f"q{i}" for i in range(len(differences))])
    frame = pd.DataFrame({f"column {i}": list(column) for i, column in enumerate(columns)}, index=index)
    return judge_slices(pd.Series(differences, index=index), frame, SETTINGS)


def test_the_exact_p_value_of_a_small_case():
    """Eight queries in halves, one falls as one: of the sixteen ways to set its signs, one is as deep.

    The other half reaches as deep in its own spread in one way of sixteen too.
    """
    limits = SETTINGS.model_copy(update={"min_slice_queries": 4})
    index = pd.Index(list("12345678"))
    slices = pd.DataFrame({"half": list("aaaabbbb")}, index=index)
    found = judge_slices(pd.Series([-0.1] * 4 + [0.3] * 4, index=index), slices, limits)
    assert [part.bucket for part in found] == ["a", "b"]
    assert found[0].p_value == pytest.approx(1 - (15 / 16) ** 2)
    assert found[1].p_value == 1.0


def test_many_small_slices_of_a_true_gain_rarely_veto():
    """Forty slices of 30 queries: in most draws one of them falls by more than the setting, by chance."""
    vetoed, fell = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = parted(rng.normal(0.03, 0.25, 300), *(rng.permutation(np.arange(300) % 10) for _ in range(4)))
        vetoed += any(part.vetoed for part in found)
        fell += any(part.difference < -0.05 for part in found)
    assert vetoed <= 4
    assert fell >= 24


def test_a_slice_that_truly_falls_vetoes_though_the_whole_gains():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        group = np.arange(300) % 5
        found += any(
            p.vetoed and p.bucket == "0" for p in parted(rng.normal(np.where(group, 0.1, -0.2), 0.25), group)
        )
    assert found >= 18


def test_buckets_without_a_name_are_no_slice():
    found = parted(np.full(60, -0.2), ["a"] * 30 + [None] * 30)
    assert [(part.bucket, part.queries) for part in found] == [("a", 30)]


def test_no_columns_are_no_slices():
    assert parted(np.full(60, -0.2)) == ()
