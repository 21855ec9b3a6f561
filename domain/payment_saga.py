"""The payment saga: what a merchant started, what providers said of it, and what is done until it is settled.

The fold of the facts (`domain.payment`) says what is true, the policy (`domain.payment_policy`) what to do about it.
The saga records both, and asks for what has to be done in the world by `EffectRequested` in its own stream.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, assert_never

import msgspec

from domain.effects import (
    Effect,
    EffectEvent,
    EffectGivenUp,
    EffectPerformed,
    EffectRequested,
    Outstanding,
    RecordEffectOutcome,
    evolve_outstanding,
    record_outcome,
)
from domain.errors import Rejection
from domain.fact import Fact
from domain.ids import Category
from domain.lifecycle import FINAL, lifecycle_of
from domain.message import Command, Event
from domain.payment import PaymentView, fold
from domain.payment_policy import (
    Compensate,
    Compensation,
    Escalate,
    EscalationReason,
    Policy,
    Progress,
    Request,
    SagaResult,
    Settle,
    Wait,
    next_step,
)

Resolution = Literal["retry", "refund", "close"]

# Stripe may forget an idempotency key after 24 hours (https://docs.stripe.com/api/idempotent_requests): the same refund
# tried once more after that would be a second one.
REFUND_WITHIN = timedelta(hours=23)
# Providers' times are whole seconds, and a reading outweighs only what occurred in those that were over by then: read
# in the second of the conflict, it would not settle it.
CONFLICT_SETTLES = timedelta(seconds=2)


class StartPayment(Command, frozen=True, kw_only=True, tag="payment.start"):
    """A merchant starts a payment and expects the provider to confirm it before `deadline_at`.

    `provider` is the tenant's source through which it is paid; empty if only the facts will tell. A deadline that is
    only the tenant's default (`is_deadline_default`) is none of the terms: said again later, it is the same start.
    """

    payment_id: str
    amount_minor: int
    currency: str
    deadline_at: datetime
    is_deadline_default: bool = False
    customer_id: str = ""
    provider: str = ""
    policy: Policy = Policy()


class RecordFact(Command, frozen=True, kw_only=True, tag="payment.record_fact"):
    """Record what a provider said."""

    fact: Fact


class LinkPayment(Command, frozen=True, kw_only=True, tag="payment.link"):
    """Say that this reference (an orphan payment) is the payment `payment_id`: their facts are one set."""

    payment_id: str


class PassDeadline(Command, frozen=True, kw_only=True, tag="payment.pass_deadline"):
    """The clock has reached the deadline."""


class ResolveEscalation(Command, frozen=True, kw_only=True, tag="payment.resolve_escalation"):
    """A person decides: `retry` (read the provider and go on), `refund` (return what is captured) or `close`.

    `number` counts the payment's escalations, so that a decision about one is never taken for the next.
    """

    number: int
    resolution: Resolution
    note: str = ""


PaymentCommand = StartPayment | RecordFact | LinkPayment | PassDeadline | RecordEffectOutcome | ResolveEscalation


class PaymentStarted(Event, frozen=True, kw_only=True, tag="payment.started"):
    payment_id: str
    amount_minor: int
    currency: str
    deadline_at: datetime
    customer_id: str = ""
    provider: str = ""
    policy: Policy = Policy()


class FactRecorded(Event, frozen=True, kw_only=True, tag="payment.fact_recorded"):
    fact: Fact


class PaymentLinked(Event, frozen=True, kw_only=True, tag="payment.linked"):
    """The stream's key is a reference to `payment_id`; every fact here belongs there, before and after."""

    payment_id: str


class DeadlinePassed(Event, frozen=True, kw_only=True, tag="payment.deadline_passed"):
    deadline_at: datetime


class DeadlineExtended(Event, frozen=True, kw_only=True, tag="payment.deadline_extended"):
    """Nothing is known yet, and the policy is to wait: the provider is asked again at `deadline_at`."""

    deadline_at: datetime


class CompensationBegan(Event, frozen=True, kw_only=True, tag="payment.compensation_began"):
    kind: Compensation


class PaymentEscalated(Event, frozen=True, kw_only=True, tag="payment.escalated"):
    """A person is asked; `number` counts the payment's escalations from 1."""

    number: int
    reason: EscalationReason
    detail: str = ""


class EscalationResolved(Event, frozen=True, kw_only=True, tag="payment.escalation_resolved"):
    number: int
    resolution: Resolution
    note: str = ""


class PaymentSettled(Event, frozen=True, kw_only=True, tag="payment.settled"):
    """Nothing is left to do, unless a later fact says otherwise. An escalation that was open is overtaken by it."""

    result: SagaResult


PaymentOwnEvent = (
    PaymentStarted
    | FactRecorded
    | PaymentLinked
    | DeadlinePassed
    | DeadlineExtended
    | CompensationBegan
    | PaymentEscalated
    | EscalationResolved
    | PaymentSettled
)
PaymentEvent = PaymentOwnEvent | EffectEvent


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decisions need: the facts by id, the link if this is a reference, and how far the saga is.

    `deadline_at` is the durable timer, `None` if no time is awaited. `last_failure` is what the last attempt that
    failed said.
    """

    facts: Mapping[str, Fact] = {}
    linked_to: str = ""
    started: PaymentStarted | None = None
    deadline_at: datetime | None = None
    progress: Progress = Progress()
    outstanding: Mapping[str, Outstanding] = {}
    last_failure: str = ""


def effects(state: Payment) -> tuple[Effect, ...]:
    """What has to be done in the world, each not before its `due_at`."""
    return tuple(each.effect for each in state.outstanding.values())


class PaymentDecider:
    """The saga's rules."""

    tag: Category = "payment"

    def initial(self) -> Payment:
        return Payment()

    def decide(self, state: Payment, command: PaymentCommand, at: datetime) -> Sequence[PaymentEvent]:
        """What was known or done already leads to no event, whatever the command and however often it comes."""
        match command:
            case RecordFact(fact=fact):
                news = _record(state, fact)
                return _and_what_follows(state, news, at) if news and _may_matter(state, fact) else news
            case LinkPayment(payment_id=payment_id):
                return _link(state, payment_id)
            case StartPayment():
                return _and_what_follows(state, _start(state, command), at)
            case PassDeadline():
                return _and_what_follows(state, _pass_deadline(state, at), at)
            case RecordEffectOutcome():
                return _and_what_follows(state, _end_attempt(state, command, at), at)
            case ResolveEscalation():
                return _and_what_follows(state, _resolve(state, command), at)
            case _:
                assert_never(command)

    def evolve(self, state: Payment, event: PaymentEvent) -> Payment:
        replace = msgspec.structs.replace
        match event:
            case FactRecorded(fact=fact):
                facts = {**state.facts, fact.fact_id: fact}
                if not state.progress.is_read:
                    return replace(state, facts=facts)
                return _with(replace(state, facts=facts), is_read=False, is_unreadable=False)
            case PaymentLinked(payment_id=payment_id):
                return replace(state, linked_to=payment_id)
            case PaymentStarted(policy=policy, deadline_at=deadline_at):
                return _with(replace(state, started=event, deadline_at=deadline_at), policy=policy)
            case DeadlinePassed():
                return _with(replace(state, deadline_at=None), is_due=True, is_read=False, is_unreadable=False)
            case DeadlineExtended(deadline_at=deadline_at):
                waits = state.progress.waits + 1
                return _with(replace(state, deadline_at=deadline_at), is_due=False, waits=waits, settled="")
            case CompensationBegan(kind=kind):
                return _with(state, compensation=kind, is_due=True, tried=(), waits=0, settled="")
            case PaymentEscalated(number=number, reason=reason):
                return _with(replace(state, deadline_at=None), escalation=reason, escalations=number)
            case EscalationResolved():
                return _resolved(state, event)
            case PaymentSettled(result=result):
                return _with(replace(state, deadline_at=None), settled=result, escalation="")
            case _:
                return _after_effect(state, event)


def _with(state: Payment, **progress: object) -> Payment:
    return msgspec.structs.replace(state, progress=msgspec.structs.replace(state.progress, **progress))


def _after_effect(state: Payment, event: EffectEvent) -> Payment:
    """The state after an effect was requested, tried or ended. Whatever ended without being a reading needs one."""
    before, known = state.progress, state.outstanding
    outstanding = evolve_outstanding(known, event)
    state = msgspec.structs.replace(state, outstanding=outstanding)
    match event:
        case EffectRequested(effect=effect):
            tried = before.tried if effect.kind == "pull" else (*before.tried, effect.kind)
            return _with(state, is_busy=True, steps=before.steps + 1, tried=tried)
        case EffectPerformed(step=step) | EffectGivenUp(step=step):
            is_pull = step in known and known[step].effect.kind == "pull"
            reason = event.reason if isinstance(event, EffectGivenUp) else ""
            is_unreadable = is_pull and isinstance(event, EffectGivenUp)
            state = msgspec.structs.replace(state, last_failure=reason)
            return _with(state, is_busy=bool(outstanding), is_read=is_pull, is_unreadable=is_unreadable)
        case _:
            return state


def _resolved(state: Payment, event: EscalationResolved) -> Payment:
    fresh: dict[str, object] = {"escalation": "", "tried": (), "waits": 0, "is_read": False, "is_unreadable": False}
    match event.resolution:
        case "retry":
            return _with(state, **fresh, is_due=True)
        case "refund":
            return _with(state, **fresh, is_due=True, compensation="refund")
        case "close":
            return _with(state, escalation="", settled="closed")


def _record(state: Payment, fact: Fact) -> Sequence[PaymentEvent]:
    """A fact is recorded once. The same id with another content is refused, so that it is seen and not dropped."""
    recorded = state.facts.get(fact.fact_id)
    if recorded is None:
        return [FactRecorded(fact=fact)]
    if not recorded.asserts_same_as(fact):
        raise Rejection(
            "fact.id_reused",
            f"{fact.fact_id} was recorded as {recorded.object} {recorded.status} and now says "
            f"{fact.object} {fact.status}; a provider's event never changes",
        )
    return []


def _link(state: Payment, payment_id: str) -> Sequence[PaymentEvent]:
    if state.linked_to == payment_id:
        return []
    if state.linked_to:
        raise Rejection("payment.linked_elsewhere", f"the reference belongs to {state.linked_to}, not to {payment_id}")
    return [PaymentLinked(payment_id=payment_id)]


def _start(state: Payment, command: StartPayment) -> Sequence[PaymentEvent]:
    started = PaymentStarted(
        payment_id=command.payment_id,
        amount_minor=command.amount_minor,
        currency=command.currency,
        deadline_at=command.deadline_at,
        customer_id=command.customer_id,
        provider=command.provider,
        policy=command.policy,
    )
    if state.started is not None and _terms(state.started, command) == _terms(started, command):
        return []
    if state.started is not None:
        raise Rejection("payment.started_differently", f"{command.payment_id} was started with other terms")
    if command.amount_minor <= 0:
        raise Rejection("payment.amount_not_positive", "a payment is started with an amount above zero")
    return [started]


def _terms(started: PaymentStarted, command: StartPayment) -> PaymentStarted:
    """What a start that is said again must agree on; the policy is what was set at the first time."""
    deadline_at = command.deadline_at if command.is_deadline_default else started.deadline_at
    return msgspec.structs.replace(started, deadline_at=deadline_at, policy=Policy())


def _pass_deadline(state: Payment, at: datetime) -> Sequence[PaymentEvent]:
    if state.deadline_at is None or at < state.deadline_at:
        return []
    return [DeadlinePassed(deadline_at=state.deadline_at)]


def _end_attempt(state: Payment, command: RecordEffectOutcome, at: datetime) -> Sequence[PaymentEvent]:
    """The facts that an effect brought, and its outcome. Both are recorded or none: an outcome comes again."""
    ended = record_outcome(state.outstanding, command, at)
    if not ended:
        return []
    payment_id = state.outstanding[command.step].effect.payment_id
    news: list[PaymentEvent] = []
    for fact in command.facts:
        if fact.payment_id != payment_id:
            raise Rejection("effect.foreign_fact", f"{fact.fact_id} is of {fact.payment_id}, not of {payment_id}")
        if not any(isinstance(each, FactRecorded) and each.fact.fact_id == fact.fact_id for each in news):
            news.extend(_record(state, fact))
    return [*news, *ended]


def _resolve(state: Payment, command: ResolveEscalation) -> Sequence[PaymentEvent]:
    """A decision taken before is taken once; one about an escalation that was overtaken comes to nothing."""
    if command.number > state.progress.escalations or command.number < 1:
        raise Rejection("escalation.unknown", f"the payment has {state.progress.escalations} escalations so far")
    if command.number < state.progress.escalations or not state.progress.escalation:
        return []
    if command.resolution == "refund" and state.started is None:
        raise Rejection("payment.not_started", "what was not started here is not refunded here")
    return [EscalationResolved(number=command.number, resolution=command.resolution, note=command.note)]


def _may_matter(state: Payment, fact: Fact) -> bool:
    """Whether a new fact can lead to anything more than being recorded: asked for every fact, so it is quick."""
    if state.started is not None or state.progress.escalation:
        return True
    return any(_may_contradict(fact, other) for other in state.facts.values())


def _may_contradict(fact: Fact, other: Fact) -> bool:
    if fact.status == other.status:
        return False
    if fact.object != other.object:
        return {fact.status, other.status} == _CANCELED_AND_CAPTURED
    table = lifecycle_of(fact.provider, fact.kind)
    return fact.occurred_at == other.occurred_at or table.phase(fact.status) == table.phase(other.status) == FINAL


_CANCELED_AND_CAPTURED = {"canceled", "captured"}


def _and_what_follows(state: Payment, news: Sequence[PaymentEvent], at: datetime) -> Sequence[PaymentEvent]:
    """The news, and the steps that the policy takes because of it, until something is awaited."""
    if not news:
        return news
    decider, events = PaymentDecider(), list(news)
    for event in news:
        state = decider.evolve(state, event)
    payment_id = _payment_id(state)
    view = fold(payment_id, list(state.facts.values())) if state.facts else None
    while (step := next_step(view, state.progress)) is not None:
        match step:
            case Request():
                event = EffectRequested(effect=_effect(state, view, step, at))
            case Wait(wait_s=wait_s):
                event = DeadlineExtended(deadline_at=at + timedelta(seconds=wait_s))
            case Compensate(kind=kind):
                event = CompensationBegan(kind=kind)
            case Escalate(reason=reason):
                number = state.progress.escalations + 1
                event = PaymentEscalated(number=number, reason=reason, detail=state.last_failure)
            case Settle(result=result):
                event = PaymentSettled(result=result)
        events.append(event)
        state = decider.evolve(state, event)
    return events


def _payment_id(state: Payment) -> str:
    if state.started is not None:
        return state.started.payment_id
    return next((fact.payment_id for fact in state.facts.values()), "")


def _effect(state: Payment, view: PaymentView | None, step: Request, at: datetime) -> Effect:
    """The effect of a step. Its name counts on, so that a step taken anew has a key of its own."""
    progress = state.progress
    provider = state.started.provider if state.started is not None else ""
    currency = view.currency if view is not None else ""
    is_conflict = step.kind == "pull" and view is not None and view.certainty == "conflicting"
    return Effect(
        step=f"{step.kind}-{progress.steps + 1}",
        kind=step.kind,
        due_at=at + CONFLICT_SETTLES if is_conflict else at,
        payment_id=_payment_id(state),
        provider=provider or (view.provider if view is not None else ""),
        amount_minor=step.amount_minor,
        currency=currency or (state.started.currency if state.started is not None else ""),
        reason=progress.compensation or progress.escalation or ("deadline" if progress.is_due else "conflict"),
        not_after=at + REFUND_WITHIN if step.kind == "refund" else None,
        attempts_max=(progress.policy or Policy()).attempts_max,
    )
