"""Rows of a stretch of time, grouped by query: the unit that is drawn, compared and counted.

Rows of one query are not independent, so nothing in this package draws or counts single rows.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.pair import text_ids

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.uint64]

_INSTANT = pa.timestamp("us", tz="UTC")

LARGEST_SHARE = 0.25
"""Of a sample, that one query may take."""

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts -> sentence embeddings, shape (texts, dimension)."""
Score = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.float32]]
"""Queries, documents -> one score a pair."""

log = logging.getLogger(__name__)


def select_window(pairs: pa.Table, now: datetime, window_days: float) -> pa.Table:
    """Return the rows with `now - window_days < created_at <= now`, columns as they came.

    Rows dated after `now` (a clock that runs ahead) stay out, and their number is logged. Time stamps without a
    zone are read as UTC. ValueError where `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("`now` has no time zone: pass an aware time, such as datetime.now(UTC)")
    created = _instants(pairs)
    end = pa.scalar(now, _INSTANT)
    start = pa.scalar(now - timedelta(days=window_days), _INSTANT)
    future = pc.sum(pc.greater(created, end)).as_py() or 0
    if future:
        log.warning("%d rows are dated after %s and stay out of the window", future, now.isoformat())
    return pairs.filter(pc.and_(pc.greater(created, start), pc.less_equal(created, end)))


@dataclass(frozen=True)
class Period:
    """The rows of one side, and which query each belongs to; queries are numbered in order of time."""

    rows: pa.Table
    query: Integers
    """Number of each row's query, 0..queries-1; shape (rows,)."""
    weight: Floats
    """Weight of each row within its query; they sum to 1 for each query. Relevant and other documents weigh the
    same, because a snapshot's training side has only a part of its negatives; shape (rows,)."""
    queries: int
    embeddings: Mapping[str, Floats] = field(default_factory=dict)
    """By column, the sentence embeddings of one text of each of some queries, in order of time; shape (some, d)."""

    @classmethod
    def of(cls, pairs: pa.Table) -> "Period":
        """Group `pairs` by the id of their query (each row alone where there is no query column)."""
        if not pairs.num_rows:
            return cls(pairs, np.zeros(0, np.int64), np.zeros(0), 0)
        query = _codes(pairs) if "query" in pairs.column_names else np.arange(pairs.num_rows)
        asked = np.full(query.max() + 1, np.iinfo(np.int64).max)
        if "created_at" in pairs.column_names:
            instants = pc.fill_null(_instants(pairs).cast(pa.int64()), np.iinfo(np.int64).max)
            np.minimum.at(asked, query, instants.to_numpy())
        rank = np.empty(len(asked), np.int64)
        rank[np.argsort(asked, kind="stable")] = np.arange(len(asked))
        query = rank[query]
        return cls(pairs, query, _weights(query, pairs), len(asked))

    def rankable(self) -> "Period":
        """Return the queries with both a relevant and another document: the only ones that a snapshot keeps."""
        if not self.has("relevance"):
            return self
        relevant = _relevant(self.rows)
        both = np.ones(self.queries, bool)
        for label in (relevant, ~relevant):
            both &= np.bincount(self.query, weights=label, minlength=self.queries) > 0
        return self.part(both)

    def sample(self, max_rows: int, seed: int) -> "Period":
        """Return whole queries, drawn without replacement, of `max_rows` rows at most; itself where it is small.

        A query that alone would be a quarter of the sample stays out.
        """
        if self.rows.num_rows <= max_rows:
            return self
        order = np.random.default_rng(seed).permutation(self.queries)
        sizes = np.bincount(self.query, minlength=self.queries)
        order = order[sizes[order] <= max(1, max_rows * LARGEST_SHARE)]
        chosen = np.zeros(self.queries, bool)
        chosen[order[np.cumsum(sizes[order]) <= max_rows]] = True
        return self.part(chosen)

    def part(self, queries: npt.NDArray[np.bool_]) -> "Period":
        """Return the rows of the queries that are chosen; shape (queries,)."""
        return self if queries.all() else Period.of(self.rows.filter(pa.array(queries[self.query])))

    def having(self, column: str) -> "Period":
        """Return the queries whose every row has a value in `column`."""
        missing = np.bincount(self.query[self.rows[column].is_null().to_numpy()], minlength=self.queries)
        return self.part(missing == 0)

    def embedded(self, encode: "Encode", max_queries: int) -> "Period":
        """Return this with embeddings of each query's text and of one document, for queries at even distances."""
        chosen = np.zeros(self.queries, bool)
        chosen[np.linspace(0, self.queries - 1, min(max_queries, self.queries)).astype(np.int64)] = True
        some = self.part(chosen)
        first = some.first_rows()
        if some.has("relevance"):  # a relevant one, where there is one
            order = np.lexsort((~_relevant(some.rows), some.query))
            first = order[np.unique(some.query[order], return_index=True)[1]]
        texts = {c: some.rows[c].take(pa.array(first)).to_pylist() for c in ("query", "document") if some.has(c)}
        vectors = {c: np.asarray(encode([text or "" for text in of]), np.float64) for c, of in texts.items()}
        return replace(self, embeddings={c: v[np.isfinite(v).all(axis=1)] for c, v in vectors.items()})

    def scored(self, score: "Score", trained: Numbers, max_rows: int, seed: int) -> "Period":
        """Return this with the column `score` for the rows of some whole queries, `max_rows` at most; else null.

        None of the queries that are `trained`: of these the champion is surer than of anything new.
        """
        rows = self.rows
        eligible = rows.filter(pa.array(~np.isin(query_numbers(rows), trained)))
        some = Period.of(eligible).sample(max_rows, seed).rows
        pairs = [some[c].to_pylist() for c in ("query", "document")]
        known = dict(zip(zip(*pairs, strict=True), np.asarray(score(*pairs), np.float64).tolist(), strict=True))
        keys = zip(rows["query"].to_pylist(), rows["document"].to_pylist(), strict=True)
        scores = np.array([known.get(key, np.nan) for key in keys])
        return replace(self, rows=rows.append_column("score", pa.array(scores, mask=~np.isfinite(scores))))

    def indicators(self, codes: Integers, width: int) -> Any:
        """Return each query's weighted share of rows with each code, CSR (queries, width)."""
        from scipy.sparse import csr_array

        return csr_array((self.weight, (self.query, codes)), shape=(self.queries, width))

    def means(self, vectors: Any, index: Integers) -> Any:
        """Return each query's weighted mean of vectors (distinct texts, d), of which row i has number index[i]."""
        from scipy.sparse import csr_array

        mean = csr_array((self.weight, (self.query, index)), shape=(self.queries, vectors.shape[0]))
        return mean @ vectors

    def relevant_documents(self) -> Integers:
        """Return how many relevant documents each query has; shape (queries,)."""
        return np.bincount(self.query, weights=_relevant(self.rows), minlength=self.queries).astype(np.int64)

    def has(self, column: str) -> bool:
        """Whether `column` is there and holds anything."""
        return column in self.rows.column_names and self.rows[column].null_count < self.rows.num_rows

    def texts(self, column: str) -> tuple[list[str], Integers]:
        """Return the distinct texts of `column` and each row's index among them; a null is an empty text."""
        encoded = pc.fill_null(self.rows[column].cast(pa.string()), "").combine_chunks().dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)

    def first_rows(self) -> Integers:
        """Return the index of one row of each query, in order of time; shape (queries,)."""
        return np.unique(self.query, return_index=True)[1]

    def span(self) -> tuple[datetime | None, datetime | None]:
        """Return the time of the oldest and the newest row, in UTC."""
        if not self.rows.num_rows or "created_at" not in self.rows.column_names:
            return None, None
        ends = pc.min_max(_instants(self.rows)).as_py()
        return ends["min"], ends["max"]


def trained_queries(pairs: pa.Table) -> Numbers:
    """Return the numbers of a snapshot's queries that its champion has seen: all but those of the test split."""
    if "split" not in pairs.column_names:
        return np.zeros(0, np.uint64)
    return np.unique(query_numbers(pairs.filter(pc.not_equal(pairs["split"], "test"))))


def query_numbers(pairs: pa.Table) -> Numbers:
    """Return the `text_id` of each row's query as a number; shape (rows,)."""
    if "query" not in pairs.column_names:
        return np.zeros(pairs.num_rows, np.uint64)
    encoded = text_ids(pairs["query"].cast(pa.string()).combine_chunks()).fill_null("0").dictionary_encode()
    named = np.array([int(name, 16) for name in encoded.dictionary.to_pylist()], np.uint64)
    numbers: Numbers = named[encoded.indices.to_numpy()]
    return numbers


def _weights(query: Integers, pairs: pa.Table) -> Floats:
    group = query * 2 + (_relevant(pairs) if "relevance" in pairs.column_names else 0)
    size = np.bincount(group, minlength=2 * (query.max() + 1))
    labels = (size.reshape(-1, 2) > 0).sum(axis=1)
    weights: Floats = 1.0 / (size[group] * labels[query])
    return weights


def _relevant(pairs: pa.Table) -> npt.NDArray[np.bool_]:
    relevant: npt.NDArray[np.bool_] = pc.fill_null(pc.greater(pairs["relevance"], 0), False).to_numpy()
    return relevant


def _codes(pairs: pa.Table) -> Integers:
    named = "query_id" in pairs.column_names
    ids = pairs["query_id" if named else "query"].cast(pa.string()).combine_chunks()
    ids = pc.fill_null(ids if named else text_ids(ids), "")
    codes: Integers = ids.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes


def _instants(pairs: pa.Table) -> Any:
    created = pairs["created_at"]
    if pa.types.is_timestamp(created.type) and created.type.tz is None:
        created = pc.assume_timezone(created, "UTC")
    return created.cast(_INSTANT, safe=False)
