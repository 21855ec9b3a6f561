"""Errors as problem details (RFC 9457); `code` is stable and part of the public interface."""

from collections.abc import Mapping
from http import HTTPStatus
from sqlite3 import OperationalError
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec

from domain.errors import RetryableError

log = structlog.get_logger("http")

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and in `detail` what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ProblemError(Exception):
    """An answer that is a problem.

    Args:
        status: the HTTP status.
        code: stable, dotted.
        detail: one sentence that says what to do.
        headers: further response headers.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def problem_response(error: ProblemError) -> Response[bytes]:
    """The response that says so."""
    problem = Problem(
        type=f"https://recount.dev/problems/{error.code}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        code=error.code,
    )
    return Response(
        msgspec.json.encode(problem), status_code=error.status, headers=error.headers, media_type=CONTENT_TYPE
    )


def on_problem(_: Request[Any, Any, Any], error: ProblemError) -> Response[bytes]:
    """The handler for our own problems."""
    return problem_response(error)


_CODES = {
    400: "request.invalid",
    401: "credential.missing",
    404: "not_found",
    405: "method.not_allowed",
    413: "body.too_large",
    415: "media_type.unsupported",
}


def on_http_exception(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The handler for what the framework refuses: unknown routes, wrong methods, bodies that do not fit."""
    detail = error.detail or HTTPStatus(error.status_code).phrase
    if isinstance(error.extra, list) and error.extra:
        detail = "; ".join(_misfit(each) for each in error.extra if isinstance(each, dict))
    return problem_response(
        ProblemError(
            error.status_code,
            _CODES.get(error.status_code, "request.failed"),
            detail[:1000],
            {name: value for name, value in (error.headers or {}).items() if name.lower() in {"allow", "retry-after"}},
        )
    )


def _misfit(each: dict[str, Any]) -> str:
    """What does not fit: `limit: Expected int, got str`. The framework calls the body `data`."""
    key, message = str(each.get("key", "data")), str(each.get("message", ""))
    # What is missing altogether is a KeyError that became text.
    return f"{'body' if key == 'data' else key}: {'is missing' if message == repr(key) else message}"


def on_storage_away(request: Request[Any, Any, Any], error: OperationalError | RetryableError) -> Response[bytes]:
    """The handler for a store that cannot be read or written now: locked for too long, away, or its disk is full."""
    log.error("storage_away", path=request.url.path, correlation_id=_correlation_id(request), reason=str(error))
    return problem_response(
        ProblemError(503, "storage.away", "this cannot be read or written now; try again", {"Retry-After": "1"})
    )


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The handler for our own mistakes: the log has the trace, the caller gets the correlation id."""
    log.error("request_crashed", path=request.url.path, correlation_id=_correlation_id(request), exc_info=error)
    return problem_response(
        ProblemError(500, "internal", "this is our mistake; the response's X-Correlation-Id finds it in the log")
    )


def _correlation_id(request: Request[Any, Any, Any]) -> str:
    found: str = request.scope["state"]["correlation_id"]
    return found


def problems(**codes: str) -> dict[int, ResponseSpec]:
    """The problems that a route may answer with, for its description: `problems(s404="no such payment")`."""
    return {
        int(name[1:]): ResponseSpec(
            data_container=Problem,
            description=description,
            generate_examples=False,
            media_type=CONTENT_TYPE,
        )
        for name, description in codes.items()
    }
