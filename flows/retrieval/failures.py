"""What Qdrant can answer, in words, and told apart by whether trying again can help."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse

from flows.retrieval.retriever import IndexUnavailableError, RetrievalError

_HEALING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.NOT_FOUND,  # the collection was there a moment ago: the next indexing makes it again
}
_KEY = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


@contextmanager
def in_words(place: str) -> Iterator[None]:
    """Raise IndexUnavailableError or RetrievalError, naming `place`, where Qdrant's client raises its own."""
    try:
        yield
    except ResourceExhaustedResponse as error:
        raise IndexUnavailableError(
            f"Qdrant at {place} asks to come back in {error.retry_after_s} s: {error}"
        ) from error
    except grpc.RpcError as error:
        raise _from_grpc(error, place) from error
    except (sqlite3.Error, OSError) as error:
        raise RetrievalError(
            f"The embedded Qdrant in {place} cannot be read or written ({error}): see that the disk has room. Where "
            "the file is damaged remove the folder: it holds vectors alone, which the next indexing computes again."
        ) from error


def _from_grpc(error: grpc.RpcError, place: str) -> RetrievalError:
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    said = error.details() if isinstance(error, grpc.Call) else str(error)
    answer = f"Qdrant at {place} answered {code.name} ({said})"
    if code is grpc.StatusCode.UNAVAILABLE:
        return IndexUnavailableError(
            f"Qdrant at {place} cannot be reached ({said}): check that it runs, RERANKER_RETRIEVAL__QDRANT_URL and "
            "RERANKER_RETRIEVAL__QDRANT_GRPC_PORT."
        )
    if code in _HEALING:
        return IndexUnavailableError(f"{answer}: a later attempt can succeed, and continues where this one ended.")
    if code in _KEY:
        return RetrievalError(f"{answer}: set RERANKER_RETRIEVAL__QDRANT_API_KEY to a key that may write.")
    return RetrievalError(f"{answer}, and will answer so again.")
