"""The quarantine: what could not be taken in, why, and again."""

import asyncio
import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import get, post
from litestar.params import Parameter

from domain.errors import RetryableError, TerminalError
from gateway.http.context import AnyRequest, checked_time, node_of, trace_of
from gateway.http.problems import ProblemError, problems
from gateway.http.views import QuarantinedJson, quarantined_json
from gateway.node import Node
from gateway.quarantine import RawMessage
from gateway.requeueing import AT_ONCE, send_again

REQUEUE_MAX = 1_000

_PROBLEMS = problems(
    s400="a parameter does not fit",
    s401="no credential",
    s404="no such entry, or not of this credential's tenant",
    s409="the message is sealed with a key that this node does not have",
    s413="the message with what it is sent in with is too large for the stream",
    s503="cannot be sent in now; try again",
)

_Limit = Annotated[int, Parameter(query="limit", ge=1, le=REQUEUE_MAX)]
_Code = Annotated[str | None, Parameter(query="code", max_length=100)]
_Source = Annotated[str | None, Parameter(query="source", max_length=100)]
_Since = Annotated[datetime | None, Parameter(query="since", description="those that came first at or after this time")]
_Until = Annotated[datetime | None, Parameter(query="until", description="those that came first before this time")]


class QuarantineJson(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, oldest first, and how many are open by code."""

    entries: list[QuarantinedJson]
    open: dict[str, int]


class QuarantinedMessageJson(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with the message as it came; its body is in base64."""

    entry: QuarantinedJson
    headers: dict[str, str]
    body_base64: str


class Requeued(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that were sent in again."""

    requeued: list[str]


class RequeuedByFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that were sent in again, and how many more were open and fit."""

    requeued: list[str]
    remaining: int


@get("/v1/{tenant:str}/quarantine", summary="What could not be taken in", responses=_PROBLEMS, tags=["quarantine"])
async def list_quarantine(
    tenant: str,
    request: AnyRequest,
    status: Annotated[Literal["open", "requeued", "applied", "all"], Parameter(query="state")] = "open",
    code: _Code = None,
    source: _Source = None,
    since: _Since = None,
    until: _Until = None,
    limit: _Limit = 100,
) -> QuarantineJson:
    node = node_of(request)
    entries = await asyncio.to_thread(
        node.quarantine.listed,
        tenant,
        state=None if status == "all" else status,
        code=code or "",
        source=source or "",
        since=checked_time(since),
        until=checked_time(until),
        limit=limit,
    )
    counts = await asyncio.to_thread(node.quarantine.counts, tenant)
    return QuarantineJson(entries=[quarantined_json(entry) for entry in entries], open=counts)


@get(
    "/v1/{tenant:str}/quarantine/{entry_id:str}",
    summary="One message that could not be taken in, as it came",
    responses=_PROBLEMS,
    tags=["quarantine"],
)
async def show_quarantined(tenant: str, entry_id: str, request: AnyRequest) -> QuarantinedMessageJson:
    node = node_of(request)
    entry = await asyncio.to_thread(node.quarantine.entry, tenant, entry_id)
    if entry is None:
        raise _unknown(entry_id)
    message = await _message(node, tenant, entry_id)
    return QuarantinedMessageJson(
        entry=quarantined_json(entry),
        headers=dict(message.headers),
        body_base64=base64.b64encode(message.raw).decode(),
    )


@post(
    "/v1/{tenant:str}/quarantine/{entry_id:str}/requeue",
    status_code=200,
    summary="Send one in again",
    responses=_PROBLEMS,
    tags=["quarantine"],
)
async def requeue_one(tenant: str, entry_id: str, request: AnyRequest) -> Requeued:
    await _requeue(node_of(request), tenant, [entry_id], request)
    return Requeued(requeued=[entry_id])


@post(
    "/v1/{tenant:str}/quarantine/requeue",
    status_code=200,
    summary="Send open ones in again: all, of a code, of a source, of a time",
    description="Those that were tried last come last. What is sent in again and refused again is open again.",
    responses=_PROBLEMS,
    tags=["quarantine"],
)
async def requeue_by_filter(
    tenant: str,
    request: AnyRequest,
    code: _Code = None,
    source: _Source = None,
    since: _Since = None,
    until: _Until = None,
    limit: _Limit = REQUEUE_MAX,
) -> RequeuedByFilter:
    node = node_of(request)
    chosen: dict[str, Any] = {
        "code": code or "",
        "source": source or "",
        "since": checked_time(since),
        "until": checked_time(until),
    }
    entries = await asyncio.to_thread(node.quarantine.listed, tenant, order="last_seen_at", limit=limit, **chosen)
    fitting = await asyncio.to_thread(node.quarantine.count, tenant, **chosen)
    names = [entry.id for entry in entries]
    for start in range(0, len(names), AT_ONCE):
        await _requeue(node, tenant, names[start : start + AT_ONCE], request)
    return RequeuedByFilter(requeued=names, remaining=max(fitting - len(names), 0))


async def _requeue(node: Node, tenant: str, names: Sequence[str], request: AnyRequest) -> None:
    """Publish messages again. Raises `ProblemError`; then those that are not in the stream are open as before."""
    messages = {name: await _message(node, tenant, name) for name in names}
    try:
        await send_again(node.quarantine, node.publisher.publish, tenant, messages, trace_of(request).correlation_id)
    except RetryableError as error:
        raise ProblemError(503, "requeue.not_durable", f"{error.reason}; try again", {"Retry-After": "1"}) from error
    except TerminalError as error:
        raise ProblemError(413, "body.too_large", error.reason) from error


async def _message(node: Node, tenant: str, name: str) -> RawMessage:
    try:
        message = await asyncio.to_thread(node.quarantine.message, tenant, name)
    except TerminalError as error:
        raise ProblemError(409, "quarantine.sealed", error.reason) from error
    if message is None:
        raise _unknown(name)
    return message


def _unknown(name: str) -> ProblemError:
    return ProblemError(404, "quarantine.unknown", f"there is no entry {name}")


HANDLERS: list[Any] = [list_quarantine, show_quarantined, requeue_one, requeue_by_filter]
