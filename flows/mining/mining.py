"""Mining negatives from the training split with a retriever."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.contracts.negatives import NEGATIVES_SCHEMA, NegativeKind
from flows.mining.choosing import choose_mined, choose_random, highest_similarity
from flows.retrieval import PROVENANCE_SCHEMA, OnProgress, Retriever, corpus_of
from flows.settings import MiningSettings

_log = logging.getLogger(__name__)

_KINDS: tuple[NegativeKind, ...] = ("labelled", "mined", "random")
_LABELLED, _MINED, _RANDOM = range(3)
_Row = tuple[int, int, int, float]
"""Positions of query, document and kind, and the similarity."""


@dataclass(frozen=True)
class _Query:
    position: int
    relevant: list[int]
    """Positions in the corpus."""
    other: list[int]


def mine(
    table: pa.Table, retriever: Retriever, settings: MiningSettings, on_progress: OnProgress = lambda _done, _of: None
) -> pa.Table:
    """Return the negatives of each training query: the labelled ones, similar ones that were mined, and random ones.

    Mined and random documents come from the training split alone, whatever `table` holds: a document that occurs on
    another side only is never returned, nor shown to the retriever. A mined document is not labelled for the query,
    is no copy of a relevant one or of the query, and its similarity is below the query's relevant documents' by
    `settings.margin`; see `flows.mining.choosing`. For each relevant document there are `settings.mined` and
    `settings.random`; where fewer can be mined, random ones take their place. Random ones are none that a margin
    turned down. The same table, retriever and settings give the same negatives.

    Args:
        table: Pairs (SNAPSHOT_SCHEMA); those with `split` other than `train` are left out.
        retriever: Any; its index is replaced by the training split's documents.
        settings: How many, and how far from the relevant ones.
        on_progress: Told how many documents and queries are done, and of how many.

    Returns:
        NEGATIVES_SCHEMA. Beyond the texts, which are held once, memory is bounded by `settings.chunk` queries of
        `settings.depth` documents, and 24 bytes a row.

    Raises:
        RetrievalError: the retriever cannot index or search.
    """
    table = table.filter(pc.equal(table["split"], "train"))
    if table.num_rows == 0:
        return NEGATIVES_SCHEMA.empty_table()
    corpus = corpus_of(table)
    asked = (
        table.select(["query_id", "query"]).group_by("query_id", use_threads=False).aggregate([("query", "first")])
    )
    asked = asked.sort_by("query_id").combine_chunks()
    steps = corpus.num_rows + asked.num_rows
    documents = corpus["document"].to_pylist()
    provenance = corpus.select(PROVENANCE_SCHEMA.names)
    retriever.index(documents, provenance, lambda done, _of: on_progress(done, steps))

    miner = _Miner(retriever, documents, asked["query_first"].to_pylist(), settings)
    dictionaries = [asked["query_id"], asked["query_first"], corpus["document_id"], corpus["document"]]
    shared = [*(column.combine_chunks() for column in dictionaries), pa.array(_KINDS)]
    queries = _queries(table, asked["query_id"], corpus["document_id"])
    batches = []
    for first in range(0, len(queries), settings.chunk):
        rows = list(miner.negatives(queries[first : first + settings.chunk]))
        batches.append(_batch(rows, shared))
        on_progress(corpus.num_rows + min(first + settings.chunk, len(queries)), steps)
    found = pa.Table.from_batches(batches, NEGATIVES_SCHEMA)
    _log.info("Mined %d of %d negatives for %d queries", miner.mined, found.num_rows, len(queries))
    return found


def is_needed(table: pa.Table, negatives: int, settings: MiningSettings) -> bool:
    """Tell whether queries of `table` shall be given more negatives than they have labelled: see `settings.when`.

    Args:
        table: Pairs (SNAPSHOT_SCHEMA) of the training split.
        negatives: So many a query should have.
        settings: When to mine, and how many.
    """
    if settings.when == "never" or settings.mined + settings.random == 0 or table.num_rows == 0:
        return False
    labels = table.group_by("query_id").aggregate([("relevance", "sum"), ("relevance", "count")])
    thin = pc.less(pc.subtract(labels["relevance_count"], labels["relevance_sum"]), negatives)
    asked = pc.greater(labels["relevance_sum"], 0)  # without a relevant document there is nothing to learn
    return settings.when == "always" or bool(pc.any(pc.and_(thin, asked)).as_py())


def _queries(table: pa.Table, query_ids: pa.ChunkedArray, document_ids: pa.ChunkedArray) -> list[_Query]:
    """Gather the labels by query, in order of `query_ids`, all as positions."""
    pairs = pa.table(
        {
            "query": pc.index_in(table["query_id"], query_ids.combine_chunks()),
            "document": pc.index_in(table["document_id"], document_ids.combine_chunks()),
            "relevance": table["relevance"],
        }
    ).sort_by([("query", "ascending"), ("document", "ascending")])
    columns = (pairs[name].to_pylist() for name in ("query", "document", "relevance"))
    gathered = []
    for position, rows in groupby(zip(*columns, strict=True), key=itemgetter(0)):
        labels = [(document, relevance) for _, document, relevance in rows]
        relevant = [document for document, relevance in labels if relevance]
        gathered.append(_Query(position, relevant, [document for document, relevance in labels if not relevance]))
    return gathered


class _Miner:
    """Finds the negatives of one chunk of queries after the other."""

    def __init__(self, retriever: Retriever, documents: list[str], queries: list[str], settings: MiningSettings):
        self.mined = 0
        self._retriever = retriever
        self._documents = documents
        self._queries = queries
        self._settings = settings
        self._random = np.random.default_rng(settings.seed)

    def negatives(self, chunk: list[_Query]) -> Iterator[_Row]:
        """Yield the rows of the queries of `chunk`."""
        texts = [self._queries[query.position] for query in chunk]
        found, similarities = self._retriever.search(texts, self._settings.depth)
        relevant = self._scores([(query.position, document) for query in chunk for document in query.relevant])
        chosen: list[_Row] = []
        for query, positions, values in zip(chunk, found.tolist(), similarities.tolist(), strict=True):
            of_relevant, relevant = np.split(relevant, [len(query.relevant)])
            chosen += ((query.position, document, _LABELLED, 0.0) for document in query.other)
            chosen += self._beyond(query, positions, values, of_relevant)
        scores = iter(self._scores([row[:2] for row in chosen if row[2] != _MINED]).tolist())
        yield from (row if row[2] == _MINED else (*row[:3], next(scores)) for row in chosen)

    def _beyond(
        self, query: _Query, positions: list[int], values: list[float], of_relevant: np.ndarray[Any, Any]
    ) -> Iterator[_Row]:
        """Yield a query's rows beyond its labels, random ones not yet scored; none without a relevant document."""
        if not query.relevant:
            return
        text = self._queries[query.position]
        taken = {*query.relevant, *query.other}
        protected = [text, *(self._documents[document] for document in query.relevant)]
        limit = highest_similarity(of_relevant, self._settings)
        wanted = self._settings.mined * len(query.relevant)
        mined = list(choose_mined(positions, values, self._documents, taken, protected, limit, wanted))
        self.mined += len(mined)
        yield from ((query.position, document, _MINED, value) for document, value in mined)
        too_similar = {document for document, value in zip(positions, values, strict=True) if value > limit}
        excluded = taken | too_similar | {document for document, _ in mined}
        count = wanted - len(mined) + self._settings.random * len(query.relevant)
        drawn = choose_random(len(self._documents), excluded, count, self._random)
        yield from ((query.position, document, _RANDOM, 0.0) for document in drawn)

    def _scores(self, pairs: list[tuple[int, int]]) -> np.ndarray[Any, Any]:
        queries = [self._queries[query] for query, _ in pairs]
        return self._retriever.score(queries, [self._documents[document] for _, document in pairs])


def _batch(rows: list[_Row], shared: list[pa.Array]) -> pa.RecordBatch:
    """Return the rows as NEGATIVES_SCHEMA, their texts by position in the `shared` ones."""
    query, document, kind = (pa.array([row[column] for row in rows], pa.int32()) for column in range(3))
    indices = [query, query, document, document, kind]
    arrays = [pa.DictionaryArray.from_arrays(*column) for column in zip(indices, shared, strict=True)]
    similarity = pa.array([row[3] for row in rows], pa.float32())
    return pa.RecordBatch.from_arrays([*arrays, similarity], schema=NEGATIVES_SCHEMA)
