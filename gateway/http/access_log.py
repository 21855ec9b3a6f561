"""Around every request: its correlation id, its span, its metrics, its one line in the log."""

import re
import time
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.trace import get_current_span
from prometheus_client import Counter, Histogram

from gateway.http.context import correlation_id
from projections.tracing import span

log = structlog.get_logger("http")

REQUESTS = Counter("recount_http_requests_total", "HTTP requests", ["method", "route", "status"])
SECONDS = Histogram(
    "recount_http_request_seconds",
    "Time to answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_TRACEPARENT_RE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class AccessLog:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        correlation = correlation_id(headers.get(b"x-correlation-id", b"").decode("latin-1"))
        offered = headers.get(b"traceparent", b"").decode("latin-1")
        traceparent = offered if _TRACEPARENT_RE.fullmatch(offered) else ""
        state: dict[str, Any] = scope.setdefault("state", {})
        state["correlation_id"] = correlation
        status = 500
        started_s = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-correlation-id", correlation.encode())]
            await send(message)

        with span(f"{scope['method']} {scope['path']}", traceparent) as own:
            state["traceparent"] = own
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                self._note(scope, status, time.perf_counter() - started_s, correlation)
                get_current_span().set_attribute("http.response.status_code", status)

    def _note(self, scope: HTTPScope, status: int, seconds: float, correlation: str) -> None:
        path = scope["path"]
        # The route's template, not the path: ids would make a series each.
        route = scope.get("path_template") or "unmatched"
        REQUESTS.labels(scope["method"], route, status).inc()
        SECONDS.labels(route).observe(seconds)
        if path not in _QUIET:
            log.info(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                ms=round(seconds * 1000, 1),
                correlation_id=correlation,
                **scope["state"].get("log", {}),
            )
