"""OpenTelemetry traces, where an exporter is configured; otherwise nothing of OpenTelemetry is even imported.

OpenTelemetry's own variables configure them, since every operator of a collector knows those and the SDK reads most
of them itself (sampler, batches, resource, limits): so this reads the environment beside `bento.configuration`.
Spans carry route templates and counts, never text.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, StatusCode

logger = logging.getLogger("bentoml.reranker")

_OTLP_PACKAGES = {
    "otlp_proto_grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "otlp_proto_http": "opentelemetry-exporter-otlp-proto-http",
}


class Tracer:
    """Makes a span of each request, and of its stages below it."""

    def __init__(self, provider: "TracerProvider", model: str) -> None:
        """`model` is name and version, such as "reranker:3"."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("reranker")
        self._propagator = TraceContextTextMapPropagator()
        self._model = model

    @contextmanager
    def request(
        self, route: str, headers: Mapping[str, str], method: str = "POST", request_id: str = ""
    ) -> Iterator["RequestSpan"]:
        """Trace what happens inside, as a part of the trace that `headers` (in lower case) continue.

        `route` is the template. An exception passes through; the span tells its type only.
        """
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._propagator.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "http.route": route,
                "reranker.model": self._model,
                "reranker.request_id": request_id,
            },
        )
        try:
            # Not the exception: its message may hold what the client sent.
            with self._trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield RequestSpan(span, self._trace.StatusCode.ERROR)
        except Exception as failure:
            span.set_status(self._trace.StatusCode.ERROR)
            span.set_attribute("error.type", type(failure).__name__)
            raise
        finally:
            span.end()

    def stage(self, stage: str, seconds: float) -> None:
        """Add a stage that took `seconds` until now to the request that is being answered, if there is one."""
        if not self._trace.get_current_span().is_recording():
            return
        end = time.time_ns()
        self._tracer.start_span(stage, start_time=end - int(seconds * 1e9)).end(end)

    def scored(self, documents: int, tokens: int, cached: int, truncated: int) -> None:
        """Add the counts of an answer to the request that is being answered, if there is one."""
        self._trace.get_current_span().set_attributes(
            {
                "reranker.documents": documents,
                "reranker.tokens": tokens,
                "reranker.cached": cached,
                "reranker.truncated": truncated,
            }
        )

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: "Span", failed: "StatusCode") -> None:
        self._span = span
        self._failed = failed

    def answered(self, status: int) -> None:
        """Note the HTTP status; 5xx makes the span a failed one."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(self._failed)
            self._span.set_attribute("error.type", str(status))


def make_tracer(model: str, environ: Mapping[str, str] = os.environ) -> Tracer | None:
    """Return the tracer that the environment asks for; None when it asks for none, or for what is not installed."""
    exporters = [exporter for name in _wanted(environ) if (exporter := _exporter(name, environ)) is not None]
    if not exporters:
        return None
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Not made the global one: BentoML has its own, and both stay what they are.
    resource = Resource.create() if environ.get("OTEL_SERVICE_NAME") else Resource.create({SERVICE_NAME: "reranker"})
    provider = TracerProvider(resource=resource)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracer(provider, model)


def keep_bentoml_from_tracing() -> None:
    """Give BentoML a provider that makes no spans; call it when the service's module is imported.

    Its middleware would trace each request that BentoML answers a second time, at the price of half the throughput.
    """
    from bentoml._internal.configuration.containers import BentoMLContainer
    from opentelemetry.trace import NoOpTracerProvider

    BentoMLContainer.tracer_provider.set(NoOpTracerProvider())


def _wanted(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the exporters that the variables ask for."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not named:
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        return ["otlp"] if any(environ.get(name, "").strip() for name in endpoints) else []
    return [name.strip() for name in named.split(",") if name.strip() not in ("", "none")]


def _exporter(name: str, environ: Mapping[str, str]) -> "SpanExporter | None":
    candidates = [name] if name != "otlp" else _otlp(environ)
    for candidate in candidates:
        for found in entry_points(group="opentelemetry_traces_exporter", name=candidate):
            try:
                exporter: SpanExporter = found.load()()
            except Exception as failure:  # noqa: BLE001 - no foreign exporter keeps the service from starting
                logger.error(
                    "The trace exporter %s does not start (%s): see OpenTelemetry's variables OTEL_EXPORTER_*. "
                    "The service goes on without it.",
                    candidate,
                    type(failure).__name__,
                )
                return None
            return exporter
    package = " or ".join(_OTLP_PACKAGES.get(candidate, "the package that has it") for candidate in candidates)
    logger.error(
        "The environment asks for the trace exporter %s, which is not installed: install %s. "
        "The service goes on without it.",
        name,
        package,
    )
    return None


def _otlp(environ: Mapping[str, str]) -> list[str]:
    """Return the entry points of the protocol that is asked for; of both when none is."""
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    of_protocol = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
    return [of_protocol.get(protocol, protocol)] if protocol else list(_OTLP_PACKAGES)
