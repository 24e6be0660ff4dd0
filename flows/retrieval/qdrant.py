"""Dense retrieval with the corpus in Qdrant: embedded in a folder, or a server over gRPC."""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from qdrant_client import QdrantClient

from flows.contracts.pair import text_ids
from flows.contracts.scorer import Scorer
from flows.retrieval.embedded import EmbeddedQdrant
from flows.retrieval.failures import in_words
from flows.retrieval.points import Payload, Points, Where
from flows.retrieval.retriever import IndexUnavailableError, OnProgress, RetrievalError, quiet
from flows.settings import RetrievalSettings

_NAMESPACE = uuid.UUID("5c0b7f0e-6d0c-5a57-9c3e-7b1f6d8f2a41")
_QUERIES = 64
"""In one request."""


class Encoder(Scorer, Protocol):
    """A bi-encoder."""

    @property
    def fingerprint(self) -> str:
        """Names weights and settings: equal ones give equal vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors, shape (texts, dimension)."""
        ...


class QdrantBiEncoder:
    """Ranks as the bi-encoder does; its vectors are kept, so that each document is embedded once for all runs.

    A collection holds one corpus as one model sees it, so vectors of different models never meet. A point is named
    by its document's `text_id`; indexing brings the collection in line with the corpus, writes only what is missing,
    and takes up where a killed run ended. The payload holds ids, sources and dates, no text: what the store forgets
    is not kept here. A vector can give away what a text was about, so it goes with its text: documents that the
    corpus does not have any more are deleted, and `forget` deletes a person's at once.
    """

    name = "bi-encoder"

    def __init__(self, encoder: Encoder, settings: RetrievalSettings, folder: Path | None, corpus: str) -> None:
        """Take what is needed to connect, which happens when the index is first used.

        Args:
            encoder: Gives the vectors.
            settings: Server or none, and the sizes of requests.
            folder: Of the embedded Qdrant, where the settings name no server.
            corpus: Part of the collection's name.
        """
        self._encoder = encoder
        self._settings = settings
        self._folder = folder
        self._collection = f"{settings.collection}-{corpus}-{encoder.fingerprint}"
        self._place = settings.qdrant_url or str(folder)
        self._client: QdrantClient | None = None
        self._embedded: EmbeddedQdrant | None = None
        self._positions: dict[str, int] = {}  # by point id

    def index(
        self, documents: Sequence[str], provenance: pa.Table | None = None, on_progress: OnProgress = quiet
    ) -> None:
        """Bring the collection in line with `documents`; see `Retriever.index`."""
        if not documents:
            raise RetrievalError("The bi-encoder has nothing to index: there are no documents.")
        self._positions = {}
        names = text_ids(pa.array(documents, pa.string())).to_pylist()
        positions: dict[str, int] = {}
        for position, name in enumerate(names):
            positions.setdefault(_point_id(name), position)
        points = self._open()
        self._prepare(points)
        present = self._reconcile(points, positions, names, provenance)
        missing = [point for point in positions if point not in present]
        done = len(present)
        on_progress(done, len(positions))
        for batch in _batches(missing, self._settings.batch_size):
            at = [positions[point] for point in batch]
            vectors = self._encoder.embed([documents[position] for position in at])
            points.put(batch, vectors, _payloads([names[position] for position in at], provenance, at))
            done += len(batch)
            on_progress(done, len(positions))
        self._positions = positions
        self._check(points)

    def search(
        self, queries: Sequence[str], top_k: int, where: Where | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return positions in the corpus and cosines, best first; each of shape (queries, min(top_k, documents)).

        Args:
            queries: The texts.
            top_k: How many documents for each.
            where: Find among these documents only. A row with fewer ends in positions of -1 and scores of -inf.

        Raises:
            IndexUnavailableError: Qdrant is out of reach, or another run changed the collection.
        """
        if not self._positions:
            raise RetrievalError("The bi-encoder was searched before it was given documents: call index() first.")
        top_k = min(top_k, len(self._positions))
        found = np.full((len(queries), top_k), -1, np.int64)
        scores = np.full((len(queries), top_k), -np.inf, np.float32)
        points = self._open()
        self._check(points)
        exact = None if self._embedded else self._settings.exact  # local mode is never anything else
        for rows in _batches(range(len(queries)), _QUERIES):
            vectors = self._encoder.embed([queries[row] for row in rows])
            for row, nearest in zip(rows, points.nearest(vectors, top_k, exact, where), strict=True):
                hits = sorted((-score, self._position(point)) for point, score in nearest)  # ties in corpus order
                found[row, : len(hits)] = [position for _, position in hits]
                scores[row, : len(hits)] = [-score for score, _ in hits]
        return found, scores

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the cosine of each pair, shape (n,); documents of the index are not embedded again."""
        if not self._positions or not documents:
            return self._encoder.score(queries, documents)
        rows = {query: row for row, query in enumerate(dict.fromkeys(queries))}
        left = self._encoder.embed(list(rows))
        distinct = list(dict.fromkeys(documents))
        right = self._vectors(distinct)
        columns = {document: column for column, document in enumerate(distinct)}
        cosines: npt.NDArray[np.float32] = np.einsum(
            "ij,ij->i", left[[rows[query] for query in queries]], right[[columns[text] for text in documents]]
        )
        return cosines

    def forget(self, subject_id: str) -> int:
        """Delete the vectors of a person's texts from the collections of every model; return how many there were.

        A text that stands in other people's pairs as well is embedded again by the next indexing.
        """
        self._open()
        assert self._client is not None
        with in_words(self._place):
            names = [collection.name for collection in self._client.get_collections().collections]
        ours = [name for name in names if name.startswith(f"{self._settings.collection}-")]
        return sum(Points(self._client, name, self._place).remove_subject(subject_id) for name in ours)

    def close(self) -> None:
        """Close the connection, or let other processes into the folder; the next use opens it again."""
        if self._embedded is not None:
            self._embedded.close()
        elif self._client is not None:
            self._client.close()
        self._client = self._embedded = None
        self._positions = {}

    def _open(self) -> Points:
        if self._client is None:
            if self._settings.qdrant_url is not None:
                self._client = _connect(self._settings)
            else:
                assert self._folder is not None
                self._embedded = EmbeddedQdrant(self._folder, self._settings.lock_seconds)
                self._client = self._embedded.client
        return Points(self._client, self._collection, self._place)

    def _prepare(self, points: Points) -> None:
        points.prepare(self._encoder.embed(["dimension"]).shape[1], indexed=self._embedded is None)
        if self._embedded is not None:
            self._embedded.hurry(self._collection)

    def _reconcile(
        self, points: Points, positions: dict[str, int], names: Sequence[str], provenance: pa.Table | None
    ) -> set[str]:
        """Delete points that are not in the corpus, correct payloads, and return the ids that are there."""
        present: dict[str, Payload] = {}
        stale = []
        for point, payload in points.payloads():
            if point in positions:
                present[point] = payload
            else:
                stale.append(point)
        for batch in _batches(stale, self._settings.batch_size):
            points.remove(batch)
        if provenance is not None:
            for batch in _batches(list(present), self._settings.batch_size):
                at = [positions[point] for point in batch]
                wanted = zip(batch, _payloads([names[position] for position in at], provenance, at), strict=True)
                changed = {point: payload for point, payload in wanted if payload != present[point]}
                if changed:
                    points.describe(changed)
        return set(present)

    def _check(self, points: Points) -> None:
        there = points.count()
        if there != len(self._positions):
            raise self._changed(f"it holds {there} documents, where {len(self._positions)} were indexed")

    def _position(self, point: str) -> int:
        try:
            return self._positions[point]
        except KeyError:
            raise self._changed("it holds a document that was not indexed") from None

    def _changed(self, how: str) -> IndexUnavailableError:
        self._positions = {}
        return IndexUnavailableError(
            f"The collection {self._collection} of Qdrant at {self._place} was changed by another run: {how}. Index "
            "again; runs that index different documents at the same time need different corpora."
        )

    def _vectors(self, documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the vectors of distinct documents, from the index where it has them."""
        points = self._open()
        ids = [_point_id(name) for name in text_ids(pa.array(documents, pa.string())).to_pylist()]
        kept: dict[str, list[float]] = {}
        for batch in _batches(ids, self._settings.batch_size):
            kept.update(points.vectors(batch))
        unknown = [column for column, point in enumerate(ids) if point not in kept]
        fresh = self._encoder.embed([documents[column] for column in unknown])
        kept.update({ids[column]: vector.tolist() for column, vector in zip(unknown, fresh, strict=True)})
        return np.array([kept[point] for point in ids], np.float32)


def _connect(settings: RetrievalSettings) -> QdrantClient:
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    return QdrantClient(
        url=settings.qdrant_url,
        grpc_port=settings.qdrant_grpc_port,
        prefer_grpc=True,
        api_key=key,
        timeout=settings.qdrant_timeout_seconds,
        check_compatibility=False,  # asks over REST, which need not be open
    )


def _point_id(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def _payloads(names: Sequence[str], provenance: pa.Table | None, at: Sequence[int]) -> list[Payload]:
    if provenance is None:
        return [{"document_id": name} for name in names]
    rows: list[dict[str, Any]] = provenance.take(pa.array(at, pa.int64())).to_pylist()
    return [
        {
            "document_id": name,
            "sources": row["sources"],
            "created_at": row["created_at"].isoformat(),
            "subject_ids": row["subject_ids"],
        }
        for name, row in zip(names, rows, strict=True)
    ]


def _batches(items: Sequence[Any], size: int) -> Iterator[Any]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
