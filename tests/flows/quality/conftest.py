"""Lists as a model with a known sureness ranks them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from flows.evaluation import per_query_metrics
from flows.quality import Selection, kinds

Shape = tuple[int, int]
"""Candidates, and how many of them are relevant."""
Ranked = tuple[pd.DataFrame, pd.DataFrame]
"""What `kinds` and what `per_query_metrics` say of the same lists."""


def make_ranked(rng: np.random.Generator, queries: int, shapes: Sequence[Shape], sureness: float) -> Ranked:
    """Rank `queries` lists by scores of spread 1 that lie `sureness` higher for relevant candidates."""
    rows = []
    for number, shape in enumerate(rng.integers(len(shapes), size=queries)):
        candidates, relevant = shapes[shape]
        score = rng.normal(size=candidates)
        score[:relevant] += sureness
        rows += [(f"q{number:05}", f"d{i}", int(i < relevant), None, score[i]) for i in range(candidates)]
    lists = pd.DataFrame(rows, columns=["query_id", "document_id", "relevance", "grade", "score"])
    lists = lists.astype({"grade": "Int8"})
    return kinds(lists), per_query_metrics(lists)


def make_selection(record: pd.DataFrame, fresh: pd.DataFrame, look: int) -> Selection:
    return Selection(pairs=None, fresh=fresh, record=record, look=look, comparable=len(fresh), unlike=0)


@pytest.fixture(scope="session")
def ranked() -> Callable[..., Ranked]:
    return make_ranked


@pytest.fixture(scope="session")
def selection() -> Callable[..., Selection]:
    return make_selection
