"""Hand-made contenders."""

import numpy as np
import pandas as pd

from flows.gate import Contender, Costs, Decision, decide
from flows.settings import GateSettings

QUICK = GateSettings(resamples=1_000, seed_deviation=0)
"""Seeds explain nothing here, so that the other rules show."""


def frame(ndcg, mrr=0.6, mean_precision=0.6, queries=40):
    return pd.DataFrame(
        {"ndcg@10": ndcg, "mrr@10": mrr, "map@10": mean_precision},
        index=pd.Index([f"q{i:03}" for i in range(queries)], name="query_id"),
        dtype=float,
    )


def noisy(gain, queries, spread=0.2, seed=1, **others):
    """Differences of exactly the mean `gain` and the standard deviation `spread` over an incumbent of 0.5."""
    raw = np.random.default_rng(seed).normal(size=queries)
    raw = (raw - raw.mean()) / raw.std(ddof=1)
    return frame(0.5 + gain + spread * raw, queries=queries, **others)


def costs(latency_ms=100.0, memory_mb=500.0, artifact_mb=90.0):
    return Costs(latency_ms=latency_ms, memory_bytes=int(memory_mb * 1e6), artifact_bytes=int(artifact_mb * 1e6))


def judge(challenger, incumbent, limits=QUICK, slices=None, challenger_costs=None, incumbent_costs=None) -> Decision:
    return decide(
        [Contender("version 2", challenger, challenger_costs)],
        Contender("version 1", incumbent, incumbent_costs),
        limits,
        slices=slices,
        snapshot="5" * 64,
    )
