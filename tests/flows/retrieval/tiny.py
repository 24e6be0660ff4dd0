"""A bi-encoder of random weights that counts what it embeds, and retrievers with it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.retrieval.bi_encoder import BiEncoder
from flows.retrieval.qdrant import QdrantBiEncoder
from flows.settings import RetrievalSettings
from tests.bento.tiny_model import trained
from tests.flows.retrieval.qdrant_server import QdrantServer


def tiny_weights() -> str:
    """Return the folder of a transformer of random weights, from which sentence-transformers pools the mean."""
    return str(trained().with_name("trained-raw"))


@cache
def _tiny() -> BiEncoder:
    return BiEncoder(tiny_weights())


class Encoder:
    """The tiny bi-encoder, with a list of what it was given to embed."""

    name = "bi-encoder"

    def __init__(self) -> None:
        self.fingerprint = _tiny().fingerprint
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.embedded += texts
        return _tiny().embed(texts)

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        return _tiny().score(queries, documents)


def on_server(server: QdrantServer, encoder: Encoder, **changes: object) -> QdrantBiEncoder:
    settings = {
        "qdrant_url": server.url,
        "qdrant_grpc_port": server.port,
        "batch_size": 4,
        "qdrant_timeout_seconds": 30,
    }
    return QdrantBiEncoder(encoder, RetrievalSettings(**{**settings, **changes}), None, "test")


def in_folder(folder: Path, encoder: Encoder, **changes: object) -> QdrantBiEncoder:
    settings = {"batch_size": 4, "lock_seconds": 0.2}
    return QdrantBiEncoder(encoder, RetrievalSettings(**{**settings, **changes}), folder, "test")
