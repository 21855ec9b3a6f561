"""The payment saga: what a merchant started, what providers said of it, and what is still awaited.

The fold of the facts (`domain.payment`) says what is true; the saga says what to do about it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.ids import Category
from domain.message import Command, Event


class StartPayment(Command, frozen=True, kw_only=True, tag="payment.start"):
    """A merchant starts a payment and expects the provider to confirm it before `deadline_at`."""

    payment_id: str
    amount_minor: int
    currency: str
    deadline_at: datetime
    customer_id: str = ""


class RecordFact(Command, frozen=True, kw_only=True, tag="payment.record_fact"):
    """Record what a provider said."""

    fact: Fact


class LinkPayment(Command, frozen=True, kw_only=True, tag="payment.link"):
    """Say that this reference (an orphan payment) is the payment `payment_id`: their facts are one set."""

    payment_id: str


class PassDeadline(Command, frozen=True, kw_only=True, tag="payment.pass_deadline"):
    """The clock has reached the deadline."""


PaymentCommand = StartPayment | RecordFact | LinkPayment | PassDeadline


class PaymentStarted(Event, frozen=True, kw_only=True, tag="payment.started"):
    payment_id: str
    amount_minor: int
    currency: str
    deadline_at: datetime
    customer_id: str = ""


class FactRecorded(Event, frozen=True, kw_only=True, tag="payment.fact_recorded"):
    fact: Fact


class PaymentLinked(Event, frozen=True, kw_only=True, tag="payment.linked"):
    """The stream's key is a reference to `payment_id`; every fact here belongs there, before and after."""

    payment_id: str


class DeadlinePassed(Event, frozen=True, kw_only=True, tag="payment.deadline_passed"):
    deadline_at: datetime


PaymentEvent = PaymentStarted | FactRecorded | PaymentLinked | DeadlinePassed


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decisions need: the facts by id, the link if this is a reference, and the deadline that is awaited."""

    facts: Mapping[str, Fact] = {}
    linked_to: str = ""
    started: PaymentStarted | None = None
    deadline_passed: bool = False


class PaymentDecider:
    """The saga's rules."""

    tag: Category = "payment"

    def initial(self) -> Payment:
        return Payment()

    def decide(self, state: Payment, command: PaymentCommand, at: datetime) -> Sequence[PaymentEvent]:
        match command:
            case RecordFact(fact=fact):
                return _record(state, fact)
            case LinkPayment(payment_id=payment_id):
                return _link(state, payment_id)
            case StartPayment():
                return _start(state, command)
            case PassDeadline():
                return _pass_deadline(state, at)
            case _:
                assert_never(command)

    def evolve(self, state: Payment, event: PaymentEvent) -> Payment:
        match event:
            case FactRecorded(fact=fact):
                return msgspec.structs.replace(state, facts={**state.facts, fact.fact_id: fact})
            case PaymentLinked(payment_id=payment_id):
                return msgspec.structs.replace(state, linked_to=payment_id)
            case PaymentStarted():
                return msgspec.structs.replace(state, started=event)
            case DeadlinePassed():
                return msgspec.structs.replace(state, deadline_passed=True)
            case _:
                assert_never(event)


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
    )
    if state.started == started:
        return []
    if state.started is not None:
        raise Rejection("payment.started_differently", f"{command.payment_id} was started with other terms")
    if command.amount_minor <= 0:
        raise Rejection("payment.amount_not_positive", "a payment is started with an amount above zero")
    return [started]


def _pass_deadline(state: Payment, at: datetime) -> Sequence[PaymentEvent]:
    if state.started is None or state.deadline_passed or at < state.started.deadline_at:
        return []
    return [DeadlinePassed(deadline_at=state.started.deadline_at)]
