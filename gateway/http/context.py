"""What every route needs of a request: the node, the tenant that the credential opens, the correlation id."""

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import Parameter

from domain.ids import is_object_id
from domain.message import Trace
from gateway.http.problems import ProblemError
from gateway.node import Node

AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]

POSITION_MAX = 2**53 - 1  # The largest integer that every reader of JSON keeps exact (RFC 8259, section 6).

AsOf = Annotated[datetime | None, Parameter(query="as_of", description="as of this time in the world (RFC 3339)")]
KnownAt = Annotated[
    int | None,
    Parameter(
        query="known_at",
        ge=0,
        le=POSITION_MAX,
        description="as known at this log position; waits for it, or 503",
        schema_extra={"minimum": 0},  # Of an optional number the framework forgets a limit that is 0.
    ),
]
MinPosition = Annotated[
    int, Parameter(query="min_position", ge=0, le=POSITION_MAX, description="wait for this log position, or 503")
]

# What `is_object_id` takes, for the description.
OBJECT_ID_SCHEMA = {"pattern": r"^(?!\.{1,2}$)[A-Za-z0-9_.:@=+~-]{1,200}$"}

_CORRELATION_RE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class JsonRequest(AnyRequest):
    """A request whose JSON is decoded into the struct that the route takes, strictly: `"3"` is no number."""

    async def json(self) -> Any:  # noqa: ANN401 - the framework's signature
        """The body. Raises `ProblemError` 400 for whatever does not fit."""
        field = self.route_handler.parsed_data_field
        assert field is not None, "only a route that takes a body reads it"
        try:
            return msgspec.json.decode(await self.body(), type=field.annotation)
        except UnicodeDecodeError as error:
            detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
            raise ProblemError(400, "body.not_utf8", detail) from error
        except RecursionError as error:
            raise ProblemError(400, "body.too_deep", "the body is nested too deeply") from error
        except msgspec.ValidationError as error:
            raise ProblemError(400, "request.invalid", f"the body does not fit: {error}") from error
        except msgspec.DecodeError as error:
            raise ProblemError(400, "body.not_json", f"the body is not JSON: {error}") from error


def node_of(request: AnyConnection) -> Node:
    """The node that the application serves."""
    node: Node = request.app.state.node
    return node


async def tenants_only(request: AnyConnection, handler: BaseRouteHandler) -> None:
    """Ask for a credential before anything else of a request is read. Routes are closed unless they say `is_public`.

    Raises `ProblemError` 401 without a known credential; 404 with another tenant's, so that nobody learns what exists.
    What is no tenant's opens to any.
    """
    if handler.opt.get("is_public"):
        return
    owner = node_of(request).credentials.owner(request.headers.get("authorization"))
    if owner is None:
        raise ProblemError(
            401,
            "credential.missing",
            "send the tenant's API key as `Authorization: Bearer <key>`",
            {"WWW-Authenticate": "Bearer"},
        )
    if request.path_params.get("tenant", owner) != owner:
        raise ProblemError(404, "tenant.unknown", "there is no such tenant for this credential")


def checked_id(value: str, name: str) -> str:
    """The id, if it can be one; else `ProblemError` 400."""
    if not is_object_id(value):
        raise ProblemError(400, "id.invalid", f"{name}: 1 to 200 letters, digits and any of _.:@=+~-")
    return value


def checked_time(at: datetime | None) -> datetime | None:
    """A time in UTC, or none; `ProblemError` 400 for one without a zone or beyond the calendar."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ProblemError(400, "time.without_zone", "as_of: give the time with its zone, e.g. 2026-11-22T10:00:00Z")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ProblemError(400, "time.out_of_range", "as_of: give a time between the years 1 and 9999, UTC") from None


def checked_known_at(node: Node, position: int | None) -> int | None:
    """The log position, or none; `ProblemError` 409 for one that is yet to come: nobody knows what is known there."""
    if position is not None and position > (head := node.feed.head()):
        raise ProblemError(409, "position.ahead", f"known_at: the log ends at {head}; leave it out to ask about now")
    return position


def correlation_id(offered: str | None) -> str:
    """The caller's correlation id if it can be one (64 letters, digits, ._:-), else a new one."""
    return offered if offered and _CORRELATION_RE.fullmatch(offered) else secrets.token_hex(12)


def trace_of(request: AnyRequest) -> Trace:
    """What ties the request to what it causes."""
    return Trace(
        correlation_id=request.scope["state"]["correlation_id"],
        traceparent=request.scope["state"].get("traceparent", ""),
    )
