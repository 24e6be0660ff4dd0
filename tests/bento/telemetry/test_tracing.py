import asyncio
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry

from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics
from bento.telemetry.tracing import Tracer, make_tracer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracer(provider, "reranker:3")


def test_a_request_is_a_span_with_its_stages_and_counts(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    metrics = Metrics("reranker:3", CollectorRegistry(), tracer)
    pairs = [ScoredPair(1.0, 80, True, False, True), ScoredPair(1.0, 20, False, False, False)]
    with tracer.request("/v1/rerank", {}, request_id="abc") as span:
        metrics.stage("engine", 0.25)
        metrics.scored(pairs)
        span.answered(200)
    stage, request = exporter.get_finished_spans()
    assert request.name == "POST /v1/rerank"
    assert request.kind == SpanKind.SERVER
    assert request.status.status_code is StatusCode.UNSET
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/rerank",
        "http.response.status_code": 200,
        "reranker.model": "reranker:3",
        "reranker.request_id": "abc",
        "reranker.documents": 2,
        "reranker.tokens": 100,
        "reranker.cached": 1,
        "reranker.truncated": 1,
    }
    assert stage.name == "engine"
    assert stage.parent == request.get_span_context()
    assert (stage.end_time or 0) - (stage.start_time or 0) == 250_000_000


def test_an_incoming_trace_goes_on(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with tracer.request("/v1/rerank", {"traceparent": f"00-{trace}-{parent}-01"}):
        pass
    with tracer.request("/v1/rerank", {"traceparent": "00-garbage"}):
        pass
    with tracer.request("/v1/rerank", {"traceparent": f"00-{trace}-{parent}-00"}):
        pass  # whoever called decided that this trace is not kept
    first, second = exporter.get_finished_spans()
    assert format(first.get_span_context().trace_id, "032x") == trace  # type: ignore[union-attr]
    assert first.parent is not None
    assert format(first.parent.span_id, "016x") == parent
    assert second.parent is None


@pytest.mark.parametrize(("status", "code"), [(429, StatusCode.UNSET), (503, StatusCode.ERROR)])
def test_only_our_own_failures_are_errors(
    tracer: Tracer, exporter: InMemorySpanExporter, status: int, code: StatusCode
) -> None:
    with tracer.request("/v1/rerank", {}) as span:
        span.answered(status)
    assert exporter.get_finished_spans()[0].status.status_code is code


def test_an_exception_leaves_its_type_and_nothing_it_says(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret text"), tracer.request("/v1/rerank", {}):
        raise ValueError("secret text")
    span = exporter.get_finished_spans()[0]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert "secret text" not in span.to_json()


def test_requests_at_the_same_time_keep_their_stages_apart(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    async def answer(route: str) -> None:
        with tracer.request(route, {}):
            await asyncio.sleep(0)
            tracer.stage(f"engine of {route}", 0.01)
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(answer("/a"), answer("/b"))

    asyncio.run(both())
    spans: dict[str, ReadableSpan] = {span.name: span for span in exporter.get_finished_spans()}
    for route in ("/a", "/b"):
        assert spans[f"engine of {route}"].parent == spans[f"POST {route}"].get_span_context()


def test_what_no_request_asked_for_is_no_span(tracer: Tracer, exporter: InMemorySpanExporter) -> None:
    tracer.stage("engine", 0.01)
    tracer.scored(1, 2, 0, 0)
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "reranker"},
    ],
    ids=str,
)
def test_without_an_exporter_there_is_no_tracer(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert make_tracer("reranker:3", environ) is None
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("environ", "package"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, "opentelemetry-exporter-otlp-proto-http"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "opentelemetry-exporter-otlp-proto-grpc",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier/pigeon"},
            "the package that has it",
        ),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "the package that has it"),
    ],
)
def test_an_exporter_that_is_not_installed_is_named_and_stops_nothing(
    environ: dict[str, str], package: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.telemetry.tracing.entry_points", lambda **_: ())
    assert make_tracer("reranker:3", environ) is None
    assert "not installed" in caplog.text
    assert package in caplog.text


class Collecting(InMemorySpanExporter):
    """What a package of exporters would bring along."""

    made: "list[Collecting]" = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        Collecting.made.append(self)


class Broken:
    def __init__(self) -> None:
        raise ValueError("no endpoint: password123")


def test_an_otlp_exporter_is_found_by_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def installed(group: str, name: str) -> list[Any]:
        asked.append(name)
        entry = EntryPoint(name, f"{Collecting.__module__}:Collecting", group)
        monkeypatch.setattr(EntryPoint, "load", lambda _: Collecting)
        return [entry] if name == "otlp_proto_http" else []

    monkeypatch.setattr("bento.telemetry.tracing.entry_points", installed)
    tracer = make_tracer("reranker:3", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    assert tracer is not None
    with tracer.request("/v1/rerank", {}):
        pass
    tracer.close()
    assert asked == ["otlp_proto_grpc", "otlp_proto_http"]
    (span,) = Collecting.made[-1].get_finished_spans()
    assert span.resource.attributes["service.name"] == "reranker"


def test_an_exporter_that_does_not_start_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Found:
        def load(self) -> type:
            return Broken

    monkeypatch.setattr("bento.telemetry.tracing.entry_points", lambda **_: [Found()])
    assert make_tracer("reranker:3", {"OTEL_TRACES_EXPORTER": "console"}) is None
    assert "does not start (ValueError)" in caplog.text
    assert "password123" not in caplog.text


def run(code: str, **environ: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **environ}, cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_sdk_reads_the_environment_and_what_is_left_goes_out_at_the_end() -> None:
    code = """
from bento.telemetry.tracing import make_tracer
tracer = make_tracer("reranker:3")
with tracer.request("/v1/rerank", {}) as span:
    span.answered(200)
"""
    out = run(code, OTEL_TRACES_EXPORTER="console", OTEL_RESOURCE_ATTRIBUTES="host.name=h1", OTEL_SERVICE_NAME="mine")
    span = json.loads(out)
    assert span["name"] == "POST /v1/rerank"
    assert span["resource"]["attributes"]["service.name"] == "mine"
    assert span["resource"]["attributes"]["host.name"] == "h1"
    assert run(code, OTEL_TRACES_EXPORTER="console", OTEL_TRACES_SAMPLER="always_off") == ""


def test_switched_off_it_imports_nothing_of_opentelemetry() -> None:
    code = """
import sys
import bento.telemetry.metrics
from bento.telemetry.tracing import make_tracer
assert make_tracer("reranker:3") is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert run(code) == "[]\n"


def test_bentoml_makes_no_spans_of_its_own() -> None:
    code = """
from bento.telemetry.tracing import keep_bentoml_from_tracing
keep_bentoml_from_tracing()
from bentoml._internal.configuration.containers import BentoMLContainer
tracer = BentoMLContainer.tracer_provider.get().get_tracer("x")
with tracer.start_as_current_span("x") as span:
    print(span.is_recording(), type(tracer).__name__)
"""
    assert run(code) == "False NoOpTracer\n"
