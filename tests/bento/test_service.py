"""What BentoML gives the service: probes, documentation, the batchable method."""

import json
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from bento.engine import OnnxEngine


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_answer_with_the_models_version(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")


def test_score_takes_pairs(client: TestClient, engine: OnnxEngine) -> None:
    pairs = [("sort a list", "numpy"), ("the cat", "sat on the mat"), ("mean", "")]
    answer = client.post("/score", json={"pairs": [{"query": q, "document": d} for q, d in pairs]})
    assert answer.json() == pytest.approx(engine.score(pairs).tolist(), abs=1e-5)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"pairs": [1]}', b'{"pairs": [{"query": "\xff"}]}'])
def test_score_refuses_bad_input(client: TestClient, body: bytes) -> None:
    assert client.post("/score", content=body, headers={"content-type": "application/json"}).status_code == 400


@pytest.mark.parametrize(
    "media",
    ["multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"],
)
def test_score_reads_json_whatever_it_is_called(client: TestClient, media: str) -> None:
    good, bad = b'{"pairs": [{"query": "a", "document": "b"}]}', b"--x\r\n\r\n1\r\n--x--"
    assert client.post("/score", content=good, headers={"content-type": media}).status_code == 200
    assert client.post("/score", content=bad, headers={"content-type": media}).status_code == 400


def test_what_was_sent_is_not_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        assert client.post("/score", json={"pairs": [{"query": ["private"]}]}).status_code == 400
    assert "private" not in caplog.text


def test_documentation_shows_every_route_and_resolves(client: TestClient) -> None:
    specification = client.get("/docs.json").json()
    assert {"/v1/rerank", "/score", "/readyz"} <= specification["paths"].keys()
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
