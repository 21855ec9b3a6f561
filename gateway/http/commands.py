"""Payments that are started here: start one, what is outstanding in the world, and the decisions of a person."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import Parameter
from msgspec import Meta

from domain.codec import Submission
from domain.errors import Rejection
from domain.message import Accepted, Failed, Rejected, Unchanged
from domain.payment_policy import OnTimeout
from domain.payment_saga import Resolution
from gateway.commands import ResolveBody, StartBody, command_of
from gateway.http.context import (
    OBJECT_ID_SCHEMA,
    POSITION_MAX,
    AnyRequest,
    checked_id,
    node_of,
    trace_of,
)
from gateway.http.problems import ProblemError, problems
from gateway.node import Node

PAGE_MAX = 200
_NUMBER_RE = re.compile(r"[1-9][0-9]{0,8}")

_PROBLEMS = problems(
    s400="the command does not fit",
    s401="no credential",
    s404="not of this credential's tenant, or no such escalation",
    s409="the payment was started on other terms",
    s413="the body is too large",
    s503="cannot be recorded now; send it again",
)
_LIST_PROBLEMS = problems(
    s400="a parameter does not fit", s401="no credential", s404="not of this credential's tenant", s503="cannot be read"
)
_STATUSES = {"payment.started_differently": 409, "escalation.unknown": 404}


class StartPaymentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment that is expected to be confirmed until `deadline_at`, by default the tenant's `deadline_s` from now."""

    payment_id: Annotated[str, Meta(extra_json_schema=OBJECT_ID_SCHEMA)]
    amount_minor: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    deadline_at: Annotated[datetime, Meta(tz=True)] | None = None
    customer_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:@=+~-]{0,200}$")] = ""
    provider: Annotated[str, Meta(max_length=32)] = ""
    on_timeout: OnTimeout | None = None


class ResolutionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retry` (read the provider and go on), `refund` (return what is captured) or `close` (it is taken care of)."""

    resolution: Resolution
    note: Annotated[str, Meta(max_length=1_000)] = ""


class CommandTaken(msgspec.Struct, frozen=True, kw_only=True):
    """How many events the payment has, and the log position from which on they are known."""

    version: int
    position: int


class EscalationJson(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that waits for a person."""

    payment_id: str
    number: int
    reason: str
    detail: str
    escalated_at: datetime
    position: int


class EscalationsJson(msgspec.Struct, frozen=True, kw_only=True):
    """The longest waiting first; `after` takes the last one's position. `position` is how far the log is read."""

    escalations: list[EscalationJson]
    position: int


class EffectJson(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be done in the world and is not done yet; `reason` is what the last attempt that failed said."""

    key: str
    kind: str
    payment_id: str
    provider: str
    amount_minor: int
    currency: str
    topic: str
    due_at: datetime
    attempts: int
    attempts_max: int
    reason: str


class GivenUpJson(msgspec.Struct, frozen=True, kw_only=True):
    """A reply or a notification that is not tried any more; `reason` is why. `to` is the conversation of a reply."""

    key: str
    kind: str
    payment_id: str
    to: str
    topic: str
    ended_at: datetime
    attempts: int
    reason: str


class EffectsJson(msgspec.Struct, frozen=True, kw_only=True):
    """Those that are due next first; of those given up the last first. `position` is how far the log is read."""

    effects: list[EffectJson]
    given_up: list[GivenUpJson]
    position: int


async def _decide(node: Node, submission: Submission) -> CommandTaken:
    [reply] = await node.payments.submit([submission])
    match reply:
        case Accepted(version=version, position=position):
            return CommandTaken(version=version, position=position)
        case Unchanged(version=version):
            return CommandTaken(version=version, position=node.feed.head())
        case Rejected(code=code, detail=detail):
            raise ProblemError(_STATUSES.get(code, 400), code, detail)
        case Failed(reason=reason):
            raise ProblemError(503, "command.not_durable", f"{reason}; send it again", {"Retry-After": "1"})


def _submission(node: Node, tenant: str, body: StartBody | ResolveBody, request: AnyRequest) -> Submission:
    try:
        return command_of(body, tenant, node.settings.tenants[tenant], datetime.now(UTC), trace_of(request))
    except Rejection as rejection:
        raise ProblemError(400, rejection.code, rejection.detail) from rejection


@post(
    "/v1/{tenant:str}/payments",
    status_code=200,
    summary="Start a payment",
    description="Sent again on the same terms it changes nothing.",
    responses=_PROBLEMS,
    tags=["payments"],
)
async def start_payment(tenant: str, data: StartPaymentBody, request: AnyRequest) -> CommandTaken:
    node = node_of(request)
    checked_id(data.payment_id, "payment_id")
    fields = {name: getattr(data, name) for name in data.__struct_fields__}
    return await _decide(node, _submission(node, tenant, StartBody(**fields), request))


@get(
    "/v1/{tenant:str}/escalations",
    summary="Payments that wait for a person",
    responses=_LIST_PROBLEMS,
    tags=["payments"],
)
async def list_escalations(
    tenant: str,
    request: AnyRequest,
    after: Annotated[int, Parameter(query="after", ge=0, le=POSITION_MAX)] = 0,
    limit: Annotated[int, Parameter(query="limit", ge=1, le=PAGE_MAX)] = 50,
) -> EscalationsJson:
    outbox = node_of(request).outbox
    position = await asyncio.to_thread(outbox.position)
    found = await asyncio.to_thread(outbox.escalations, tenant, after=after, limit=limit)
    return EscalationsJson(
        escalations=[msgspec.convert(each, EscalationJson, from_attributes=True) for each in found], position=position
    )


@post(
    "/v1/{tenant:str}/payments/{payment_id:str}/escalations/{number:str}/resolve",
    status_code=200,
    summary="A person's decision",
    description="Sent again it changes nothing; one about an escalation that was overtaken comes to nothing.",
    responses=_PROBLEMS,
    tags=["payments"],
)
async def resolve_escalation(
    tenant: str,
    payment_id: Annotated[str, Parameter(schema_extra=OBJECT_ID_SCHEMA)],
    number: Annotated[str, Parameter(description="which of them", schema_extra={"pattern": f"^{_NUMBER_RE.pattern}$"})],
    data: ResolutionBody,
    request: AnyRequest,
) -> CommandTaken:
    node = node_of(request)
    if _NUMBER_RE.fullmatch(number) is None:
        raise ProblemError(400, "id.invalid", "number: of the escalation, from 1")
    body = ResolveBody(
        payment_id=checked_id(payment_id, "payment_id"),
        number=int(number),
        resolution=data.resolution,
        note=data.note,
    )
    return await _decide(node, _submission(node, tenant, body, request))


@get(
    "/v1/{tenant:str}/effects",
    summary="What has to be done in the world and is not done yet, and what was given up",
    responses=_LIST_PROBLEMS,
    tags=["payments"],
)
async def list_effects(
    tenant: str,
    request: AnyRequest,
    limit: Annotated[int, Parameter(query="limit", ge=1, le=PAGE_MAX)] = 50,
) -> EffectsJson:
    outbox = node_of(request).outbox
    position = await asyncio.to_thread(outbox.position)
    found = await asyncio.to_thread(outbox.outstanding, tenant, limit=limit)
    effects = [
        EffectJson(
            key=each.effect.key,
            kind=each.effect.kind,
            payment_id=each.effect.payment_id,
            provider=each.effect.provider,
            amount_minor=each.effect.amount_minor,
            currency=each.effect.currency,
            topic=each.effect.topic,
            due_at=each.due_at,
            attempts=each.attempts,
            attempts_max=each.effect.attempts_max,
            reason=each.reason,
        )
        for each in found
    ]
    ended = await asyncio.to_thread(outbox.given_up, tenant, limit=limit)
    given_up = [
        GivenUpJson(
            key=each.effect.key,
            kind=each.effect.kind,
            payment_id=each.effect.payment_id,
            to=each.effect.to,
            topic=each.effect.topic,
            ended_at=each.ended_at,
            attempts=each.attempts,
            reason=each.reason,
        )
        for each in ended
    ]
    return EffectsJson(effects=effects, given_up=given_up, position=position)


HANDLERS: list[Any] = [start_payment, list_escalations, resolve_escalation, list_effects]
