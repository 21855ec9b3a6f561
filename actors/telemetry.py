"""Logs and traces of a process. One canonical line per request or batch, as JSON.

Metrics of hosts in other processes come with their health; a scrape never waits for one.
"""

import logging
import sys
from pathlib import Path

import msgspec
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from projections.tracing import trace_to


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """How a host tells what it does: its name in every line, the file for its lines, where its spans go."""

    host: str
    log_file: str
    log_level: str = "info"
    otlp_endpoint: str = ""


def start_telemetry(telemetry: Telemetry) -> None:
    """Configure the logs and traces of a host's process."""
    path = Path(telemetry.log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    configure_logging(telemetry.log_level, file=path, host=telemetry.host)
    configure_tracing(telemetry.otlp_endpoint, service=telemetry.host)


def configure_logging(level: str, *, file: Path | None = None, **fields: object) -> None:
    """JSON lines, each with `fields`, to the end of `file` or to standard error.

    Raises `ValueError` for a level that is none.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"telemetry.log_level: {level!r} is none of debug, info, warning, error")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _with(fields),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Unbuffered, so that the last line before a kill is there.
        logger_factory=structlog.BytesLoggerFactory(file.open("ab", buffering=0) if file else sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _with(fields: dict[str, object]) -> structlog.types.Processor:
    """Add `fields` to every line of the process, whichever thread writes it."""

    def add(_logger: object, _method: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
        return {**fields, **line}

    return add


def _to_json(line: object, **_: object) -> bytes:
    return msgspec.json.encode(line, enc_hook=str)


def configure_tracing(otlp_endpoint: str, *, service: str) -> None:
    """Export spans to an OTLP collector over HTTP; an empty endpoint leaves tracing off, at no cost."""
    if not otlp_endpoint:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"recount-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)))
    trace_to(provider)
