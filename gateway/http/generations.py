"""Index generations of a tenant: which there are, building the next one, going back to the one before."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from msgspec import Meta

from actors.generation_requests import (
    BuildGeneration,
    GenerationRefused,
    GenerationReply,
    GenerationRequest,
    RollBack,
    ShowGenerations,
)
from domain.errors import RetryableError
from gateway.http.context import AnyRequest, node_of
from gateway.http.payments import index_away
from gateway.http.problems import ProblemError, problems
from gateway.node import Node

_PROBLEMS = problems(
    s400="the body does not fit",
    s401="no credential",
    s404="not of this credential's tenant",
    s409="one is under way already, or there is none to go back to",
    s413="the body is too large",
    s503="the index is away, or it cannot be recorded now",
)
_replies = msgspec.msgpack.Decoder(GenerationReply)


class GenerationWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it is kept in the log."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)] = "operator"


class GenerationJson(msgspec.Struct, frozen=True, kw_only=True):
    """One generation: its stage, why it was begun, with what, what its checks counted, why it was given up."""

    generation: int
    stage: str
    reason: str
    model: str
    layout: str
    counts: dict[str, int]
    checksum: str
    abandoned_for: str


class GenerationsJson(msgspec.Struct, frozen=True, kw_only=True):
    """All generations, the newest first; `before` is the one that a rollback goes to, 0 without any.

    `position` and `target` are how far the build under way is and has to come, 0 while none is being filled.
    """

    active: int
    before: int
    generations: list[GenerationJson]
    position: int
    target: int


async def _asked(node: Node, request: GenerationRequest) -> GenerationsJson:
    call = node.call_index(request.tenant)
    try:
        reply = _replies.decode(await call("generations", msgspec.msgpack.encode(request)))
    except RetryableError as error:
        raise index_away(error) from error
    if isinstance(reply, GenerationRefused):
        raise ProblemError(409, reply.code, reply.detail)
    return msgspec.convert(reply, GenerationsJson, from_attributes=True)


@get(
    "/v1/{tenant:str}/generations",
    summary="The tenant's index generations",
    responses=_PROBLEMS,
    tags=["operations"],
)
async def get_generations(tenant: str, request: AnyRequest) -> GenerationsJson:
    return await _asked(node_of(request), ShowGenerations(tenant=tenant))


@post(
    "/v1/{tenant:str}/generations",
    status_code=202,
    summary="Build the next generation beside the active one",
    responses=_PROBLEMS,
    tags=["operations"],
)
async def build_generation(tenant: str, data: GenerationWish, request: AnyRequest) -> GenerationsJson:
    return await _asked(node_of(request), BuildGeneration(tenant=tenant, reason=data.reason))


@post(
    "/v1/{tenant:str}/generations/rollback",
    status_code=202,
    summary="Go back to the generation before the active one",
    responses=_PROBLEMS,
    tags=["operations"],
)
async def roll_back(tenant: str, data: GenerationWish, request: AnyRequest) -> GenerationsJson:
    return await _asked(node_of(request), RollBack(tenant=tenant, reason=data.reason))


HANDLERS: list[Any] = [get_generations, build_generation, roll_back]
