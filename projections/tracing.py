"""Spans that follow a message across processes, by the W3C trace context that it carries.

While no exporter is configured (`actors.telemetry`), a span costs a comparison.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.trace import Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
# Asked for every message; OpenTelemetry's own global looks into the environment each time.
_tracer: Tracer | None = None


def trace_to(provider: TracerProvider | None) -> None:
    """Send this process's spans to a provider from now on; `None` turns them off."""
    global _tracer  # noqa: PLW0603 - one per process, as the process's exporter is
    _tracer = provider.get_tracer("recount") if provider is not None else None


def span(name: str, traceparent: str = "", **attributes: str | int) -> AbstractContextManager[str]:
    """A span under `traceparent`; gives its own, to be carried on. While tracing is off, what came is carried on."""
    return nullcontext(traceparent) if _tracer is None else _traced(_tracer, name, traceparent, attributes)


@contextmanager
def _traced(tracer: Tracer, name: str, traceparent: str, attributes: Mapping[str, str | int]) -> Iterator[str]:
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with tracer.start_as_current_span(name, context=context, attributes=attributes):
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        yield carrier.get("traceparent", traceparent)
