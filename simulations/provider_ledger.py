"""The simulated provider's money: every movement with where it came from and went to, and what must always hold."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from simulations.stripe_payment import PaymentLife

Account = Literal["customer", "merchant"]
# A refund that failed or was canceled has given its money back to the merchant.
RETURNED = frozenset({"failed", "canceled"})


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one payment that went from one account to the other; `object_id` is the charge, refund or dispute."""

    at: datetime
    payment_id: str
    object_id: str
    source: Account
    target: Account
    amount_minor: int
    currency: str


class Ledger:
    """Movements in the order in which they were made. Nothing is made or lost: what one account loses another gains."""

    def __init__(self) -> None:
        self.movements: list[Movement] = []
        self._merchant_minor: dict[str, int] = {}

    def move(self, movement: Movement) -> None:
        assert movement.amount_minor > 0, "a movement has an amount"
        assert movement.source != movement.target, "a movement goes somewhere"
        self.movements.append(movement)
        sign = 1 if movement.target == "merchant" else -1
        had = self._merchant_minor.get(movement.payment_id, 0)
        self._merchant_minor[movement.payment_id] = had + sign * movement.amount_minor

    def merchant_minor(self, payment_id: str) -> int:
        """What the merchant has of a payment."""
        return self._merchant_minor.get(payment_id, 0)


def violations(ledger: Ledger, lives: Mapping[str, PaymentLife], refund_keys: Mapping[str, str]) -> list[str]:
    """What does not hold, in sentences: none of these may ever be.

    Args:
        ledger: the movements.
        lives: the payments by id.
        refund_keys: the idempotency key of each refund, by the refund's id.
    """
    found = [complaint for life in lives.values() for complaint in _of_payment(ledger, life)]
    return found + _refunded_twice(refund_keys)


def _of_payment(ledger: Ledger, life: PaymentLife) -> Iterable[str]:
    received = life.intent.amount_received
    refunded = sum(refund.amount for refund in life.refunds.values() if refund.status not in RETURNED)
    withdrawn = sum(
        dispute.amount for dispute in life.disputes.values() if dispute.withdrawal and not dispute.reinstatement
    )
    expected = received - refunded - withdrawn
    if ledger.merchant_minor(life.payment_id) != expected:
        has = ledger.merchant_minor(life.payment_id)
        yield f"{life.payment_id}: the merchant has {has} and the objects say {expected}"
    if refunded > received:
        yield f"{life.payment_id}: {refunded} was refunded of {received}"


def _refunded_twice(refund_keys: Mapping[str, str]) -> list[str]:
    by_key: dict[str, list[str]] = {}
    for refund_id, key in refund_keys.items():
        by_key.setdefault(key, []).append(refund_id)
    return [f"{' and '.join(ids)} were made for the one key {key}" for key, ids in by_key.items() if len(ids) > 1]
