"""The provider's books as the oracle of what customers are told: which statements were so when they were made."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.payment_shard import now
from simulations.incident_plan import SETTLED_S
from simulations.provider import Provider
from simulations.stripe_life import Truth
from simulations.stripe_payment import PaymentLife

# What an answer states of a payment, in the words of the payment view; whom it belongs to is judged by no correction.
STATED = ("status", "amount_minor", "currency", "captured_minor", "refunded_minor")
# The statuses of which an answer says why.
_EXPLAINED = frozenset({"failed", "canceled"})


class BooksWord(msgspec.Struct, frozen=True, kw_only=True):
    """What the books say of a payment: the truth, and why it or a refund failed."""

    truth: Truth
    reason: str = ""
    refund_reasons: Mapping[str, str] = {}


def word_of(life: PaymentLife) -> BooksWord:
    """The books' word as it is now."""
    truth, error = life.truth(), life.intent.error
    failed = "" if error is None else error.decline_code or error.code
    return BooksWord(
        truth=truth,
        reason={"failed": failed, "canceled": life.intent.cancellation_reason or ""}.get(truth.status, ""),
        refund_reasons={
            refund.id: refund.failure_reason or "" for refund in life.refunds.values() if refund.status in _EXPLAINED
        },
    )


def untrue_fields(books: BooksWord, payment: Mapping[str, Any]) -> list[str]:
    """The fields of a payment (the contract's JSON) that are not what the books say."""
    truth = books.truth
    found = [field for field in STATED if payment[field] != getattr(truth, field)]
    if (payment["reason"] if payment["status"] in _EXPLAINED else "") != books.reason:
        found.append("reason")
    said = {part["id"]: _with_reason(part["status"], part["reason"]) for part in payment["refunds"]}
    so = {each: _with_reason(status, books.refund_reasons.get(each, "")) for each, status in truth.refunds.items()}
    if said != so:
        found.append("refunds")
    if {part["id"]: part["status"] for part in payment["disputes"]} != dict(truth.disputes):
        found.append("disputes")
    return found


def _with_reason(status: str, reason: str) -> tuple[str, str]:
    return status, reason if status in _EXPLAINED else ""


def misstated_minor(books: BooksWord, payment: Mapping[str, Any]) -> int:
    """By how much it was misstated where the money is, in minor units.

    A refund whose status was misstated counts in full, whatever the sums are.
    """
    truth = books.truth
    kept: int = (payment["captured_minor"] if payment["status"] == "captured" else 0) - payment["refunded_minor"]
    so = (truth.captured_minor if truth.status == "captured" else 0) - truth.refunded_minor
    parts: int = sum(
        part["amount_minor"] for part in payment["refunds"] if truth.refunds.get(part["id"]) != part["status"]
    )
    return max(abs(kept - so), parts)


class Settled:
    """Which payments have not changed for long enough that a whole second says all about them."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._asked_s: dict[str, float] = {}
        self._being_asked: Counter[str] = Counter()

    def may_ask(self, payment_id: str, at: datetime) -> bool:
        """Whether its last change is so long ago that no provider's second is shared."""
        changed_at = self._provider.books.lives[payment_id].now
        return (at - changed_at.astimezone(UTC)).total_seconds() >= SETTLED_S

    @contextmanager
    def asked(self, payment_id: str) -> Iterator[None]:
        """It is asked about while the block runs: nothing is to happen to it until the second after the answer."""
        self._being_asked[payment_id] += 1
        try:
            yield
        finally:
            self._being_asked[payment_id] -= 1
            self._asked_s[payment_id] = now().timestamp()

    def may_change(self, payment_id: str, at: datetime) -> bool:
        """Whether it was not asked about, and did not change, just now."""
        if self._being_asked[payment_id]:
            return False
        return at.timestamp() - self._asked_s.get(payment_id, 0.0) >= SETTLED_S and self.may_ask(payment_id, at)
