"""Logs, traces and metrics. One canonical line per request or batch, as JSON on standard error.

Metrics of hosts in other processes come with their health; a scrape never waits for one.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


def configure_logging(level: str, **fields: object) -> None:
    """JSON lines on standard error, each with `fields`. Raises `ValueError` for a level that is none."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"telemetry.log_level: {level!r} is none of debug, info, warning, error")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)


def _to_json(line: object, **_: object) -> bytes:
    return msgspec.json.encode(line, enc_hook=str)


def configure_tracing(otlp_endpoint: str, *, service: str) -> None:
    """Export spans to an OTLP collector over HTTP; an empty endpoint leaves tracing off, at no cost."""
    if not otlp_endpoint:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"recount-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, traceparent: str = "", **attributes: str | int) -> Iterator[str]:
    """A span under the W3C `traceparent`; gives its own, to be carried on. Empty while tracing is off."""
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with trace.get_tracer("recount").start_as_current_span(name, context=context, attributes=attributes):
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        yield carrier.get("traceparent", traceparent)
