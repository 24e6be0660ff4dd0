"""The whole service as an ASGI application, on a tiny model in a BentoML store of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bento.engine import OnnxEngine
from flows.contracts.release import PackagedBento
from flows.packaging import build_bento
from flows.settings import PackagingSettings
from tests.bento.tiny_model import exported, version

MAX_BODY_BYTES = 2 * 2**20
MAX_DOCUMENTS = 40


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return exported().folder


@pytest.fixture(scope="session")
def engine(model_folder: Path) -> OnnxEngine:
    return OnnxEngine(model_folder, threads=1, batch_size=4)


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> PackagedBento:
    return build_bento(exported(), version(1), PackagingSettings(), tmp_path_factory.mktemp("bentoml"))


@pytest.fixture(scope="session")
def client(packaged: PackagedBento) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(packaged.store))
        patch.setenv("BENTOML_DO_NOT_TRACK", "true")
        patch.setenv("RERANKER_SERVICE_MAX_BODY_BYTES", str(MAX_BODY_BYTES))
        patch.setenv("RERANKER_SERVICE_MAX_DOCUMENTS", str(MAX_DOCUMENTS))
        patch.setenv("RERANKER_SERVICE_THREADS", "1")
        from bento.service import Reranker

        with TestClient(Reranker.to_asgi()) as client:
            yield client
