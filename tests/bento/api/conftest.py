"""The routes over a scorer that can be foretold, without a server."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bento.api import ModelCard, Ranker, routes
from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.exchange import Reply, Request
from bento.model.manifest import EngineChoice, Manifest, Measurement
from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics

MAX_LENGTH = 16
MAX_DOCUMENTS = 120
MAX_CHARACTERS = 2_000
MODEL = "reranker:3"


@dataclass
class WordScorer:
    """Logit: the words of the query in the document, less a little for each word; a token is a word."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, deadline: float, max_document_tokens: int | None = None
    ) -> list[ScoredPair]:
        self.calls.append({"pairs": list(pairs), "deadline": deadline, "max_document_tokens": max_document_tokens})
        cut = max_document_tokens or MAX_LENGTH
        return [self.scored(query, document, cut) for query, document in pairs]

    @staticmethod
    def scored(query: str, document: str, cut: int = MAX_LENGTH) -> ScoredPair:
        words = document.split()
        kept = words[:cut]
        logit = 4.0 * sum(word in query.split() for word in kept) - 0.25 * len(kept) - 1
        return ScoredPair(logit, len(query.split()) + len(kept), len(words) > cut, "zzz" in kept, cached=False)


class Recorder:
    def __init__(self) -> None:
        self.records: list[tuple[str, str, list[str], list[ScoredPair]]] = []

    def record(self, request_id: str, query: str, documents: Sequence[str], scored: Sequence[ScoredPair]) -> None:
        self.records.append((request_id, query, list(documents), list(scored)))


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def settings() -> ServiceSettings:
    return ServiceSettings(max_documents=MAX_DOCUMENTS, max_characters=MAX_CHARACTERS)


@pytest.fixture
def ranker(scorer: WordScorer, settings: ServiceSettings, registry: CollectorRegistry, recorder: Recorder) -> Ranker:
    return Ranker(scorer, settings, Metrics(MODEL, registry), recorder, MODEL, MAX_LENGTH)


@pytest.fixture
def card() -> ModelCard:
    manifest = Manifest(
        name="reranker",
        version=3,
        digest="d" * 64,
        snapshot="5" * 64,
        max_length=MAX_LENGTH,
        engine=EngineChoice(library="openvino", precision="int8", file="int8.xml"),
        files={},
        measurements=(Measurement(engine="openvino-int8", ndcg=0.71, verdict="chosen"),),
    )
    return ModelCard.of(manifest)


Ask = Callable[..., Any]


@pytest.fixture
def ask(ranker: Ranker, card: ModelCard) -> Ask:
    """Send a body (bytes, or what becomes JSON) to a path; the Reply comes back, or RefusedError."""
    handlers = {route.path: route.handle for route in routes(ranker, card)}

    def send(path: str, body: object = b"", request_id: str = "request-1") -> Reply:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(request_id, path, sent, {}, "anonymous", time.monotonic() + 30)

        async def answer() -> Reply:
            return await handlers[path](request)

        return asyncio.run(answer())

    return send


@pytest.fixture
def refusal(ask: Ask) -> Callable[..., RefusedError]:
    """Return the refusal that a body gets at a path."""

    def send(path: str, body: object) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            ask(path, body)
        return caught.value

    return send
