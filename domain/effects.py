"""Effects: what has to be done in the world because of what is in the log, and what came of it.

A decider requests an effect by an event (`EffectRequested`) in its own stream, so that the wish is durable together
with its reason; whatever outcome there is comes back as a command and becomes an event of the same stream. The log is
the outbox: what was requested and neither performed nor given up is outstanding. Replaying events runs nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol, assert_never

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.ids import Category, split_stream_id
from domain.message import Command, Event

EffectKind = Literal["pull", "void", "cancel", "refund", "notify", "reply"]
EffectResult = Literal["done", "failed", "gave_up"]

ATTEMPTS_MAX = 8
# An errand has no saga that would go on without it: it is tried until its time is over (`Effect.not_after`).
ERRAND_ATTEMPTS_MAX = 1_000
_ANY_TIME = datetime(1, 1, 1, tzinfo=UTC)


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing to do outside, as often as it takes, under one idempotency key.

    Args:
        kind: `pull` (read the payment at its provider), `void` (release what is authorized), `cancel` (end what is not
            captured), `refund` (`amount_minor` of `currency`), `notify` (tell the merchant's endpoint `to`) or `reply`
            (say `text` in the conversation `to`).
        due_at: not before this.
        step: its name in its stream, e.g. `refund-2`; a saga has many, an errand has one.
        key: the idempotency key, the same for every attempt. A saga leaves it and `tenant` to `addressed`.
        tenant: whose effect.
        payment_id: the payment that it is about, empty if none.
        provider: the tenant's source whose account is used, by name, e.g. `stripe-eu`; or its kind (`Fact.provider`)
            where nothing but facts is known.
        amount_minor: in minor units of `currency` (ISO 4217).
        to: the conversation or the endpoint.
        topic: what a notification is about, e.g. `answer.invalidated`.
        text: a reply's words, or a notification's body (JSON).
        reason: why, in words for a person.
        not_after: it is given up after this, e.g. at the end of the time in which a chat may be answered.
        attempts_max: how often it is tried before it is given up.
    """

    kind: EffectKind
    due_at: datetime
    step: str = ""
    key: str = ""
    tenant: str = ""
    payment_id: str = ""
    provider: str = ""
    amount_minor: int = 0
    currency: str = ""
    to: str = ""
    topic: str = ""
    text: str = ""
    reason: str = ""
    not_after: datetime | None = None
    attempts_max: int = ATTEMPTS_MAX


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The effect is done. `facts` are what the provider answered, each of the effect's payment (`payment_id`).

    A pull's facts have `source="pull"` and cover the intent, its charges and all its refunds and disputes. A fact's id
    names its content, because two readings may differ; a reading that says the same again has the same id.
    `reference` is what the other side calls it, e.g. a message's id.
    """

    facts: tuple[Fact, ...] = ()
    reference: str = ""


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The effect is not known to be done. Not `retryable`: it would fail the same way however often it is tried.

    `retry_after_s` is what the other side asked for. `is_account_at_fault` says whether it tells something of the
    account's health (a timeout, a 5xx, a 429), which opens its circuit breaker; a refusal of this one effect does not,
    and closes it. Where the account was never asked (it is too late, there is no such account), `is_account_asked` is
    false, and its circuit stays as it is.
    """

    retryable: bool
    reason: str
    retry_after_s: float = 0.0
    is_account_at_fault: bool = True
    is_account_asked: bool = True


def not_asked(reason: str, *, retryable: bool = False) -> Failed:
    """The failure of an effect with which nobody was asked."""
    return Failed(retryable=retryable, reason=reason, is_account_at_fault=False, is_account_asked=False)


class Port(Protocol):
    """Performs effects of one kind."""

    async def perform(self, effect: Effect) -> Done | Failed:
        """Do it, under `effect.key`, within a bounded time. What it raises counts as a retryable failure."""
        ...


class RequestEffect(Command, frozen=True, kw_only=True, tag="effect.request"):
    """Have an effect done that belongs to no saga; for the stream `effect:<tenant>/<key>`."""

    effect: Effect


class RecordEffectOutcome(Command, frozen=True, kw_only=True, tag="effect.record_outcome"):
    """What came of an attempt; for the stream in which the effect was requested.

    `step` is the effect's name there; `retry_at` is the time of the next attempt after `failed`.
    """

    step: str
    outcome: EffectResult
    facts: tuple[Fact, ...] = ()
    reference: str = ""
    reason: str = ""
    retry_at: datetime | None = None


class EffectRequested(Event, frozen=True, kw_only=True, tag="effect.requested"):
    effect: Effect


class EffectPerformed(Event, frozen=True, kw_only=True, tag="effect.performed"):
    """It is done. `reference` is what the other side calls it, e.g. a message's id."""

    step: str
    reference: str = ""


class EffectFailed(Event, frozen=True, kw_only=True, tag="effect.failed"):
    """An attempt failed; the next one is at `retry_at`."""

    step: str
    attempts: int
    retry_at: datetime
    reason: str = ""


class EffectGivenUp(Event, frozen=True, kw_only=True, tag="effect.given_up"):
    """It is not tried any more. Whether it took effect is not known."""

    step: str
    reason: str = ""


EffectCommand = RequestEffect | RecordEffectOutcome
EffectEvent = EffectRequested | EffectPerformed | EffectFailed | EffectGivenUp


class Outstanding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An effect that was requested and is neither performed nor given up; `effect.due_at` is the next attempt's."""

    effect: Effect
    attempts: int = 0


def effect_key(tenant: str, saga_id: str, step: str) -> str:
    """The idempotency key of a step of a saga (a payment's id, an answer's id), 32 hexadecimal characters."""
    return hashlib.sha256(f"{tenant}\n{saga_id}\n{step}".encode()).hexdigest()[:32]


def addressed(effect: Effect, stream: str) -> Effect:
    """The effect as a port gets it: whose it is, by the stream that it was requested in, and under which key.

    A decider does not know its stream's name, so what it requests has neither.
    """
    _, tenant, saga_id = split_stream_id(stream)
    return msgspec.structs.replace(
        effect, tenant=tenant, key=effect.key or effect_key(tenant, saga_id, effect.step or effect.kind)
    )


def record_outcome(
    outstanding: Mapping[str, Outstanding], command: RecordEffectOutcome, at: datetime
) -> Sequence[EffectPerformed | EffectFailed | EffectGivenUp]:
    """The event that an outcome leads to; none for an effect that is not outstanding, whose outcome is known."""
    known = outstanding.get(command.step)
    if known is None:
        return []
    match command.outcome:
        case "done":
            return [EffectPerformed(step=command.step, reference=command.reference)]
        case "failed" if known.attempts + 1 < known.effect.attempts_max:
            return [
                EffectFailed(
                    step=command.step,
                    attempts=known.attempts + 1,
                    retry_at=command.retry_at or at,
                    reason=command.reason,
                )
            ]
        case "failed" | "gave_up":
            return [EffectGivenUp(step=command.step, reason=command.reason)]
        case _:
            assert_never(command.outcome)


def evolve_outstanding(outstanding: Mapping[str, Outstanding], event: EffectEvent) -> Mapping[str, Outstanding]:
    """What is outstanding after an event."""
    match event:
        case EffectRequested(effect=effect):
            return {**outstanding, effect.step: Outstanding(effect=effect)}
        case EffectFailed(step=step, attempts=attempts, retry_at=retry_at):
            if step not in outstanding:
                return outstanding
            again = msgspec.structs.replace(outstanding[step].effect, due_at=retry_at)
            return {**outstanding, step: Outstanding(effect=again, attempts=attempts)}
        case EffectPerformed(step=step) | EffectGivenUp(step=step):
            return {each: value for each, value in outstanding.items() if each != step}
        case _:
            assert_never(event)


class Errand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One effect that belongs to no saga (a reply in a chat, a notification): requested, and how it ended."""

    requested: Effect | None = None
    outstanding: Mapping[str, Outstanding] = {}


class ErrandDecider:
    """An errand is requested once and ends once."""

    tag: Category = "effect"

    def initial(self) -> Errand:
        return Errand()

    def decide(self, state: Errand, command: EffectCommand, at: datetime) -> Sequence[EffectEvent]:
        """Raises `Rejection("effect.key_reused")` if the key names another effect."""
        match command:
            case RequestEffect(effect=effect):
                if state.requested is None:
                    return [EffectRequested(effect=effect)]
                if _wish(state.requested) != _wish(effect):
                    raise Rejection("effect.key_reused", "its key is the key of another effect already")
                return []
            case RecordEffectOutcome():
                return record_outcome(state.outstanding, command, at)
            case _:
                assert_never(command)

    def evolve(self, state: Errand, event: EffectEvent) -> Errand:
        requested = event.effect if isinstance(event, EffectRequested) else state.requested
        return Errand(requested=requested, outstanding=evolve_outstanding(state.outstanding, event))


def _wish(effect: Effect) -> Effect:
    """The effect without when and how often it is tried: asked again later, it is the same."""
    return msgspec.structs.replace(effect, due_at=_ANY_TIME, not_after=None, attempts_max=ATTEMPTS_MAX)
