"""The API page says what the code does."""

import json
from pathlib import Path
from typing import Any

import bentoml
import pytest
from pydantic import TypeAdapter

from bento.api import ModelCard, Ranker, routes
from bento.api.openapi import DocumentedService, components, paths
from bento.api.operations import OPERATIONS
from bento.configuration import ServiceSettings
from bento.gateway.administration import Administration
from bento.gateway.crew import Crew
from bento.gateway.exchange import Access
from bento.gateway.life import Life
from bento.predictions.feedback import feedback_route
from tests.bento.api.conftest import MAX_DOCUMENTS, Ask


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The page as BentoML would serve it."""
    monkeypatch.setenv("RERANKER_SERVICE_MAX_DOCUMENTS", str(MAX_DOCUMENTS))

    @bentoml.service(service_class=DocumentedService)
    class Some:
        @bentoml.api(batchable=True, batch_dim=0)  # type: ignore[untyped-decorator]
        def score(self, pairs: list[dict[str, str]]) -> list[float]:
            return [0.0 for _ in pairs]

    served: dict[str, Any] = json.loads(json.dumps(Some.openapi_spec.asdict()))  # type: ignore[attr-defined]
    return served


@pytest.fixture
def every_route(ranker: Ranker, card: ModelCard, tmp_path: Path) -> dict[tuple[str, str], Access]:
    """Who may call each method and path of ours."""
    life = Life(Crew(1, tmp_path), 0, lambda: None)
    served = [*routes(ranker, card), feedback_route(None), *Administration(life).routes()]
    return {(route.method.lower(), route.path.replace(card.id, "{model}")): route.access for route in served}


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_is_whole(page: dict[str, Any]) -> None:
    assert page["openapi"].startswith("3.1")
    assert references(page) == {f"#/components/schemas/{name}" for name in page["components"]["schemas"]}
    identifiers = [method["operationId"] for path in page["paths"].values() for method in path.values()]
    assert len(identifiers) == len(set(identifiers)) == len(OPERATIONS)


def test_shows_every_route(page: dict[str, Any], every_route: dict[tuple[str, str], Access]) -> None:
    shown = {(method, path) for path, methods in page["paths"].items() for method in methods}
    assert shown == {*every_route, ("post", "/score"), ("get", "/metrics")}


def test_access_is_as_documented(every_route: dict[tuple[str, str], Access]) -> None:
    documented = {(operation.method, operation.path): operation.access for operation in OPERATIONS}
    assert documented.items() >= every_route.items()


def test_limits_are_those_of_the_settings(page: dict[str, Any]) -> None:
    schemas = page["components"]["schemas"]
    for name, field in {"RerankRequest": "documents", "TextsRequest": "texts", "ScoreRequest": "pairs"}.items():
        limits = schemas[name]["properties"][field]
        assert (limits["minItems"], limits["maxItems"]) == (1, MAX_DOCUMENTS)


def test_every_refusal_has_the_one_schema(page: dict[str, Any]) -> None:
    for path, methods in page["paths"].items():
        for operation in methods.values():
            refusals = {status: answer for status, answer in operation["responses"].items() if status[0] != "2"}
            assert "500" in refusals, path
            for answer in refusals.values():
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorResponse"}


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.request], ids=lambda operation: operation.name)
def test_examples_are_what_is_taken(ask: Ask, operation: Any) -> None:
    TypeAdapter(operation.request).validate_python(operation.example)
    if operation.path not in ("/score", "/v1/feedback"):
        TypeAdapter(operation.answer).validate_json(ask(operation.path, operation.example).body)


@pytest.mark.parametrize(
    ("settings", "closed"),
    [
        (ServiceSettings(), set()),
        (
            ServiceSettings(
                authentication="jwt",
                jwks_url="https://issuer.test/keys",
                jwt_issuer="https://issuer.test",
                jwt_audience="reranker",
                open_metrics=False,
            ),
            {operation.path for operation in OPERATIONS if operation.access != "probe"},
        ),
    ],
)
def test_tokens_are_asked_for_where_the_doors_are_closed(settings: ServiceSettings, closed: set[str]) -> None:
    described = paths(OPERATIONS, settings)
    asking = {path for path, methods in described.items() for method in methods.values() if method["security"]}
    assert asking == closed
    assert components(OPERATIONS, settings)["securitySchemes"]["bearerAuth"]["scheme"] == "bearer"
