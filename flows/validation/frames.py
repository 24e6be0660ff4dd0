"""The data as Great Expectations sees it: pandas frames with the columns that the suites speak of."""

from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.pair import PAIR_SCHEMA, text_id, text_ids
from flows.contracts.snapshot import SPLITS, Split

_BLANK = text_id("")
_CLOCK_SKEW = timedelta(minutes=5)
# Nullable types keep labels whole numbers, and leave the text where Arrow has it instead of copying it.
_TYPES = {
    pa.string(): pd.ArrowDtype(pa.string()),
    pa.int8(): pd.Int8Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def columns(schema: pa.Schema) -> pd.DataFrame:
    """Return a row for each column of a labelled pair: `name`, `expected` and `found` type, None where missing."""
    rows = [
        (field.name, str(field.type), str(schema.field(field.name).type) if field.name in schema.names else None)
        for field in PAIR_SCHEMA
    ]
    return pd.DataFrame(rows, columns=["name", "expected", "found"])


def pairs(table: pa.Table, now: datetime) -> pd.DataFrame:
    """Return the rows of `table` (PAIR_SCHEMA) with their ids, lengths in characters, age in days and flags."""
    table = _identify(table)
    columns = {name: table[name] for name in ("query_id", "document_id", *PAIR_SCHEMA.names)}
    for text in ("query", "document"):
        columns[f"{text}_is_blank"] = pc.equal(table[f"{text}_id"], _BLANK)
        columns[f"{text}_characters"] = pc.utf8_length(table[text])
    columns["is_in_future"] = pc.greater(
        table["created_at"], pa.scalar(now + _CLOCK_SKEW, PAIR_SCHEMA.field("created_at").type)
    )
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=_TYPES.get)
    frame["age_days"] = (pd.Timestamp(now) - frame["created_at"]).dt.total_seconds() / timedelta(
        days=1
    ).total_seconds()
    pair = frame.groupby(["query_id", "document_id"], sort=False, dropna=False).ngroup()
    frame["is_repeated"] = pd.DataFrame({"pair": pair, "relevance": frame["relevance"]}).duplicated()
    frame["is_contradicted"] = frame["relevance"].groupby(pair).transform("nunique") > 1
    return frame


def queries(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each query of the frame `pairs`: its text, how many candidates it has, and `rankable`."""
    distinct = pairs.dropna(subset=["query_id", "document_id"]).drop_duplicates(["query_id", "document_id"])
    frame = _group(distinct, ["query_id"])
    frame["rankable"] = (frame["positives"] > 0) & (frame["positives"] < frame["candidates"])
    return frame


def snapshot_pairs(table: pa.Table) -> pd.DataFrame:
    """Return the rows of a snapshot with `query_id_of_text`, computed anew from the text."""
    computed = _identify(table.select(["query"]), "query")["query_id"]
    frame: pd.DataFrame = table.append_column("query_id_of_text", computed).to_pandas(types_mapper=_TYPES.get)
    return frame


def snapshot_queries(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each query on each side; `rankable` asks for a negative only where the query is measured."""
    pairs = pairs.assign(query_id=pairs["query_id_of_text"])
    frame = _group(pairs, ["query_id", "split"])
    measured = frame["split"] != "train"
    frame["rankable"] = (frame["positives"] > 0) & (~measured | (frame["positives"] < frame["candidates"]))
    return frame


def snapshot_sides(queries: pd.DataFrame, expected: tuple[Split, ...] = SPLITS) -> pd.DataFrame:
    """Return a row for each side, oldest first: how many queries, when they were asked, and the newest one before."""
    sides = (
        queries.groupby("split", observed=True)["newest_pair_at"].agg(["size", "min", "max"]).reindex(list(expected))
    )
    frame = pd.DataFrame(
        {
            "split": sides.index.to_numpy(dtype=object),
            "queries": sides["size"].fillna(0).astype("int64").to_numpy(),
            "oldest_query_at": sides["min"].array,
            "newest_query_before_at": sides["max"].cummax().shift().array,
        }
    )
    frame["test_queries"] = frame["queries"].where(frame["split"] == "test").astype("Int64")
    return frame


def _identify(table: pa.Table, *texts: str) -> pa.Table:
    for text in texts or ("query", "document"):
        ids = pa.chunked_array([text_ids(chunk) for chunk in table[text].chunks], pa.string())
        table = table.append_column(f"{text}_id", ids)
    return table


def _group(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    groups = pairs.groupby(by, sort=False, dropna=True)
    return groups.agg(
        query=("query", "first"),
        candidates=("document_id", "size"),
        positives=("relevance", "sum"),
        newest_pair_at=("created_at", "max"),
    ).reset_index()
