"""Every Prometheus metric that the service records, and the only place that counts.

Labels hold route templates, never paths, so that no scan of unknown addresses adds a series. What is worked out of
these counts when /metrics is asked, such as the cost of 1,000 requests, is in `bento.telemetry.exposition`.
"""

import math
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from bento.errors import ErrorType
from bento.scoring.scored import ScoredPair
from bento.telemetry.tracing import Tracer

Stage = Literal["read", "parse", "tokenise", "queue", "engine", "answer"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """Counts for one worker; /metrics adds the workers up."""

    def __init__(self, model: str, registry: CollectorRegistry = REGISTRY, tracer: Tracer | None = None) -> None:
        """Make the metrics in `registry`; `model` is name and version, such as "reranker:3".

        Stages and pairs also go to `tracer`, into the span of the request that they are counted in.
        """
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
        self._ranked = Counter("reranker_ranked_requests", "Requests whose pairs were scored.", registry=registry)
        pairs = Counter("reranker_pairs", "Scored pairs, by where from.", ["origin"], registry=registry)
        self._from_cache, self._from_engine = pairs.labels("cache"), pairs.labels("engine")
        self._truncated = Counter("reranker_truncated_documents", "Documents that were cut.", registry=registry)
        self._unusual = Counter("reranker_unusual_pairs", "Pairs unlike the training snapshot.", registry=registry)
        self._scores = _BatchHistogram(
            "reranker_scores", "Relevance scores, 0 to 1.", buckets=_TENTHS, registry=registry
        )
        self._cold_start = Gauge(
            "reranker_cold_start_seconds",
            "From the start of the process until it was ready.",
            registry=registry,
            multiprocess_mode="max",
        )
        # The least of all workers, those that ended too: since then, the counters count.
        Gauge(
            "reranker_start_time_seconds",
            "When the first worker started, in seconds since 1970.",
            registry=registry,
            multiprocess_mode="min",
        ).set(time.time())
        Gauge(
            "reranker_model_info",
            "1 for the model that answers.",
            ["model"],
            registry=registry,
            multiprocess_mode="livemax",
        ).labels(model).set(1)
        self._model = model
        self._tracer = tracer
        # Finding a labelled child costs more than counting in it. As bounded as the series are.
        self._by_answer: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._by_stage: dict[str, Histogram] = {}
        self._by_reason: dict[str, Counter] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer of the route with this template."""
        children = self._by_answer.get((route, status))
        if children is None:
            children = self._requests.labels(route, status, self._model), self._seconds.labels(route)
            self._by_answer[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def refused(self, reason: ErrorType) -> None:
        """Count one refusal."""
        child = self._by_reason.get(reason)
        if child is None:
            child = self._by_reason[reason] = self._refusals.labels(reason)
        child.inc()

    def stage(self, stage: Stage, seconds: float) -> None:
        """Note how long one stage of one request took; it ends now."""
        child = self._by_stage.get(stage)
        if child is None:
            child = self._by_stage[stage] = self._stages.labels(stage)
        child.observe(seconds)
        if self._tracer is not None:
            self._tracer.stage(stage, seconds)

    def queued(self, tokens: int) -> None:
        """Note how many tokens wait now."""
        self._queue.set(tokens)

    def ran(self, tokens: int, padded: int) -> None:
        """Note one micro-batch: its tokens, and those with padding."""
        self._tokens.inc(tokens)
        self._padding.inc(padded - tokens)
        self._batches.observe(padded)

    def scored(self, pairs: Sequence[ScoredPair]) -> None:
        """Note the pairs of one answer."""
        cached = truncated = unusual = 0
        scores = []
        for pair in pairs:
            scores.append(0.5 + 0.5 * math.tanh(0.5 * pair.logit))
            cached += pair.cached
            truncated += pair.truncated
            unusual += pair.unusual
        self._ranked.inc()
        self._scores.observe_all(scores)
        for counter, amount in (
            (self._from_cache, cached),
            (self._from_engine, len(pairs) - cached),
            (self._truncated, truncated),
            (self._unusual, unusual),
        ):
            if amount:
                counter.inc(amount)
        if self._tracer is not None:
            self._tracer.scored(len(pairs), sum(pair.tokens for pair in pairs), cached, truncated)

    def started(self, seconds: float) -> None:
        """Note how long the worker took from its start until it was ready."""
        self._cold_start.set(seconds)


class _BatchHistogram(Histogram):
    """A histogram that takes many values for the price of a few; in a worker each count is a write to a file."""

    def observe_all(self, amounts: Iterable[float]) -> None:
        """Do what `observe` does with each of `amounts`."""
        counts: dict[int, int] = {}
        total = 0.0
        for amount in amounts:
            bucket = bisect_left(self._upper_bounds, amount)
            counts[bucket] = counts.get(bucket, 0) + 1
            total += amount
        self._sum.inc(total)
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)
