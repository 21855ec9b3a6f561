"""Spans that follow a message across processes, by the W3C trace context that it carries.

While no exporter is configured (`actors.telemetry`), a span costs a comparison.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


def is_tracing() -> bool:
    """Whether spans go anywhere."""
    return not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


@contextmanager
def span(name: str, traceparent: str = "", **attributes: str | int) -> Iterator[str]:
    """A span under `traceparent`; gives its own, to be carried on. While tracing is off, what came is carried on."""
    if not is_tracing():
        yield traceparent
        return
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with trace.get_tracer("recount").start_as_current_span(name, context=context, attributes=attributes):
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        yield carrier.get("traceparent", traceparent)
