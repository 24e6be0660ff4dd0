"""What finds candidates before the reranker, and whose order is the incumbent where there is no champion."""

from flows.retrieval.corpus import CORPUS_SCHEMA, PROVENANCE_SCHEMA, corpus_of
from flows.retrieval.retriever import IndexUnavailableError, OnProgress, RetrievalError, Retriever, open_retriever

__all__ = [
    "CORPUS_SCHEMA",
    "PROVENANCE_SCHEMA",
    "IndexUnavailableError",
    "OnProgress",
    "RetrievalError",
    "Retriever",
    "corpus_of",
    "open_retriever",
]
