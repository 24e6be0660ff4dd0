"""A sample of a stream: whole queries, seeded, the same in any order, fair."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from flows.contracts.pair import PAIR_SCHEMA
from flows.drift import reservoir

Traffic = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def pairs(traffic: Traffic) -> pa.Table:
    return traffic(400, seed=3, candidates=5)


@settings(max_examples=30, deadline=None)
@given(max_rows=st.integers(20, 2_500), batch=st.integers(1, 700), seed=st.integers(0, 2**40), order=st.randoms())
def test_whole_queries_in_any_order(
    pairs: pa.Table, max_rows: int, batch: int, seed: int, order: np.random.Generator
) -> None:
    kept, seen = reservoir(pairs.to_batches(batch), PAIR_SCHEMA, max_rows, seed)
    assert seen == pairs.num_rows
    assert max_rows - 5 < kept.num_rows <= max_rows or kept.num_rows == pairs.num_rows
    held = set(kept["query"].to_pylist())
    assert kept.num_rows == sum(query in held for query in pairs["query"].to_pylist())
    rows = list(range(pairs.num_rows))
    order.shuffle(rows)
    again, _ = reservoir(pairs.take(rows).to_batches(batch), PAIR_SCHEMA, max_rows, seed)
    assert set(again["query"].to_pylist()) == held


def test_every_query_has_the_same_chance(pairs: pa.Table) -> None:
    drawn = np.zeros(400)
    position = {query: i for i, query in enumerate(dict.fromkeys(pairs["query"].to_pylist()))}
    for seed in range(60):
        kept, _ = reservoir(pairs.to_batches(), PAIR_SCHEMA, 500, seed)
        drawn[[position[query] for query in set(kept["query"].to_pylist())]] += 1
    assert drawn.sum() == pytest.approx(60 * 100, rel=0.02)
    assert drawn.max() <= binom.isf(1e-6, 60, 0.25)
    assert drawn.min() >= binom.ppf(1e-6, 60, 0.25)


def test_nothing_gives_nothing() -> None:
    kept, seen = reservoir([], PAIR_SCHEMA, 10, seed=0)
    assert (kept.num_rows, seen) == (0, 0)
    assert kept.schema == PAIR_SCHEMA
