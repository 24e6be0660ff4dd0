"""Retrievers with Qdrant in a folder of its own, or against a server on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.retrieval.qdrant import QdrantBiEncoder
from tests.flows.retrieval.qdrant_server import QdrantServer
from tests.flows.retrieval.tiny import Encoder, in_folder, on_server


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    running = QdrantServer().start()
    yield running
    running.stop()


@pytest.fixture(params=["folder", "server"])
def retriever(request: pytest.FixtureRequest, tmp_path: Path, encoder: Encoder) -> Iterator[QdrantBiEncoder]:
    if request.param == "folder":
        opened = in_folder(tmp_path / "qdrant", encoder)
    else:
        opened = on_server(request.getfixturevalue("server"), encoder)
    yield opened
    opened.close()
