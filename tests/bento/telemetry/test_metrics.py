import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics, _BatchHistogram


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics("reranker:3", registry)


def series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_answers_are_counted_by_route_status_and_model(metrics: Metrics, registry: CollectorRegistry) -> None:
    for status in (200, 200, 429):
        metrics.answered("/v1/rerank", status, 0.02)
    labels = {"route": "/v1/rerank", "status": "200", "model": "reranker:3"}
    assert registry.get_sample_value("reranker_requests_total", labels) == 2
    assert registry.get_sample_value("reranker_request_seconds_count", {"route": "/v1/rerank"}) == 3
    assert registry.get_sample_value("reranker_request_seconds_sum", {"route": "/v1/rerank"}) == pytest.approx(0.06)


def test_refusals_stages_batches_and_the_queue_are_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.refused("overloaded")
    metrics.refused("overloaded")
    metrics.stage("engine", 0.3)
    metrics.queued(1_200)
    metrics.ran(tokens=700, padded=760)
    metrics.started(1.5)
    read = registry.get_sample_value
    assert read("reranker_refusals_total", {"reason": "overloaded"}) == 2
    assert read("reranker_stage_seconds_sum", {"stage": "engine"}) == 0.3
    assert read("reranker_queue_tokens") == 1_200
    assert (read("reranker_tokens_total"), read("reranker_padding_tokens_total")) == (700, 60)
    assert read("reranker_batch_tokens_bucket", {"le": "1024.0"}) == 1
    assert read("reranker_cold_start_seconds") == 1.5
    assert read("reranker_model_info", {"model": "reranker:3"}) == 1


# Not so close to 0 that the rounding of the sigmoid decides on the bucket.
logits = st.floats(-50, 50).filter(lambda logit: logit == 0 or abs(logit) > 1e-9)


@given(
    st.lists(
        st.builds(ScoredPair, logits, st.integers(1, 512), st.booleans(), st.booleans(), st.booleans()),
        max_size=30,
    )
)
def test_pairs_are_counted_one_by_one(pairs: list[ScoredPair]) -> None:
    registry = CollectorRegistry()
    Metrics("reranker:3", registry).scored(pairs)
    read = registry.get_sample_value
    cached = sum(pair.cached for pair in pairs)
    assert read("reranker_pairs_total", {"origin": "cache"}) == cached
    assert read("reranker_pairs_total", {"origin": "engine"}) == len(pairs) - cached
    assert read("reranker_truncated_documents_total") == sum(pair.truncated for pair in pairs)
    assert read("reranker_unusual_pairs_total") == sum(pair.unusual for pair in pairs)
    assert read("reranker_scores_count") == len(pairs)
    assert read("reranker_scores_bucket", {"le": "0.5"}) == sum(pair.logit <= 0 for pair in pairs)
    expected = math.fsum(1 / (1 + math.exp(-pair.logit)) for pair in pairs)
    assert read("reranker_scores_sum") == pytest.approx(expected)
    assert read("reranker_ranked_requests_total") == 1


@given(st.lists(st.floats(-10, 10) | st.sampled_from([0.0, 1.0, 2.0])))
def test_many_values_at_once_are_what_each_alone_is(values: list[float]) -> None:
    registry = CollectorRegistry()
    alone = Histogram("alone", "x", buckets=(0, 1, 2), registry=registry)
    together = _BatchHistogram("together", "x", buckets=(0, 1, 2), registry=registry)
    for value in values:
        alone.observe(value)
    together.observe_all(values)
    for bound in ("0.0", "1.0", "2.0", "+Inf"):
        read = registry.get_sample_value
        assert read("together_bucket", {"le": bound}) == read("alone_bucket", {"le": bound})
    assert together._sum.get() == pytest.approx(alone._sum.get())


def test_the_number_of_series_is_bounded_by_templates(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.answered("unmatched", 404, 0.001)
    before = series(registry)
    for _ in range(500):
        metrics.answered("unmatched", 404, 0.001)
    assert series(registry) == before
