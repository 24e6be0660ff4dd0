"""Weeks of made-up search traffic with a knob for everything that can drift."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA

START = datetime(2025, 1, 6, tzinfo=UTC)
TOPICS = {
    "arrays": ["array", "shape", "axis", "reshape", "broadcast", "stride", "dtype", "slice", "matrix", "vector"],
    "tables": ["frame", "column", "index", "join", "pivot", "merge", "group", "label", "series", "missing"],
    "models": ["estimator", "fit", "predict", "kernel", "score", "pipeline", "cluster", "feature", "regress", "tree"],
    "tensors": [
        "gradient",
        "backward",
        "optimizer",
        "autograd",
        "layer",
        "dropout",
        "cuda",
        "epoch",
        "batch",
        "device",
    ],
}
COMMON = [a + b for a in ("ba", "co", "di", "fu", "lo", "mi", "ne", "pa", "ro", "su") for b in ("ran", "tel", "vis")]

Traffic = Callable[..., pa.Table]


@pytest.fixture(scope="session")
def traffic() -> Traffic:
    return make_traffic


def make_traffic(
    queries: int,
    seed: int,
    topics: dict[str, float] | None = None,
    day: float = 0,
    days: float = 7,
    candidates: int = 6,
    relevant: float = 1.5,
    longer: float = 1,
) -> pa.Table:
    """Return PAIR_SCHEMA rows of `queries` queries, `candidates` documents each, spread over `days` from `day` on."""
    rng = np.random.default_rng(seed)
    shares = topics or {"arrays": 0.4, "tables": 0.4, "models": 0.2}
    rows = []
    for number in range(queries):
        topic = rng.choice(list(shares), p=list(shares.values()))
        words = COMMON + 3 * TOPICS[topic]
        query = " ".join([*rng.choice(words, 5), f"q{seed}n{number}"])
        at = START + timedelta(days=day + days * number / queries)
        positives = int(np.clip(rng.poisson(relevant), 1, candidates - 1))
        for rank in range(candidates):
            text = " ".join(rng.choice(words, max(3, int(longer * rng.gamma(9, 2)))))
            rows.append((query, text, int(rank < positives), topic, at, None, None))
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in PAIR_SCHEMA]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, PAIR_SCHEMA, strict=True)], schema=PAIR_SCHEMA)
