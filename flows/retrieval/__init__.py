"""What finds candidates before the reranker, and whose order is the incumbent where there is no champion."""

from flows.retrieval.retriever import RetrievalError, Retriever, open_retriever

__all__ = ["RetrievalError", "Retriever", "open_retriever"]
