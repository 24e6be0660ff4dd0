"""A collection of Qdrant: its points by id, each a vector and a payload."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from qdrant_client import QdrantClient, models

from flows.retrieval.failures import in_words
from flows.retrieval.retriever import RetrievalError

Payload = dict[str, Any]

_PAGE = 10_000
_INDEXED = {
    "sources": models.PayloadSchemaType.KEYWORD,
    "subject_ids": models.PayloadSchemaType.KEYWORD,
    "created_at": models.PayloadSchemaType.DATETIME,
}


class Where(BaseModel):
    """Which documents a search may find: those that hold to everything that is given."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[str, ...] = ()
    """One of these; empty for any."""
    created_from: datetime | None = None
    created_before: datetime | None = None

    def to_filter(self) -> models.Filter:
        """Return the same for Qdrant."""
        must: list[models.Condition] = []
        if self.sources:
            must.append(models.FieldCondition(key="sources", match=models.MatchAny(any=list(self.sources))))
        if self.created_from or self.created_before:
            between = models.DatetimeRange(gte=self.created_from, lt=self.created_before)
            must.append(models.FieldCondition(key="created_at", range=between))
        return models.Filter(must=must)


class Points:
    """The points of one collection. Every method raises what `flows.retrieval.failures.in_words` says."""

    def __init__(self, client: QdrantClient, name: str, place: str) -> None:
        self._client = client
        self._name = name
        self._place = place

    def prepare(self, dimension: int, indexed: bool) -> None:
        """Make the collection where it is not there, for unit vectors of `dimension`.

        The dot product of unit vectors is their cosine; Distance.COSINE would divide by the norms again, and local
        mode does so in each search: 11 ms against 4 a query were measured on 10,000 points.

        Args:
            dimension: Of the vectors. RetrievalError where those of the collection have another.
            indexed: Index the payload for filters; local mode has no such thing.
        """
        with in_words(self._place):
            if not self._client.collection_exists(self._name):
                self._create(models.VectorParams(size=dimension, distance=models.Distance.DOT))
            found = self._client.get_collection(self._name).config.params.vectors
            for field, schema in _INDEXED.items() if indexed else ():
                self._client.create_payload_index(self._name, field, field_schema=schema)
        if not isinstance(found, models.VectorParams) or found.size != dimension:
            held = f"vectors of {found.size} numbers" if isinstance(found, models.VectorParams) else "named vectors"
            raise RetrievalError(
                f"The collection {self._name} of Qdrant at {self._place} holds {held}, where the bi-encoder gives "
                f"{dimension}, so something else made it: choose another name with RERANKER_RETRIEVAL__COLLECTION."
            )

    def _create(self, vectors: models.VectorParams) -> None:
        try:
            self._client.create_collection(self._name, vectors_config=vectors)
        except Exception:
            if not self._client.collection_exists(self._name):  # else another run was quicker by a moment
                raise

    def payloads(self) -> Iterator[tuple[str, Payload]]:
        """Yield the id and the payload of each point."""
        page: models.ExtendedPointId | None = None
        while True:
            with in_words(self._place):
                records, page = self._client.scroll(self._name, limit=_PAGE, offset=page, with_payload=True)
            yield from ((str(record.id), record.payload or {}) for record in records)
            if page is None:
                return

    def put(self, ids: Sequence[str], vectors: npt.NDArray[np.float32], payloads: Sequence[Payload]) -> None:
        """Write points, in place of those with the same ids; they are kept when this returns."""
        batch = models.Batch(ids=list(ids), vectors=vectors.tolist(), payloads=list(payloads))
        with in_words(self._place):
            self._client.upsert(self._name, batch, wait=True)

    def describe(self, payloads: Mapping[str, Payload]) -> None:
        """Write other payloads to points, their vectors left as they are."""
        operations = [
            models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload=payload, points=[point]))
            for point, payload in payloads.items()
        ]
        with in_words(self._place):
            self._client.batch_update_points(self._name, operations, wait=True)

    def remove(self, ids: Sequence[str]) -> None:
        """Delete points."""
        with in_words(self._place):
            self._client.delete(self._name, models.PointIdsList(points=list(ids)), wait=True)

    def remove_subject(self, subject_id: str) -> int:
        """Delete the points of a person's texts and return how many there were."""
        match = models.FieldCondition(key="subject_ids", match=models.MatchValue(value=subject_id))
        theirs = models.Filter(must=[match])
        with in_words(self._place):
            count = self._client.count(self._name, theirs, exact=True).count
            if count:
                self._client.delete(self._name, models.FilterSelector(filter=theirs), wait=True)
        return count

    def count(self) -> int:
        """Return how many points there are."""
        with in_words(self._place):
            return self._client.count(self._name, exact=True).count

    def vectors(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors of those of `ids` that are there."""
        with in_words(self._place):
            records = self._client.retrieve(self._name, list(ids), with_payload=False, with_vectors=True)
        return {str(record.id): record.vector for record in records}  # type: ignore[misc]

    def nearest(
        self, queries: npt.NDArray[np.float32], limit: int, exact: bool | None, where: Where | None
    ) -> list[list[tuple[str, float]]]:
        """Return the ids and cosines of the `limit` nearest points to each row of `queries`, best first.

        `exact` decides between every vector and the HNSW graph, None leaves it to Qdrant.
        """
        requests = [
            models.QueryRequest(
                query=query,
                limit=limit,
                filter=where.to_filter() if where else None,
                params=None if exact is None else models.SearchParams(exact=exact),
                with_payload=False,
            )
            for query in queries.tolist()
        ]
        with in_words(self._place):
            answers = self._client.query_batch_points(self._name, requests)
        return [[(str(point.id), point.score) for point in answer.points] for answer in answers]
