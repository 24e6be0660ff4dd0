"""Labelled pairs in order of time, query by query, and how they are dealt into a reference and windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Queries = npt.NDArray[np.int64]
"""Numbers of queries in order of time."""

BLOCK = 5
"""Consecutive queries that are dealt together: what was asked in the same days stays on the same side."""
MOST = 0.25
"""Share of a history that the windows may take."""
SPARE = 1.2
"""So many times the queries that a window needs are held out: not every deal shall draw the same."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ["query_id", "query", "document", "relevance", "source", "created_at"]
LIVE_COLUMNS = ["query", "document", "created_at"]
"""What live traffic has: no one labelled it, and no one says where its documents come from."""


class TooShort(Exception):
    """The history has too few queries for what is asked of it."""


@dataclass(frozen=True)
class Deal:
    """Queries on their sides: none is in two of reference, windows and held-out topics."""

    reference: Queries
    windows: Mapping[int, Sequence[Queries]]
    """Of each size in rows. Windows of one size share no query; smaller ones are parts of larger ones."""
    held_out: Queries
    """Of topics that neither the reference nor a window has."""


class History:
    """Rows of whole queries, in order of time."""

    def __init__(self, pairs: pa.Table, newcomers: Sequence[str] = ()) -> None:
        """Order `pairs`; sources in `newcomers` are in no deal's reference, and are all that replaces queries."""
        order = [("created_at", "ascending"), ("query_id", "ascending")]
        self.rows = pairs.select(COLUMNS).sort_by(order).combine_chunks()
        ids = self.rows["query_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        first = np.flatnonzero(np.diff(ids, prepend=-1))
        if len(first) != ids.max() + 1:
            raise ValueError("The rows of a query have different dates, so it stands in no one place in time.")
        self._bounds = np.append(first, len(ids))
        self.sources = np.array(self.rows["source"].take(pa.array(first)).to_pylist(), dtype=object)
        self._newcomers = np.isin(self.sources, list(newcomers))

    @classmethod
    def read(cls, path: Path) -> "History":
        """Read what `save` wrote."""
        table = pq.read_table(path)
        newcomers = (table.schema.metadata or {}).get(b"newcomers", b"").decode()
        return cls(table, newcomers.split("\n"))

    def save(self, path: Path) -> None:
        """Write the rows, and which sources are newcomers."""
        newcomers = "\n".join(sorted(set(self.sources[self._newcomers])))
        pq.write_table(self.rows.replace_schema_metadata({"newcomers": newcomers}), path)

    @property
    def queries(self) -> int:
        """How many there are, newcomers included."""
        return len(self.sources)

    @cached_property
    def rows_a_query(self) -> float:
        """Mean number of documents."""
        return float(self.rows.num_rows / self.queries)

    @cached_property
    def known(self) -> Queries:
        """The queries that may stand in a reference."""
        return np.flatnonzero(~self._newcomers)

    def table(self, queries: Queries) -> pa.Table:
        """Return the rows of `queries`, in the order of these."""
        spans = [np.arange(self._bounds[q], self._bounds[q + 1]) for q in queries]
        return self.rows.take(pa.array(np.concatenate(spans)))

    def window_queries(self, rows: int) -> int:
        """Return how many queries make a window of `rows`."""
        return max(1, round(rows / self.rows_a_query))

    def deal(
        self,
        sizes: Sequence[int],
        windows: int,
        rng: np.random.Generator,
        *,
        hold_out: float = 0,
        reference_queries: int = 10**9,
    ) -> Deal:
        """Deal blocks at random into a reference and windows.

        Args:
            sizes: of windows, in rows; they are filled with whole queries, so they have a few more or less. Left out
                is a size that would take more than a quarter of the history.
            windows: of each size, or as many as fit into the largest.
            rng: what decides.
            hold_out: share of a window that queries of other topics must be able to replace; 0 holds none out.
            reference_queries: at most.

        Raises TooShort where there is no room for the smallest window.
        """
        sizes = [rows for rows in sizes if self.window_queries(rows) <= len(self.known) * MOST]
        if not sizes:
            raise TooShort(f"{len(self.known)} queries are too few for windows and a reference")
        largest = self.window_queries(max(sizes))
        held_out = self._topics(largest * hold_out, rng) if hold_out else np.zeros(0, np.int64)
        known = np.setdiff1d(self.known, held_out)
        blocks = [known[start : start + BLOCK] for start in range(0, len(known), BLOCK)]
        dealt = [blocks[i] for i in rng.permutation(len(blocks))]
        taken = -(-largest // BLOCK)
        rest = dealt[taken : taken + -(-reference_queries // BLOCK)]
        if sum(map(len, rest)) < largest:
            raise TooShort(f"{len(known)} queries are too few for a window of {max(sizes)} rows and a reference")
        cut: dict[int, list[Queries]] = {}
        for rows in sizes:
            size = self.window_queries(rows)
            a_window = -(-size // BLOCK)
            starts = range(0, taken - a_window + 1, a_window)[:windows]
            cut[rows] = [np.sort(np.concatenate(dealt[start : start + a_window])[:size]) for start in starts]
        return Deal(np.sort(np.concatenate(rest)), cut, held_out)

    def _topics(self, queries: float, rng: np.random.Generator) -> Queries:
        if self._newcomers.any():
            return np.flatnonzero(self._newcomers)
        names, counts = np.unique(self.sources.astype(str), return_counts=True)
        # The largest is what everything else falls into: no topic, and without it little history is left.
        order = rng.permutation(np.delete(np.arange(len(names)), counts.argmax()))
        enough = np.searchsorted(np.cumsum(counts[order]), queries * SPARE) + 1
        return np.flatnonzero(np.isin(self.sources.astype(str), names[order[:enough]]))


def semeval(path: Path) -> History:
    """Read SemEval's questions and comments: `query_id` and PAIR_SCHEMA's columns.

    Questions without a good or without another comment stay out, as they stay out of a snapshot.
    """
    pairs = pq.read_table(path)
    labels = pairs.group_by("query_id").aggregate([("relevance", "min"), ("relevance", "max")])
    both = labels.filter(pc.less(labels["relevance_min"], labels["relevance_max"]))["query_id"]
    return History(pairs.filter(pc.is_in(pairs["query_id"], both.combine_chunks())))


def demo() -> History:
    """Return the demo's first cycle; the packages that its second brings are newcomers."""
    from deployments.local.demo_data import SERVICES, docstring_pairs
    from flows.contracts.pair import text_ids

    first, second = (docstring_pairs(cycle, NOW) for cycle in (1, 2))
    come = second.filter(pc.is_in(second["source"], pa.array(SERVICES)))
    pairs = pa.concat_tables([first, come])
    pairs = pairs.append_column("query_id", text_ids(pairs["query"].combine_chunks()))
    return History(pairs, SERVICES)
