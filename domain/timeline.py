"""Both clocks of a payment: every fact in the order in which we learnt it, and what each one changed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from domain.fact import Fact, RecordedFact
from domain.payment import PartView, PaymentView, fold, register

Effect = Literal["applied", "duplicate", "late", "superseded", "conflicting"]
Value = str | int | None

_FIELDS = (
    "status",
    "certainty",
    "customer_id",
    "currency",
    "amount_minor",
    "authorized_minor",
    "captured_minor",
    "refunded_minor",
    "reason",
)
_PARTS = ("refunds", "disputes", "payouts")
_PART_FIELDS = ("status", "amount_minor", "reason")


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the payment before and after a fact, `None` where there was none.

    `field` is a field of the payment's view, or of one of its parts, e.g. `refunds.re_1.status`.
    """

    field: str
    before: Value
    after: Value


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One fact: when it occurred in the world, when we knew, and its effect at that moment.

    `joined_position` is the log position from which on it was known to be this payment's: its own, or that of the link
    that brought it. `changed` is what it changed of the payment as that was known just before.
    """

    fact_id: str
    source: str
    object: str
    status: str
    amount_minor: int
    occurred_at: datetime
    recorded_at: datetime
    position: int
    joined_position: int
    effect: Effect
    changed: tuple[FieldChange, ...] = ()
    correlation_id: str = ""


def timeline(facts: Iterable[RecordedFact], joined: Mapping[str, int] = {}) -> list[TimelineEntry]:
    """The entries by log position.

    `applied` changed its object's state, `late` did so although a fact known already occurred after it, `duplicate`
    says what an earlier one said, `superseded` came after its object had moved on, `conflicting` left its object
    undecided.

    Args:
        facts: all facts of one payment.
        joined: fact id -> `joined_position`, of those facts that a link brought.
    """
    in_order = sorted(facts, key=lambda each: (each.position, each.fact.fact_id))
    changes = _changes(in_order, joined)
    heard: dict[str, list[Fact]] = {}
    latest: datetime | None = None
    entries = []
    for recorded in in_order:
        fact = recorded.fact
        before = heard.setdefault(fact.object, [])
        is_late = latest is not None and latest > fact.occurred_at
        entries.append(
            TimelineEntry(
                fact_id=fact.fact_id,
                source=fact.source,
                object=fact.object,
                status=fact.status,
                amount_minor=fact.amount_minor,
                occurred_at=fact.occurred_at,
                recorded_at=recorded.recorded_at,
                position=recorded.position,
                joined_position=_joined(recorded, joined),
                effect=_effect(before, fact, is_late=is_late),
                changed=changes[fact.fact_id],
                correlation_id=recorded.correlation_id,
            )
        )
        before.append(fact)
        latest = fact.occurred_at if latest is None else max(latest, fact.occurred_at)
    return entries


def _effect(before: list[Fact], fact: Fact, *, is_late: bool) -> Effect:
    if any(fact.asserts_same_as(other) for other in before):
        return "duplicate"
    after = register([*before, fact])
    if after.conflicting and not (before and register(before).conflicting):
        return "conflicting"
    if after.winner.fact_id != fact.fact_id:
        return "superseded"
    return "late" if is_late else "applied"


def _joined(recorded: RecordedFact, joined: Mapping[str, int]) -> int:
    return max(recorded.position, joined.get(recorded.fact.fact_id, 0))


def _changes(facts: Sequence[RecordedFact], joined: Mapping[str, int]) -> dict[str, tuple[FieldChange, ...]]:
    """By fact id what each changed, told in the order in which they became this payment's."""
    changes = {}
    known: list[Fact] = []
    before: dict[str, Value] = {}
    for recorded in sorted(facts, key=lambda each: (_joined(each, joined), each.position, each.fact.fact_id)):
        known.append(recorded.fact)
        after = _fields(fold("", known))
        changes[recorded.fact.fact_id] = tuple(
            FieldChange(field=field, before=before.get(field), after=after.get(field))
            for field in after | before
            # What comes into being with nothing in it has not changed.
            if (before.get(field) or None) != (after.get(field) or None)
        )
        before = after
    return changes


def _fields(payment: PaymentView) -> dict[str, Value]:
    """What is told of a payment, field by field."""
    fields: dict[str, Value] = {name: getattr(payment, name) for name in _FIELDS}
    for name in _PARTS:
        parts: tuple[PartView, ...] = getattr(payment, name)
        for part in parts:
            fields |= {f"{name}.{part.id}.{field}": getattr(part, field) for field in _PART_FIELDS}
    return fields
