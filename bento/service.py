"""The BentoML service. By hand: `bentoml serve .` in the repository's root, or `bentoml serve reranker:<tag>`."""

from pathlib import Path
from typing import Annotated, cast

import bentoml
from pydantic import BaseModel, Field

from bento.configuration import ServiceSettings
from bento.documentation import DocumentedService
from bento.endpoint import RerankEndpoint
from bento.engine import OnnxEngine
from bento.middleware import AssumeJson, Identify, LimitBody, keep_refusals_out_of_the_log
from bento.ranking import Ranker

settings = ServiceSettings()


class Pair(BaseModel):
    """A query and a document to score together."""

    query: str
    document: str


def _ranker() -> Ranker:
    ranker: Ranker = bentoml.get_current_service().ranker
    return ranker


@bentoml.service(
    service_class=DocumentedService,
    description="Puts documents in the order of their relevance to a query.",
    workers=settings.worker_count,
    traffic={"timeout": settings.timeout},
    # Both cost more than a small model; tracing is switched on again with OTEL_SDK_DISABLED=false and an exporter.
    logging={"access": {"enabled": False}},
    envs=[{"name": "OTEL_SDK_DISABLED", "value": "true"}],
)
@bentoml.asgi_app(RerankEndpoint(_ranker, settings.max_documents), path="/v1")
class Reranker:
    """Scores queries and documents together with a cross-encoder."""

    def __init__(self) -> None:
        """Load the model and run it once, so that the service is ready only when it can answer."""
        folder = Path(bentoml.models.get(settings.model).path)
        engine = OnnxEngine(folder, threads=settings.engine_threads, batch_size=settings.batch_size)
        self.ranker = Ranker(engine, settings.max_waiting)

    @bentoml.api(  # type: ignore[untyped-decorator]  # BentoML carries no types
        batchable=True, batch_dim=0, max_batch_size=4_096, max_latency_ms=settings.timeout * 1_000
    )
    def score(self, pairs: Annotated[list[Pair], Field(max_length=settings.max_documents)]) -> list[float]:
        """Return the relevance of each pair, 0..1, in order; pairs of several requests are scored together."""
        scores: list[float] = self.ranker.engine.score([(pair.query, pair.document) for pair in pairs]).tolist()
        return scores


_service = cast("DocumentedService", Reranker)  # what the decorators made of the class
_service.add_asgi_middleware(AssumeJson)
_service.add_asgi_middleware(Identify, model_version=lambda: _ranker().engine.manifest.version)
_service.add_asgi_middleware(LimitBody, max_bytes=settings.max_body_bytes, max_seconds=settings.max_body_seconds)
keep_refusals_out_of_the_log()
