"""Both clocks of a payment: every fact in the order in which we learnt it, and what each one changed."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from domain.fact import Fact, RecordedFact
from domain.payment import register

Effect = Literal["applied", "duplicate", "late", "superseded", "conflicting"]


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One fact: when it occurred in the world, when we knew, and its effect at that moment."""

    fact_id: str
    source: str
    object: str
    status: str
    amount_minor: int
    occurred_at: datetime
    recorded_at: datetime
    position: int
    effect: Effect
    correlation_id: str = ""


def timeline(facts: Iterable[RecordedFact]) -> list[TimelineEntry]:
    """The entries by log position.

    `applied` changed its object's state, `late` did so although a fact known already occurred after it, `duplicate`
    says what an earlier one said, `superseded` came after its object had moved on, `conflicting` left its object
    undecided.
    """
    heard: dict[str, list[Fact]] = {}
    latest: datetime | None = None
    entries = []
    for recorded in sorted(facts, key=lambda each: (each.position, each.fact.fact_id)):
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
                effect=_effect(before, fact, is_late=is_late),
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
