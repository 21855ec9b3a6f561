"""What leaves through HTTP: the contract's JSON, times as RFC 3339 UTC with microseconds."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from domain.payment import Certainty, PartView, PaymentStatus, PaymentView
from domain.timeline import Effect, TimelineEntry
from gateway.quarantine import Quarantined, State

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def timestamp(at: datetime) -> str:
    """`2026-11-22T10:15:30.000000Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class PartJson(msgspec.Struct, frozen=True, kw_only=True):
    """A refund, dispute or payout."""

    id: str
    status: str
    amount_minor: int
    reason: str


class PaymentJson(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as of a time, as known at a log position."""

    payment_id: str
    provider: str
    customer_id: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    refunds: list[PartJson]
    disputes: list[PartJson]
    payouts: list[PartJson]
    certainty: Certainty
    reason: str
    facts: int
    occurred_at: Timestamp
    as_of: Timestamp
    position: int


class PaymentsJson(msgspec.Struct, frozen=True, kw_only=True):
    """A page of payments, newest first; `cursor` continues, `null` at the end."""

    payments: list[PaymentJson]
    cursor: str | None
    position: int


class FieldChangeJson(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the payment's view before and after; `refunds.re_1.status` is that of a refund. `null` is none."""

    field: str
    before: str | int | None
    after: str | int | None


class TimelineEntryJson(msgspec.Struct, frozen=True, kw_only=True):
    """One fact with both clocks and its effect when it was recorded.

    `joined_position` is the log position from which on the fact was known to be this payment's: its own, or that of a
    link that came later. `changed` is what it changed of the payment as that was known just before.
    """

    fact_id: str
    source: str
    object: str
    status: str
    amount_minor: int
    occurred_at: Timestamp
    recorded_at: Timestamp
    position: int
    joined_position: int
    effect: Effect
    changed: list[FieldChangeJson]
    correlation_id: str


class TimelineJson(msgspec.Struct, frozen=True, kw_only=True):
    """Every fact of a payment in the order in which it was recorded."""

    entries: list[TimelineEntryJson]


class QuarantinedJson(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be taken in."""

    id: str
    source: str
    code: str
    detail: str
    state: State
    deliveries: int
    bytes: int
    first_seen_at: Timestamp
    last_seen_at: Timestamp


def payment_json(payment: PaymentView, *, as_of: datetime) -> PaymentJson:
    """A payment as of `as_of`."""
    return PaymentJson(
        payment_id=payment.payment_id,
        provider=payment.provider,
        customer_id=payment.customer_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        authorized_minor=payment.authorized_minor,
        captured_minor=payment.captured_minor,
        refunded_minor=payment.refunded_minor,
        refunds=_parts(payment.refunds),
        disputes=_parts(payment.disputes),
        payouts=_parts(payment.payouts),
        certainty=payment.certainty,
        reason=payment.reason,
        facts=payment.facts,
        occurred_at=timestamp(payment.occurred_at),
        as_of=timestamp(as_of),
        position=payment.position,
    )


def _parts(parts: tuple[PartView, ...]) -> list[PartJson]:
    return [
        PartJson(id=each.id, status=each.status, amount_minor=each.amount_minor, reason=each.reason) for each in parts
    ]


def timeline_json(entries: list[TimelineEntry]) -> TimelineJson:
    """The entries as they are."""
    return TimelineJson(
        entries=[
            TimelineEntryJson(
                fact_id=entry.fact_id,
                source=entry.source,
                object=entry.object,
                status=entry.status,
                amount_minor=entry.amount_minor,
                occurred_at=timestamp(entry.occurred_at),
                recorded_at=timestamp(entry.recorded_at),
                position=entry.position,
                joined_position=entry.joined_position,
                effect=entry.effect,
                changed=[
                    FieldChangeJson(field=each.field, before=each.before, after=each.after) for each in entry.changed
                ],
                correlation_id=entry.correlation_id,
            )
            for entry in entries
        ]
    )


def quarantined_json(entry: Quarantined) -> QuarantinedJson:
    """The entry without its raw message."""
    return QuarantinedJson(
        id=entry.id,
        source=entry.source,
        code=entry.code,
        detail=entry.detail,
        state=entry.state,
        deliveries=entry.deliveries,
        bytes=entry.bytes,
        first_seen_at=timestamp(entry.first_seen_at),
        last_seen_at=timestamp(entry.last_seen_at),
    )
