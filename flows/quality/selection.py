"""Which freshly labelled queries are judged."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.snapshot import Snapshot
from flows.quality.lists import kinds
from flows.settings import CleaningSettings, QualitySettings
from flows.snapshot import NoPairsError, clean


@dataclass(frozen=True)
class Selection:
    """Fresh lists to score, and what they are held against. Both frames are made by `kinds`."""

    pairs: pa.Table | None
    """Cleaned pairs of the fresh queries to judge; None while there are too few."""
    fresh: pd.DataFrame
    """The queries to judge; none while there are too few."""
    record: pd.DataFrame
    """The test queries of the champion's snapshot."""
    look: int
    """How many times the fresh queries have doubled, from 1; 0 while there are too few."""
    comparable: int
    """Fresh queries of a kind that the record knows."""
    unlike: int
    """Fresh queries of a kind that the record does not know, or not well enough."""


def select(
    batches: Iterable[pa.RecordBatch],
    snapshot: Snapshot,
    settings: QualitySettings,
    cleaning: CleaningSettings,
    now: datetime | None = None,
) -> Selection:
    """Choose the fresh queries to judge.

    Fresh are pairs that are newer than the newest of `snapshot`, of queries that it does not hold at all. They are
    cleaned as pairs for a snapshot are, and those kept whose kind of list the record knows. Of more than
    `max_queries`, on either side, those with the smallest ids stay, which are hashes.

    Args:
        batches: Pairs of the store (PAIR_SCHEMA); older ones are passed over.
        snapshot: The champion's.
        settings: How many are needed.
        cleaning: As for a snapshot.
        now: As for `clean`.

    Raises InvalidPairsError when a column is missing or has another type.
    """
    record = kinds(snapshot.table("test").select(["query_id", "relevance", "grade"]).to_pandas())
    record = record.sort_index().head(settings.max_queries)
    known = record["kind"].value_counts()
    known_kinds = known.index[known >= settings.min_record]
    table = _fresh(batches, snapshot, cleaning, now)
    if table is None:
        return Selection(None, record.iloc[:0], record, look=0, comparable=0, unlike=0)
    fresh = kinds(table.select(["query_id", "relevance", "grade"]).to_pandas())
    comparable = fresh[fresh["kind"].isin(known_kinds)]
    look, queries = _look(len(comparable), settings.min_queries)
    chosen = comparable.loc[_oldest(table, comparable.index, queries)].sort_index().head(settings.max_queries)
    pairs = table.filter(pc.is_in(table["query_id"], value_set=pa.array(chosen.index, pa.string()))) if look else None
    return Selection(pairs, chosen, record, look, len(comparable), len(fresh) - len(comparable))


def _fresh(
    batches: Iterable[pa.RecordBatch], snapshot: Snapshot, cleaning: CleaningSettings, now: datetime | None
) -> pa.Table | None:
    """Return the cleaned pairs that the snapshot's time and queries do not reach, None where there are none."""
    end = pa.scalar(snapshot.manifest.last_pair_at, pa.timestamp("us", tz="UTC"))
    newer = (batch.filter(pc.greater(batch.column("created_at"), end)) for batch in batches)
    try:
        table = clean(newer, cleaning, now).table
    except NoPairsError:
        return None
    held = snapshot.table()["query_id"].unique()
    table = table.filter(pc.invert(pc.is_in(table["query_id"], value_set=held)))
    return table if table.num_rows else None


def _look(queries: int, first: int) -> tuple[int, int]:
    """Return which look it is, and of how many queries: `first`, twice as many, four times as many, ..."""
    look = (queries // first).bit_length()
    return look, first * 2 ** (look - 1) if look else 0


def _oldest(table: pa.Table, queries: "pd.Index[str]", number: int) -> list[str]:
    """Return the `number` of `queries` that were labelled first; equal times are ordered by id, which is a hash."""
    times = table.select(["query_id", "created_at"]).to_pandas().groupby("query_id")["created_at"].min()
    first = times.loc[queries].reset_index().sort_values(["created_at", "query_id"])
    return list(first["query_id"].head(number))
