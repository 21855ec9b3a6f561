"""The fold: a set of facts in, one payment out, whatever the order, number or delay of the deliveries.

Per object, the winner is the maximum of a total order, so the fold is commutative, associative and idempotent.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from domain.fact import Fact, RecordedFact
from domain.lifecycle import FINAL, lifecycle_of

PaymentStatus = Literal["pending", "requires_action", "processing", "authorized", "captured", "failed", "canceled"]
Certainty = Literal["certain", "conflicting", "incomplete"]
Precedence = tuple[int, int, datetime, int, bool, int, int, str]


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund, dispute or payout beside the payment, with its own status; `amount_minor` in the payment's currency."""

    id: str
    status: str
    amount_minor: int
    reason: str = ""


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment is, folded from its facts. Amounts in minor units of `currency`."""

    payment_id: str
    provider: str
    customer_id: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    refunds: tuple[PartView, ...]
    disputes: tuple[PartView, ...]
    payouts: tuple[PartView, ...]
    certainty: Certainty
    facts: int
    occurred_at: datetime
    position: int
    reason: str = ""


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """One object's state: the fact that wins, and whether another fact contradicts it undecidably."""

    winner: Fact
    conflicting: bool


def precedence(fact: Fact) -> Precedence:
    """The total order's key: a provider's sequence, then legality, then its clock, then the usual course.

    Legality stands before time because the clocks of a provider's machines disagree: recorded Stripe streams show a
    `payment_intent.created` that is later than its `succeeded`. A row of a report tells less than the object itself.
    Amounts captured and refunded only grow, so they order the snapshots of one charge inside a second.
    """
    table = lifecycle_of(fact.provider, fact.kind)
    return (
        -1 if fact.sequence is None else fact.sequence,
        table.phase(fact.status),
        fact.occurred_at,
        table.rank(fact.status),
        fact.source != "export",
        fact.captured_minor,
        fact.refunded_minor,
        fact.fact_id,
    )


def register(facts: Collection[Fact]) -> Register:
    """The state of one object from all facts about it (at least one).

    A provider's reading (`source="pull"`) has authority over whatever occurred before it.
    """
    reading = max(
        (fact for fact in facts if fact.source == "pull"),
        # Of two readings in one second, the time of which is all that an answer tells, legality says which came last.
        key=lambda fact: (fact.occurred_at, precedence(fact)),
        default=None,
    )
    if reading is not None:
        facts = [fact for fact in facts if fact.occurred_at > reading.occurred_at] + [reading]
    winner = max(facts, key=precedence)
    return Register(winner=winner, conflicting=any(_contradicts(winner, fact) for fact in facts))


def _contradicts(winner: Fact, other: Fact) -> bool:
    """Whether `other` could as legally have come after `winner` as before it, and would end differently."""
    if other.status == winner.status or winner.sequence is not None:
        return False
    table = lifecycle_of(winner.provider, winner.kind)
    if table.phase(winner.status) == FINAL:
        return table.phase(other.status) == FINAL
    return (
        other.occurred_at == winner.occurred_at
        and table.is_legal(winner.status, other.status)
        and table.is_legal(other.status, winner.status)
    )


def registers(facts: Iterable[Fact]) -> dict[str, Register]:
    """The state of every object that the facts are about, by object key, in key order."""
    by_object: dict[str, list[Fact]] = {}
    for fact in facts:
        by_object.setdefault(fact.object, []).append(fact)
    return {key: register(by_object[key]) for key in sorted(by_object)}


def known(
    facts: Iterable[RecordedFact], *, as_of: datetime | None = None, known_at: int | None = None
) -> list[RecordedFact]:
    """The facts that occurred at or before `as_of` and were recorded at or before log position `known_at`."""
    return [
        recorded
        for recorded in facts
        if (as_of is None or recorded.fact.occurred_at <= as_of) and (known_at is None or recorded.position <= known_at)
    ]


def view(
    payment_id: str, facts: Sequence[RecordedFact], *, as_of: datetime | None = None, known_at: int | None = None
) -> PaymentView | None:
    """The payment as of a time in the world, as known at a log position; `None` if no fact qualifies."""
    chosen = known(facts, as_of=as_of, known_at=known_at)
    if not chosen:
        return None
    return fold(payment_id, [recorded.fact for recorded in chosen], max(recorded.position for recorded in chosen))


def fold(payment_id: str, facts: Sequence[Fact], position: int = 0) -> PaymentView:
    """The payment that a non-empty set of facts adds up to; `position` is the log position of the latest of them."""
    state = registers(facts)
    by_kind: dict[str, list[Fact]] = {}
    for current in state.values():
        by_kind.setdefault(current.winner.kind, []).append(current.winner)
    intent = next(iter(by_kind.get("intent", ())), None)
    charges = by_kind.get("charge", [])
    refunds = by_kind.get("refund", [])
    payouts = by_kind.get("payout", [])
    attempt = max(charges, key=_standing, default=None)
    status = _status(intent, attempt, payouts)
    winners = [current.winner for current in state.values()]
    chief = intent or attempt or max(payouts or refunds or winners, key=precedence)
    authorized_minor = _amount(intent, charges, "authorized_minor")
    captured_minor = _amount(intent, charges, "captured_minor")
    customers = sorted(
        ((fact.occurred_at, fact.fact_id, fact.customer_id) for fact in facts if fact.customer_id), reverse=True
    )
    return PaymentView(
        payment_id=payment_id,
        provider=chief.provider,
        customer_id=customers[0][2] if customers else "",
        status=status,
        amount_minor=chief.amount_minor if intent or charges or payouts else 0,
        currency=chief.currency,
        authorized_minor=0 if status == "canceled" else max(authorized_minor, captured_minor),
        captured_minor=captured_minor,
        refunded_minor=sum(fact.amount_minor for fact in refunds if fact.status == "succeeded"),
        refunds=tuple(_part(fact) for fact in refunds),
        disputes=tuple(_part(fact) for fact in by_kind.get("dispute", ())),
        payouts=tuple(_part(fact) for fact in payouts),
        certainty=_certainty(state, intent, charges, refunds),
        facts=len(facts),
        occurred_at=max(winner.occurred_at for winner in winners),
        position=position,
        reason=chief.reason,
    )


def _part(fact: Fact) -> PartView:
    return PartView(id=fact.object_id, status=fact.status, amount_minor=fact.amount_minor, reason=fact.reason)


def _standing(charge: Fact) -> tuple[int, datetime, Precedence]:
    """Which of several attempts speaks for the payment: one that took the money, else one that holds it, else the last.

    Legality orders the statuses of one object: an attempt that failed for good says nothing about the next one.
    """
    return _HELD.get(charge.status, 0), charge.occurred_at, precedence(charge)


def _status(intent: Fact | None, attempt: Fact | None, payouts: Sequence[Fact]) -> PaymentStatus:
    """The payment's own lifecycle. A charge that has the money proves more than an intent that has not heard of it."""
    if intent is not None and intent.status in {"captured", "canceled"}:
        return _INTENT_STATUS[intent.status]
    if attempt is not None and (intent is None or _says_more(attempt, intent)):
        return _CHARGE_STATUS.get(attempt.status, "pending")
    if intent is not None:
        return _INTENT_STATUS.get(intent.status, "pending")
    if payouts:
        return _PAYOUT_STATUS.get(max(payouts, key=precedence).status, "pending")
    # Money can only be returned or disputed after it was taken.
    return "captured"


def _says_more(attempt: Fact, intent: Fact) -> bool:
    """Whether an attempt tells more than its intent: it has more of the money, or is the later news where none has any.

    PayPal's order does not hear of it when an attempt to pay it is declined.
    """
    held, of_intent = _HELD.get(attempt.status, 0), _HELD.get(intent.status, 0)
    return held > of_intent or (held == of_intent == 0 and attempt.occurred_at > intent.occurred_at)


_HELD: Mapping[str, int] = {"authorized": 1, "captured": 2}
_INTENT_STATUS: Mapping[str, PaymentStatus] = {
    "pending": "pending",
    "requires_action": "requires_action",
    "processing": "processing",
    "failed": "failed",
    "authorized": "authorized",
    "canceled": "canceled",
    "captured": "captured",
}
_CHARGE_STATUS: Mapping[str, PaymentStatus] = {
    "pending": "processing",
    "authorized": "authorized",
    "failed": "failed",
    "canceled": "canceled",
    "captured": "captured",
}
_PAYOUT_STATUS: Mapping[str, PaymentStatus] = {
    "pending": "pending",
    "in_transit": "processing",
    "paid": "captured",
    "canceled": "canceled",
    "failed": "failed",
}


def _amount(intent: Fact | None, charges: Sequence[Fact], field: Literal["authorized_minor", "captured_minor"]) -> int:
    """The intent's amount or its charges', whichever says more: either may be the one that is late."""
    of_charges: int = sum(getattr(charge, field) for charge in charges if charge.status in {"authorized", "captured"})
    return of_charges if intent is None else max(getattr(intent, field), of_charges)


def _certainty(
    state: Mapping[str, Register],
    intent: Fact | None,
    charges: Sequence[Fact],
    refunds: Sequence[Fact],
) -> Certainty:
    if any(current.conflicting for current in state.values()):
        return "conflicting"
    if intent is not None and intent.status == "canceled" and any(charge.status == "captured" for charge in charges):
        return "conflicting"
    missing = any(reference not in state for current in state.values() for reference in current.winner.refers_to)
    returned = sum(charge.refunded_minor for charge in charges if charge.captured_minor)
    if missing or returned > sum(refund.amount_minor for refund in refunds):
        return "incomplete"
    return "certain"
