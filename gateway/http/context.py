"""What every route needs of a request: the node, the tenant that the credential opens, the correlation id."""

import re
import secrets
from typing import Any

from litestar import Request

from domain.ids import is_object_id
from domain.message import Trace
from gateway.http.problems import ProblemError
from gateway.node import Node

AnyRequest = Request[Any, Any, Any]

_CORRELATION_RE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def node_of(request: AnyRequest) -> Node:
    """The node that the application serves."""
    node: Node = request.app.state.node
    return node


def authorize(request: AnyRequest, tenant: str) -> Node:
    """The node, if the credential is the tenant's.

    Raises `ProblemError` 401 without a known credential; 404 with another tenant's, so that nobody learns what exists.
    """
    node = node_of(request)
    owner = node.credentials.owner(request.headers.get("authorization"))
    if owner is None:
        raise ProblemError(
            401,
            "credential.missing",
            "send the tenant's API key as `Authorization: Bearer <key>`",
            {"WWW-Authenticate": "Bearer"},
        )
    if owner != tenant:
        raise ProblemError(404, "tenant.unknown", "there is no such tenant for this credential")
    return node


def authorize_any(request: AnyRequest) -> Node:
    """The node, for what is no tenant's: any tenant's credential opens it. Raises `ProblemError` 401 without one."""
    owner = node_of(request).credentials.owner(request.headers.get("authorization"))
    return authorize(request, owner or "")


def checked_id(value: str, name: str) -> str:
    """The id, if it can be one; else `ProblemError` 400."""
    if not is_object_id(value):
        raise ProblemError(400, "id.invalid", f"{name}: 1 to 200 letters, digits and any of _.:@=+~-")
    return value


def correlation_id(offered: str | None) -> str:
    """The caller's correlation id if it can be one (64 letters, digits, ._:-), else a new one."""
    return offered if offered and _CORRELATION_RE.fullmatch(offered) else secrets.token_hex(12)


def trace_of(request: AnyRequest) -> Trace:
    """What ties the request to what it causes."""
    return Trace(
        correlation_id=request.scope["state"]["correlation_id"],
        traceparent=request.scope["state"].get("traceparent", ""),
    )
