"""The quarantine: what could not be taken in, why, and again."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import get, post
from litestar.params import Parameter

from domain.errors import RetryableError, TerminalError
from gateway.bus import Outgoing, ingest_subject
from gateway.http.context import AnyRequest, node_of, trace_of
from gateway.http.problems import ProblemError, problems
from gateway.http.views import QuarantinedJson, quarantined_json
from gateway.intake import CORRELATION_HEADER, QUARANTINE_HEADER
from gateway.node import Node

REQUEUE_MAX = 1_000

_PROBLEMS = problems(
    s400="a parameter does not fit",
    s401="no credential",
    s404="no such entry, or not of this credential's tenant",
    s413="the message with what it is sent in with is too large for the stream",
    s503="cannot be sent in now; try again",
)

_AT_ONCE = Annotated[int, Parameter(query="limit", ge=1, le=REQUEUE_MAX)]


class QuarantineJson(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, oldest first, and how many are open by code."""

    entries: list[QuarantinedJson]
    open: dict[str, int]


class Requeued(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that were sent in again."""

    requeued: list[str]


@get("/v1/{tenant:str}/quarantine", summary="What could not be taken in", responses=_PROBLEMS, tags=["quarantine"])
async def list_quarantine(
    tenant: str,
    request: AnyRequest,
    status: Annotated[Literal["open", "requeued", "applied", "all"], Parameter(query="state")] = "open",
    code: Annotated[str | None, Parameter(query="code", max_length=100)] = None,
    limit: _AT_ONCE = 100,
) -> QuarantineJson:
    node = node_of(request)
    state = None if status == "all" else status
    entries = await asyncio.to_thread(node.quarantine.listed, tenant, state=state, code=code or "", limit=limit)
    counts = await asyncio.to_thread(node.quarantine.counts, tenant)
    return QuarantineJson(entries=[quarantined_json(entry) for entry in entries], open=counts)


@post(
    "/v1/{tenant:str}/quarantine/{entry_id:str}/requeue",
    status_code=200,
    summary="Send one in again",
    responses=_PROBLEMS,
    tags=["quarantine"],
)
async def requeue_one(tenant: str, entry_id: str, request: AnyRequest) -> Requeued:
    node = node_of(request)
    return await _requeue(node, tenant, [entry_id], request)


@post(
    "/v1/{tenant:str}/quarantine/requeue",
    status_code=200,
    summary="Send all open ones in again",
    responses=_PROBLEMS,
    tags=["quarantine"],
)
async def requeue_all(
    tenant: str,
    request: AnyRequest,
    code: Annotated[str | None, Parameter(query="code", max_length=100)] = None,
    limit: _AT_ONCE = REQUEUE_MAX,
) -> Requeued:
    node = node_of(request)
    entries = await asyncio.to_thread(node.quarantine.listed, tenant, code=code or "", limit=limit)
    return await _requeue(node, tenant, [entry.id for entry in entries], request)


async def _requeue(node: Node, tenant: str, names: Sequence[str], request: AnyRequest) -> Requeued:
    correlation = trace_of(request).correlation_id
    for name in names:
        message = await asyncio.to_thread(node.quarantine.message, tenant, name)
        if message is None:
            raise ProblemError(404, "quarantine.unknown", f"there is no entry {name}")
        headers = {**message.headers, QUARANTINE_HEADER: name, CORRELATION_HEADER: correlation}
        # Marked first: if the message is quarantined again at once, that entry must not be closed afterwards.
        await asyncio.to_thread(node.quarantine.mark, tenant, [name], "requeued")
        try:
            await node.publisher.publish(Outgoing(ingest_subject(tenant, message.source), message.raw, headers))
        except RetryableError as error:
            await asyncio.to_thread(node.quarantine.mark, tenant, [name], "open")
            raise ProblemError(
                503, "requeue.not_durable", f"{error.reason}; try again", {"Retry-After": "1"}
            ) from error
        except TerminalError as error:
            await asyncio.to_thread(node.quarantine.mark, tenant, [name], "open")
            raise ProblemError(413, "body.too_large", error.reason) from error
    return Requeued(requeued=list(names))


HANDLERS: list[Any] = [list_quarantine, requeue_one, requeue_all]
