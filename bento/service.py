"""The BentoML service. By hand: `bentoml serve .` in the repository's root, or `bentoml serve reranker:<tag>`."""

import asyncio
import time
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.exceptions import BentoMLException
from pydantic import BaseModel, Field

from bento.api.models import ModelCard
from bento.api.ranker import Ranker, sigmoid
from bento.api.routes import routes
from bento.api.score import ScoreCheck
from bento.configuration import load_settings
from bento.errors import RefusedError
from bento.gateway.administration import Administration
from bento.gateway.application import Parts
from bento.gateway.crew import Crew
from bento.gateway.delegation import Delegation, has_missing_scores
from bento.gateway.doors import Doors
from bento.gateway.life import Life
from bento.gateway.serving import GatedService
from bento.model.model import Model
from bento.predictions.feedback import FeedbackLog, feedback_route
from bento.predictions.recorder import Recorder
from bento.scoring.scorer import Scorer
from bento.telemetry import logs
from bento.telemetry.exposition import Exposition
from bento.telemetry.metrics import Metrics
from bento.telemetry.tracing import keep_bentoml_from_tracing, make_tracer
from bento.telemetry.workers import count_apart

settings = load_settings()
count_apart()
keep_bentoml_from_tracing()


class Pair(BaseModel):
    """A query and a document to score together."""

    query: str
    document: str


@bentoml.service(
    service_class=GatedService,
    description="Puts documents in the order of their relevance to a query.",
    workers=settings.worker_count,
    traffic={"timeout": settings.timeout + 5},  # ours comes first, and says more
    # Both are ours to do: its metrics would take every path that somebody scans for a series of its own.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Reranker:
    """Scores queries and documents together with a cross-encoder."""

    def __init__(self) -> None:
        """Load the model and put together what answers with it."""
        alone = bentoml.server_context.worker_index is None  # no worker of `bentoml serve`
        if not alone:
            logs.install()
        model = self.model = Model.open(
            Path(bentoml.models.get(settings.model).path), threads=settings.engine_threads
        )
        manifest = model.manifest
        self.tracer = make_tracer(manifest.model)
        self.metrics = Metrics(manifest.model, tracer=self.tracer)
        self.scorer = Scorer(model, settings, self.metrics)
        self.recorder = self.feedback = None
        if settings.prediction_log is not None:
            self.recorder = Recorder(
                settings.prediction_log, settings.prediction_share, settings.prediction_log_bytes, manifest.model
            )
            self.feedback = FeedbackLog(self.recorder)
        self.life = Life(Crew.of_this_server(settings.worker_count, alone), settings.drain_seconds, self._fault)

    def parts(self) -> Parts:
        """Return what the gateway answers with."""
        manifest = self.model.manifest
        ranker = Ranker(
            self.scorer, settings, self.metrics, self.recorder, manifest.model, max_length=manifest.max_length
        )
        own = [
            *routes(ranker, ModelCard.of(manifest)),
            *Administration(self.life).routes(),
            feedback_route(self.feedback),
            Exposition.of_this_server(settings.hourly_price).route(),
        ]
        check = ScoreCheck(ranker.limits).check_score_body
        delegated = [
            Delegation("POST", "/score", "rerank", check, has_missing_scores),
            *(Delegation("GET", path, "open") for path in ("/", "/docs.json", "/schema.json", "/static_content/")),
        ]
        return Parts(
            own,
            delegated,
            self.life,
            Doors(settings),
            self.metrics,
            str(manifest.version),
            logs.RequestLog(),
            self.tracer,
        )

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML carries no types
    async def start(self) -> None:
        """Warm up: the service is ready only when it can answer at once."""
        await self.scorer.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Finish what is in flight and write down what is not written yet."""
        await self.scorer.close()
        if self.feedback is not None:
            self.feedback.close()
        if self.recorder is not None:
            self.recorder.close()
        if self.tracer is not None:
            self.tracer.close()

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, batch_dim=0, max_batch_size=4_096, max_latency_ms=settings.timeout * 1_000
    )
    async def score(
        self, pairs: Annotated[list[Pair], Field(max_length=settings.max_documents)]
    ) -> list[float | None]:
        """Return the relevance of each pair, 0..1, in order; pairs of several requests are scored together."""
        texts = [(pair.query, pair.document) for pair in pairs]
        deadline = time.monotonic() + settings.timeout
        try:
            scored = await self.scorer.score(texts, deadline=deadline)
        except RefusedError as refusal:
            if refusal.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise BentoMLException(refusal.message, error_code=HTTPStatus(refusal.status)) from None
            return await self._score_one_by_one(texts, deadline)
        self.metrics.scored(scored)
        return [sigmoid(pair.logit) for pair in scored]

    async def _score_one_by_one(self, pairs: list[tuple[str, str]], deadline: float) -> list[float | None]:
        """BentoML would fail all requests of a batch for one pair; so the pair without a score gets none."""
        tries = [self.scorer.score([pair], deadline=deadline) for pair in pairs]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, RefusedError) and outcome.status != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise BentoMLException(outcome.message, error_code=HTTPStatus(outcome.status)) from None
        return [None if isinstance(outcome, BaseException) else sigmoid(outcome[0].logit) for outcome in outcomes]

    def _fault(self) -> str | None:
        """Return why this worker must not answer, or None."""
        if not self.model.digest_matches:
            return "The model's files are not those that were packaged"
        if settings.expected_digest not in (None, self.model.manifest.digest):
            return "The model is not the one that this host expects"
        return self.scorer.fault()
