"""Payments: one, its timeline, a list."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from litestar import get
from litestar.params import Parameter

from actors.index import PAYMENTS
from domain.errors import RetryableError
from domain.payment import PaymentStatus
from gateway.asking import position_not_reached
from gateway.http.context import (
    OBJECT_ID_SCHEMA,
    AnyRequest,
    AsOf,
    KnownAt,
    MinPosition,
    checked_id,
    checked_known_at,
    checked_time,
    node_of,
)
from gateway.http.problems import ProblemError, problems
from gateway.http.views import PaymentJson, PaymentsJson, TimelineJson, payment_json, timeline_json
from gateway.micro_batch import query_all
from gateway.node import Node
from projections.retrieval import (
    GetPayment,
    GetTimeline,
    ListPayments,
    NotYet,
    PaymentFound,
    PaymentsFound,
    Query,
    TimelineFound,
)

PAGE_MAX = 200
# Microseconds and an id: what the view gives.
_CURSOR_RE = re.compile(r"-?[0-9]{1,18}\.[A-Za-z0-9_.:@=+~-]{1,200}")

FoundT = TypeVar("FoundT")

PaymentId = Annotated[
    str, Parameter(description="any of its ids: payment, charge, refund or dispute", schema_extra=OBJECT_ID_SCHEMA)
]
CustomerId = Annotated[str | None, Parameter(query="customer_id", schema_extra=OBJECT_ID_SCHEMA)]
Cursor = Annotated[
    str | None,
    Parameter(query="cursor", description="of the page before", schema_extra={"pattern": f"^{_CURSOR_RE.pattern}$"}),
]

_PROBLEMS = problems(
    s400="a parameter does not fit",
    s401="no credential",
    s404="no such payment, or not of this credential's tenant",
    s409="`known_at` is beyond the end of the log",
    s503="the position is not reached yet, or the index is away",
)


async def look_up(node: Node, query: Query, shape: type[FoundT], *, projection: str = PAYMENTS) -> FoundT:
    """Ask the tenant's index shard; waits for the position that the query needs.

    Raises `ProblemError` 503 when the position is not reached in time or the shard does not answer.
    """
    call = node.call_index(query.tenant)
    try:
        [found] = await query_all(call, [query])
        if isinstance(found, NotYet):
            listener = node.listener(query.tenant)
            if not await listener.wait_for((projection,), query.needs_position, node.settings.ask.wait_s):
                raise position_not_reached(query.needs_position)
            [found] = await query_all(call, [query])
    except RetryableError as error:
        raise index_away(error) from error
    if isinstance(found, NotYet):
        raise position_not_reached(query.needs_position)
    assert isinstance(found, shape), f"{type(query).__name__} was answered by {type(found).__name__}"
    return found


def index_away(error: RetryableError) -> ProblemError:
    """The problem for an index shard that does not answer."""
    return ProblemError(503, "index.away", f"{error.reason}; ask again", {"Retry-After": "1"})


@get("/v1/{tenant:str}/payments/{payment_id:str}", summary="A payment", responses=_PROBLEMS, tags=["payments"])
async def get_payment(
    tenant: str,
    payment_id: PaymentId,
    request: AnyRequest,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    min_position: MinPosition = 0,
) -> PaymentJson:
    node = node_of(request)
    at = checked_time(as_of)
    query = GetPayment(
        tenant=tenant,
        payment_id=checked_id(payment_id, "payment_id"),
        as_of=at,
        known_at=checked_known_at(node, known_at),
        min_position=min_position,
    )
    found = await look_up(node, query, PaymentFound)
    if found.payment is None:
        raise _unknown(payment_id)
    return payment_json(found.payment, as_of=at or datetime.now(UTC))


@get(
    "/v1/{tenant:str}/payments/{payment_id:str}/timeline",
    summary="Both clocks of a payment",
    responses=_PROBLEMS,
    tags=["payments"],
)
async def get_timeline(
    tenant: str,
    payment_id: PaymentId,
    request: AnyRequest,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    min_position: MinPosition = 0,
) -> TimelineJson:
    node = node_of(request)
    query = GetTimeline(
        tenant=tenant,
        payment_id=checked_id(payment_id, "payment_id"),
        as_of=checked_time(as_of),
        known_at=checked_known_at(node, known_at),
        min_position=min_position,
    )
    found = await look_up(node, query, TimelineFound)
    if not found.entries:
        raise _unknown(payment_id)
    return timeline_json(found.entries)


@get(
    "/v1/{tenant:str}/payments",
    summary="Payments as they are or were, newest first",
    responses=_PROBLEMS,
    tags=["payments"],
)
async def list_payments(
    tenant: str,
    request: AnyRequest,
    customer_id: CustomerId = None,
    status: Annotated[PaymentStatus | None, Parameter(query="status")] = None,
    limit: Annotated[int, Parameter(query="limit", ge=1, le=PAGE_MAX)] = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    min_position: MinPosition = 0,
) -> PaymentsJson:
    node = node_of(request)
    at = checked_time(as_of)
    if cursor and _CURSOR_RE.fullmatch(cursor) is None:
        raise ProblemError(400, "cursor.invalid", "cursor: pass on what the page before gave")
    query = ListPayments(
        tenant=tenant,
        customer_id="" if customer_id is None else checked_id(customer_id, "customer_id"),
        status=status or "",
        limit=limit,
        cursor=cursor or "",
        as_of=at,
        known_at=checked_known_at(node, known_at),
        min_position=min_position,
    )
    found = await look_up(node, query, PaymentsFound)
    shown_at = at or datetime.now(UTC)
    return PaymentsJson(
        payments=[payment_json(payment, as_of=shown_at) for payment in found.payments],
        cursor=found.cursor or None,
        position=found.position,
    )


def _unknown(payment_id: str) -> ProblemError:
    return ProblemError(404, "payment.unknown", f"no fact about {payment_id} is known; it may not have arrived yet")


HANDLERS: list[Any] = [get_payment, get_timeline, list_payments]
