"""Test sets drawn from real per-query metrics, with a difference of known size in them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from flows.gate import Contender
from tests.benchmarks.gate.runs import Runs

NDCG = "ndcg@10"
BUCKETS = 4
COLUMNS = 4


class OutOfReach(ValueError):
    """No mixture of these rankers differs by so much."""


class Draw(NamedTuple):
    """One test set with both sides."""

    challenger: Contender
    incumbent: Contender
    slices: pd.DataFrame
    pair: tuple[int, int]
    """Seeds of challenger and incumbent."""


def equal(runs: Runs, queries: int, rng: np.random.Generator) -> Draw:
    """Draw two seeds and a test set: nothing but chance sets the sides apart."""
    ours, theirs = _pair(runs, rng)
    return _draw(runs, runs.seeds[ours], runs.seeds[theirs], queries, rng, (ours, theirs))


def retrained_champion(runs: Runs, queries: int, rng: np.random.Generator) -> Draw:
    """Draw the champion as the loop makes it, the better of two seeds on other queries, and another seed of it."""
    ours, one, other = (int(i) for i in rng.permutation(len(runs.seeds))[:3])
    elsewhere = rng.choice(len(runs.other), len(runs.other) // 3, replace=False)
    means = {seed: runs.seeds[seed][NDCG].to_numpy()[elsewhere].mean() for seed in (one, other)}
    theirs = max(means, key=lambda seed: means[seed])
    left = np.setdiff1d(np.arange(len(runs.other)), elsewhere)
    return _draw(runs, runs.seeds[ours], runs.seeds[theirs], queries, rng, (ours, theirs), left)


def unlucky_champion(runs: Runs, queries: int, rng: np.random.Generator) -> Draw:
    """Draw the worst seed of all as champion, which no loop does: every other one is a little better in truth."""
    means = [frame[NDCG].mean() for frame in runs.seeds]
    theirs = int(np.argmin(means))
    ours = int(rng.choice([seed for seed in range(len(means)) if seed != theirs]))
    return _draw(runs, runs.seeds[ours], runs.seeds[theirs], queries, rng, (ours, theirs))


def better(runs: Runs, gain: float, queries: int, rng: np.random.Generator) -> Draw:
    """Draw two seeds, the challenger truly better by `gain`."""
    ours, theirs = _pair(runs, rng)
    everywhere = np.ones(len(runs.other), dtype=bool)
    sides = _apart(runs.seeds[ours], runs.seeds[theirs], runs.other, gain, everywhere, rng)
    return _draw(runs, *sides, queries, rng, (ours, theirs))


def harmful(runs: Runs, gain: float, fall: float, queries: int, rng: np.random.Generator) -> Draw:
    """The same, but one slice of a quarter of the queries truly falls, and the others make up for it."""
    ours, theirs = _pair(runs, rng)
    inside = (_slices(runs)["column 0"] == "0").to_numpy()
    share = inside.mean()
    elsewhere = (gain + share * fall) / (1 - share)
    sides = _apart(runs.seeds[ours], runs.seeds[theirs], runs.other, -fall, inside, rng)
    sides = _apart(*sides, runs.other, elsewhere, ~inside, rng)
    return _draw(runs, *sides, queries, rng, (ours, theirs))


def _pair(runs: Runs, rng: np.random.Generator) -> tuple[int, int]:
    ours, theirs = rng.choice(len(runs.seeds), 2, replace=False)
    return int(ours), int(theirs)


def _apart(
    challenger: pd.DataFrame,
    incumbent: pd.DataFrame,
    other: pd.DataFrame,
    gain: float,
    where: npt.NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both sides with a mean difference of `gain` over the queries `where`, exact to a query.

    One side gets another ranker's values on queries drawn until the difference is as asked: differences stay those
    between real rankers, most of them 0 and some large. Drawing so many that it is right on average only would move
    the truth from draw to draw, and blame the gate for it.
    """
    queries = np.flatnonzero(where)
    lacking = (gain - (challenger - incumbent)[NDCG].to_numpy()[queries].mean()) * len(queries)
    sides, signs = [challenger, incumbent], (1, -1)
    steps = [sign * (other - side)[NDCG].to_numpy()[queries] for sign, side in zip(signs, sides, strict=True)]
    shares = [lacking / total if (total := step.sum()) else np.inf for step in steps]
    possible = [i for i in (0, 1) if 0 <= shares[i] <= 1]
    if not possible:
        most = max((step.mean() for step in steps), key=abs)
        raise OutOfReach(f"a difference of {gain:g} is more than the other ranker can make: {most:g}")
    side = min(possible, key=lambda i: shares[i])
    order = rng.permutation(len(queries))
    reached = np.append(0.0, np.cumsum(steps[side][order]))
    chosen = queries[order[: int(np.argmin(np.abs(reached - lacking)))]]
    values = sides[side].to_numpy(copy=True)
    values[chosen] = other.to_numpy()[chosen]
    sides[side] = pd.DataFrame(values, sides[side].index, sides[side].columns)
    return sides[0], sides[1]


def _draw(
    runs: Runs,
    challenger: pd.DataFrame,
    incumbent: pd.DataFrame,
    queries: int,
    rng: np.random.Generator,
    pair: tuple[int, int],
    of: npt.NDArray[np.int64] | None = None,
) -> Draw:
    """Take a test set; where it is larger than the data, queries come again, each as a query of its own."""
    of = np.arange(len(runs.other)) if of is None else of
    rows = rng.choice(of, queries, replace=queries > len(of))
    names = pd.RangeIndex(queries).astype(str)
    taken = [frame.iloc[rows].set_axis(names) for frame in (challenger, incumbent, _slices(runs))]
    return Draw(Contender("challenger", taken[0]), Contender("champion", taken[1]), taken[2], pair)


def _slices(runs: Runs) -> pd.DataFrame:
    """Return parts that mean nothing: in each column a quarter of the queries in each bucket, by hash."""
    columns = {}
    for column in range(COLUMNS):
        names = pd.Series(runs.other.index.astype(str) + f"/{column}")
        columns[f"column {column}"] = (
            (pd.util.hash_pandas_object(names, index=False) % BUCKETS).astype(str).to_numpy()
        )
    return pd.DataFrame(columns, index=runs.other.index)
