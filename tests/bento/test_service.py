"""The service as it stands: its scores are the trained model's, and it brings nothing along that it does not need."""

import json
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from flows.contracts.release import PackagedBento
from tests.bento.tiny_model import trained

PAIRS = [("sort a list", "numpy"), ("the cat", "sat on the mat"), ("mean", ""), ("sort", "a list in python " * 40)]


def trained_scores(pairs: list[tuple[str, str]]) -> list[float]:
    from sentence_transformers import CrossEncoder

    scores: list[float] = CrossEncoder(str(trained()), device="cpu").predict(pairs).tolist()
    return scores


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_answer_with_the_models_version(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")


def test_scores_are_the_trained_models(client: TestClient) -> None:
    expected = trained_scores(PAIRS)
    answer = client.post("/score", json={"pairs": [{"query": q, "document": d} for q, d in PAIRS]})
    assert answer.json() == pytest.approx(expected, abs=1e-4)
    for (query, document), score in zip(PAIRS, expected, strict=True):
        (result,) = client.post("/v1/rerank", json={"query": query, "documents": [document]}).json()["results"]
        assert result["relevance_score"] == pytest.approx(score, abs=1e-4)


def test_the_checks_of_the_release_come_back_right(client: TestClient, packaged: PackagedBento) -> None:
    pairs = [{"query": check.query, "document": check.document} for check in packaged.checks]
    assert client.post("/score", json={"pairs": pairs}).json() == pytest.approx(
        [check.score for check in packaged.checks], abs=1e-5
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"pairs": [1]}', b'{"pairs": [{"query": "\xff"}]}'])
@pytest.mark.parametrize("media", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
def test_score_refuses_bad_input_in_the_one_shape(client: TestClient, body: bytes, media: str) -> None:
    answer = client.post("/score", content=body, headers={"content-type": media})
    assert answer.status_code in {400, 422}
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


def test_what_was_sent_is_not_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        assert client.post("/score", json={"pairs": [{"query": ["private"]}]}).status_code == 422
    assert "private" not in caplog.text


def test_documentation_shows_every_route_and_resolves(client: TestClient) -> None:
    specification = client.get("/docs.json").json()
    assert {"/v1/rerank", "/v2/rerank", "/rerank", "/score", "/readyz"} <= specification["paths"].keys()
    schemas = specification["components"]["schemas"]
    references = [part.split('"')[0] for part in json.dumps(specification).split("#/components/schemas/")[1:]]
    assert {"RerankRequest", "RerankResponse", "ErrorResponse"} <= set(references) <= schemas.keys()
    assert "swagger" in client.get("/").text.lower()


def test_stands_alone() -> None:
    """Whatever the service imports is in the image: nothing of the loop, and no training library."""
    forbidden = {"flows", "expectations", "deployments", "torch", "transformers", "mlflow", "prefect", "pandas"}
    code = f"import bento.service, sys; print(sorted(set(sys.modules) & {forbidden!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
