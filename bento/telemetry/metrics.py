"""Every Prometheus metric of the service, and the only place that counts.

Labels hold route templates, never paths, so that no scan of unknown addresses adds a series.
"""

import math
from collections.abc import Iterable
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from bento.errors import ErrorType
from bento.scoring.scored import ScoredPair

Stage = Literal["read", "parse", "tokenise", "queue", "engine", "answer"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """Counts for one worker; /metrics adds the workers up."""

    def __init__(self, model: str, registry: CollectorRegistry = REGISTRY) -> None:
        """Make the metrics in `registry`; `model` is name and version, such as "reranker:3"."""
        self._requests = Counter(
            "reranker_requests", "Answered requests.", ["route", "status", "model"], registry=registry
        )
        self._seconds = Histogram(
            "reranker_request_seconds",
            "From the first byte to the answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._refusals = Counter("reranker_refusals", "Refused requests, by reason.", ["reason"], registry=registry)
        self._stages = Histogram(
            "reranker_stage_seconds",
            "Where a request's time goes.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue = Gauge(
            "reranker_queue_tokens",
            "Tokens that wait for the engine.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._tokens = Counter("reranker_tokens", "Tokens that the engine read, padding excluded.", registry=registry)
        self._padding = Counter("reranker_padding_tokens", "Padding that the engine read.", registry=registry)
        self._batches = Histogram(
            "reranker_batch_tokens",
            "Tokens of a micro-batch, padding included.",
            buckets=tuple(2**n for n in range(5, 15)),
            registry=registry,
        )
        self._pairs = Counter("reranker_pairs", "Scored pairs, by where from.", ["origin"], registry=registry)
        self._truncated = Counter("reranker_truncated_documents", "Documents that were cut.", registry=registry)
        self._unusual = Counter("reranker_unusual_pairs", "Pairs unlike the training snapshot.", registry=registry)
        self._scores = Histogram("reranker_scores", "Relevance scores, 0 to 1.", buckets=_TENTHS, registry=registry)
        self._cold_start = Gauge(
            "reranker_cold_start_seconds",
            "From the start of the process until it was ready.",
            registry=registry,
            multiprocess_mode="max",
        )
        self._model = model

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer of the route with this template."""
        self._requests.labels(route, status, self._model).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: ErrorType) -> None:
        """Count one refusal."""
        self._refusals.labels(reason).inc()

    def stage(self, stage: Stage, seconds: float) -> None:
        """Note how long one stage of one request took."""
        self._stages.labels(stage).observe(seconds)

    def queued(self, tokens: int) -> None:
        """Note how many tokens wait now."""
        self._queue.set(tokens)

    def ran(self, tokens: int, padded: int) -> None:
        """Note one micro-batch: its tokens, and those with padding."""
        self._tokens.inc(tokens)
        self._padding.inc(padded - tokens)
        self._batches.observe(padded)

    def scored(self, pairs: Iterable[ScoredPair]) -> None:
        """Note the pairs of one answer."""
        for pair in pairs:
            self._pairs.labels("cache" if pair.cached else "engine").inc()
            self._scores.observe(0.5 * (1.0 + math.tanh(0.5 * pair.logit)))
            if pair.truncated:
                self._truncated.inc()
            if pair.unusual:
                self._unusual.inc()

    def started(self, seconds: float) -> None:
        """Note how long the worker took from its start until it was ready."""
        self._cold_start.set(seconds)
