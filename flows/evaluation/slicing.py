"""Kinds of queries that means over all of them can hide."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flows.evaluation.lists import EvaluationError

SLICES = ("source", "query length", "document length", "age")
"""The columns of `slices`."""
OTHER_SOURCES = "other sources"
MIN_QUERIES = 30
"""A slice of fewer queries says little, so buckets are made no finer."""
MAX_SOURCES = 8
_PARTS = 3


def slices(table: pa.Table, min_queries: int = MIN_QUERIES) -> pd.DataFrame:
    """Return which slices each query belongs to.

    - source: where most of its pairs come from; sources of fewer than `min_queries` queries, and those beyond the
      eight largest, are "other sources".
    - query length, in characters; document length, the median over its candidates; age, the days from its newest
      pair to the newest of the table. Each in three buckets of about as many queries, or two or one where three
      would hold fewer than `min_queries`, or where many queries are alike: "short: up to 38 characters".

    Args:
        table: Pairs of one split (`SNAPSHOT_SCHEMA`), in any order.
        min_queries: Useful size of a bucket.

    Returns:
        One row a query, indexed and sorted by query_id; the columns are SLICES, their values strings.

    Raises:
        EvaluationError: a column is missing.
    """
    return ordered_slices(table, min_queries).astype(str)


def ordered_slices(table: pa.Table, min_queries: int = MIN_QUERIES) -> pd.DataFrame:
    """Return `slices` as categories in the order in which people read them, from short to long, new to old."""
    needed = ("query_id", "query", "document", "source", "created_at")
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise EvaluationError(f"Cannot slice without the columns {', '.join(missing)}: pass a snapshot's split.")
    pairs = pd.DataFrame(
        {
            "query_id": table["query_id"].to_pandas(),
            "source": table["source"].to_pandas(),
            "query": pc.utf8_length(table["query"]).to_numpy(),
            "document": pc.utf8_length(table["document"]).to_numpy(),
            "created_at": table["created_at"].to_pandas(),
        }
    )
    of_query = pairs.groupby("query_id")
    lengths = of_query["document"].median().round()
    age = (pairs["created_at"].max() - of_query["created_at"].max()).dt.days
    found = {
        "source": _sources(pairs, min_queries),
        "query length": _buckets(of_query["query"].max(), ("short", "medium", "long"), "characters", min_queries),
        "document length": _buckets(lengths, ("short", "medium", "long"), "characters", min_queries),
        "age": _buckets(age, ("new", "older", "oldest"), "days old", min_queries),
    }
    return pd.DataFrame(found, columns=list(SLICES))


def slice_means(per_query: pd.DataFrame, slices: pd.DataFrame) -> pd.DataFrame:
    """Return the means of each slice's queries.

    Args:
        per_query: Numbers indexed by query_id, such as `per_query_metrics`, or differences of two.
        slices: Made by `slices` from the table that was judged; queries that were not judged are passed over.

    Returns:
        Indexed by slice and bucket, buckets without a judged query left out; the columns are `queries`, how many,
        and those of `per_query`.

    Raises:
        EvaluationError: `slices` does not know a query.
    """
    check_known(per_query, slices)
    found = {}
    for name in slices.columns:
        grouped = per_query.groupby(slices[name].loc[per_query.index], observed=True)
        means = grouped.mean()
        means.insert(0, "queries", grouped.size())
        found[name] = means.set_axis(means.index.astype(str))
    return pd.concat(found, names=["slice", "bucket"])


def check_known(per_query: pd.DataFrame, slices: pd.DataFrame) -> None:
    """Raise EvaluationError where a judged query belongs to no slice."""
    unknown = per_query.index.difference(slices.index)
    if len(unknown):
        raise EvaluationError(
            f"{len(unknown)} judged queries are not in the table that was sliced, such as {unknown[0]}: slice the "
            "split that was judged."
        )


def _sources(pairs: pd.DataFrame, min_queries: int) -> pd.Series:
    counted = pairs.groupby(["query_id", "source"]).size().rename("pairs").reset_index()
    counted = counted.sort_values(["query_id", "pairs", "source"], ascending=[True, False, True])
    of_query = counted.drop_duplicates("query_id").set_index("query_id")["source"]
    sizes = of_query.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    large = list(sizes.index[sizes >= min_queries][:MAX_SOURCES])
    if len(sizes) - len(large) <= 1:  # one alone keeps its name: folding it would only hide it
        large = list(sizes.index)
    named = of_query.where(of_query.isin(large), OTHER_SOURCES)
    return _categories(named, [*large, OTHER_SOURCES])


def _buckets(values: pd.Series, words: tuple[str, str, str], unit: str, min_queries: int) -> pd.Series:
    """Return the bucket of each of `values`, which are whole numbers."""
    if values.empty:
        return values.astype(object)
    low, high = int(values.min()), int(values.max())
    parts = min(_PARTS, max(1, len(values) // min_queries))
    # Edges are values that occur, so that no bucket is empty; one at the top would leave nothing above it.
    edges = np.quantile(values, np.arange(1, parts) / parts, method="inverted_cdf").astype(np.int64)
    edges = np.unique(edges[edges < high])
    match edges.tolist():
        case []:
            names = [f"all: {low} to {high} {unit}" if low < high else f"all: {low} {unit}"]
        case [edge]:
            names = [f"{words[0]}: up to {edge} {unit}", f"{words[2]}: over {edge} {unit}"]
        case [first, second]:
            middle = f"{first + 1} to {second}" if first + 1 < second else f"{second}"
            names = [
                f"{words[0]}: up to {first} {unit}",
                f"{words[1]}: {middle} {unit}",
                f"{words[2]}: over {second} {unit}",
            ]
    bucket = np.searchsorted(edges, values)
    return _categories(pd.Series(np.array(names, dtype=object)[bucket], index=values.index), names)


def _categories(values: pd.Series, order: list[str]) -> pd.Series:
    present = set(values)
    kept = [name for name in dict.fromkeys(order) if name in present]
    return values.astype(pd.CategoricalDtype(kept, ordered=True))
