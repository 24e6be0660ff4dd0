"""Labelled pairs for the demo: docstrings as questions and answers, with candidates that BM25 finds.

Two cycles: scientific packages over the past weeks first; then, over the last two weeks, packages of another domain
(databases, services, pipelines) among a trickle of the old one. Two weeks, because an alarm needs more than one
window that has changed.
"""

from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa

from deployments.local.docstrings import Docstring, read_docstrings
from flows.contracts.pair import PAIR_SCHEMA
from flows.retrieval import open_retriever
from flows.settings import RetrievalSettings

SCIENCE = ("numpy", "scipy", "pandas", "sklearn", "statsmodels", "networkx")
SERVICES = ("sqlalchemy", "mlflow", "prefect", "tornado", "docker", "redis", "huggingface_hub", "great_expectations")

CANDIDATES = 12
MAX_DOCUMENT_CHARACTERS = 240
FIRST_QUERIES = 3000
CONTINUED_QUERIES = 300
NEW_QUERIES = 2600
FIRST_SPAN = (timedelta(weeks=12), timedelta(weeks=2))  # before now: from, to
SECOND_SPAN = (timedelta(weeks=2), timedelta(hours=1))


def docstring_pairs(cycle: Literal[1, 2], now: datetime, seed: int = 13) -> pa.Table:
    """Return the labelled pairs (PAIR_SCHEMA) that arrive for `cycle`, dated up to `now` (UTC, timezone-aware).

    Cycle 1 brings FIRST_QUERIES of SCIENCE over ten weeks, up to two weeks ago; cycle 2 brings NEW_QUERIES of
    SERVICES and CONTINUED_QUERIES of SCIENCE, mixed, over the last two. Each query has CANDIDATES documents, those
    that BM25 ranks first: queries whose own document is not among them are left out, for a reranker can only reorder
    what was found. The same packages, `now` and seed give the same rows.

    Raises MissingPackageError when a package is not installed, ValueError for a `now` without a time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"The demo data needs a time zone with the date {now}: pass datetime.now(UTC).")
    random = np.random.default_rng(seed)
    science = _lists(read_docstrings(SCIENCE, MAX_DOCUMENT_CHARACTERS), random)
    if cycle == 1:
        return _dated(science[:FIRST_QUERIES], now - FIRST_SPAN[0], now - FIRST_SPAN[1], random)
    services = _lists(read_docstrings(SERVICES, MAX_DOCUMENT_CHARACTERS), random)
    arriving = science[FIRST_QUERIES : FIRST_QUERIES + CONTINUED_QUERIES] + services[:NEW_QUERIES]
    mixed = [arriving[i] for i in random.permutation(len(arriving))]
    return _dated(mixed, now - SECOND_SPAN[0], now - SECOND_SPAN[1], random)


Candidates = tuple[Docstring, list[str]]  # a docstring, and the other documents that BM25 finds for its query


def _lists(docstrings: list[Docstring], random: np.random.Generator) -> list[Candidates]:
    """Return the docstrings that BM25 finds among its first CANDIDATES, with the rest of those, in random order."""
    documents = [docstring.document for docstring in docstrings]
    retriever = open_retriever(RetrievalSettings(kind="bm25"))
    retriever.index(documents)
    found, _ = retriever.search([docstring.query for docstring in docstrings], CANDIDATES)
    lists = [
        (docstring, [documents[position] for position in positions if position != own])
        for own, (docstring, positions) in enumerate(zip(docstrings, found, strict=True))
        if own in positions
    ]
    return [lists[i] for i in random.permutation(len(lists))]


def _dated(lists: list[Candidates], start: datetime, end: datetime, random: np.random.Generator) -> pa.Table:
    """Return one row for each candidate; the queries' dates spread over `start` to `end`."""
    offsets = np.sort(random.random(len(lists))) * (end - start).total_seconds()
    rows = [
        (docstring.query, document, relevance, docstring.source, start + timedelta(seconds=float(offset)))
        for (docstring, others), offset in zip(lists, offsets, strict=True)
        for document, relevance in [(docstring.document, 1), *((other, 0) for other in others)]
    ]
    names = ("query", "document", "relevance", "source", "created_at")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=PAIR_SCHEMA)
