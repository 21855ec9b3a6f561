"""Short ways to write facts and times."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.fact import Fact, RecordedFact

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAYMENT = "pi_1"


def at(seconds: float) -> datetime:
    """So many seconds after the payment began."""
    return START + timedelta(seconds=seconds)


def fact(fact_id: str, object_key: str, status: str, seconds: float, **fields: Any) -> Fact:
    """A Stripe fact about `object_key`, said to have occurred after `seconds`."""
    given = {"provider": "stripe", "payment_id": PAYMENT, "currency": "EUR", **fields}
    return Fact(fact_id=fact_id, object=object_key, status=status, occurred_at=at(seconds), **given)


def recorded(*facts: Fact, first: int = 1) -> list[RecordedFact]:
    """The facts as the log has them: at positions `first`, `first` + 1 ..., a minute apart."""
    return [
        RecordedFact(fact=each, position=position, recorded_at=at(60 * position))
        for position, each in enumerate(facts, start=first)
    ]
