"""What an operator asks of an index shard about a tenant's generations, and what it says."""

import msgspec

from actors.builder import Builder
from domain.errors import Rejection
from domain.index_generation import Index


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    tenant: str


class ShowGenerations(_Request, frozen=True, kw_only=True, tag="show"):
    """Which generations there are."""


class BuildGeneration(_Request, frozen=True, kw_only=True, tag="build"):
    """Build the next one beside the active one."""

    reason: str


class RollBack(_Request, frozen=True, kw_only=True, tag="roll_back"):
    """Go back to the one before the active one."""

    reason: str


GenerationRequest = ShowGenerations | BuildGeneration | RollBack


class GenerationShown(msgspec.Struct, frozen=True, kw_only=True):
    """One generation: see `domain.index_generation.Generation`."""

    generation: int
    stage: str
    reason: str
    model: str
    layout: str
    counts: dict[str, int]
    checksum: str
    abandoned_for: str


class GenerationsFound(msgspec.Struct, frozen=True, kw_only=True, tag="found"):
    """All of a tenant's generations, the newest first.

    `before` is the one that a rollback goes to, 0 without any. `position` and `target` are how far the build under way
    is and has to come; both are 0 while none is being filled.
    """

    active: int
    before: int
    generations: list[GenerationShown]
    position: int = 0
    target: int = 0


class GenerationRefused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The rules refuse it; `code` is stable."""

    code: str
    detail: str


GenerationReply = GenerationsFound | GenerationRefused

_requests = msgspec.msgpack.Decoder(GenerationRequest)


def serve(builder: Builder, request: bytes) -> bytes:
    """A `GenerationRequest` in, a `GenerationReply` out. Raises `RetryableError` if nobody can decide now."""
    return msgspec.msgpack.encode(_served(builder, _requests.decode(request)))


def _served(builder: Builder, request: GenerationRequest) -> GenerationReply:
    try:
        match request:
            case BuildGeneration(tenant=tenant, reason=reason):
                builder.start(tenant, reason)
            case RollBack(tenant=tenant, reason=reason):
                builder.roll_back(tenant, reason)
            case ShowGenerations():
                pass
    except Rejection as rejection:
        return GenerationRefused(code=rejection.code, detail=rejection.detail)
    return _found(builder, request.tenant)


def _found(builder: Builder, tenant: str) -> GenerationsFound:
    state: Index = builder.generations(tenant)
    position, target = builder.progress(tenant)
    return GenerationsFound(
        active=state.active,
        before=state.before,
        generations=[
            GenerationShown(
                generation=number,
                stage=each.stage,
                reason=each.reason,
                model=each.model,
                layout=each.layout,
                counts=dict(each.counts),
                checksum=each.checksum,
                abandoned_for=each.abandoned_for,
            )
            for number, each in sorted(state.generations.items(), reverse=True)
        ],
        position=position,
        target=target,
    )
