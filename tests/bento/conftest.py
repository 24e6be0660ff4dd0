"""The whole service on a tiny model: as an ASGI application in this process, and as `bentoml serve` in its own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.contracts.release import PackagedBento
from flows.packaging import build_bento
from flows.settings import PackagingSettings
from tests.bento.serving import serving
from tests.bento.tiny_model import exported, version

MAX_BODY_BYTES = 2 * 2**20
MAX_DOCUMENTS = 40


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return exported().folder


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> PackagedBento:
    return build_bento(exported(), version(1), PackagingSettings(), tmp_path_factory.mktemp("bentoml"))


@pytest.fixture(scope="session")
def client(packaged: PackagedBento) -> Iterator[TestClient]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # over again once it is made: servers inherit what is left here
            patch.setenv("BENTOML_HOME", str(packaged.store))
            patch.setenv("BENTOML_DO_NOT_TRACK", "true")
            patch.setenv("RERANKER_SERVICE_MAX_BODY_BYTES", str(MAX_BODY_BYTES))
            patch.setenv("RERANKER_SERVICE_MAX_DOCUMENTS", str(MAX_DOCUMENTS))
            patch.setenv("RERANKER_SERVICE_THREADS", "1")
            from bento.service import Reranker

            client = stack.enter_context(TestClient(Reranker.to_asgi()))
        yield client


@pytest.fixture(scope="session")
def service_url(packaged: PackagedBento, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(packaged, tmp_path_factory.mktemp("service")) as server:
        yield server.url
