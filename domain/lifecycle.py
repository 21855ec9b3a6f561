"""Which moves between an object's statuses are legal, per provider and kind of object. Each row names its source."""

from collections.abc import Mapping

import msgspec

FINAL = 2


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """The legal moves of one kind of object. The order of `moves` is the rank that breaks ties inside one second.

    Args:
        moves: status -> the statuses that may follow it. A status that is missing as a key is unknown.
    """

    moves: Mapping[str, frozenset[str]]
    ranks: Mapping[str, int]
    phases: Mapping[str, int]

    def rank(self, status: str) -> int:
        """The place of a status in the usual course; unknown ones come first."""
        return self.ranks.get(status, -1)

    def phase(self, status: str) -> int:
        """0: nothing leads here, so nothing can have come before; `FINAL`: no way out; else 1."""
        return self.phases.get(status, 1)

    def is_legal(self, before: str, after: str) -> bool:
        return after in self.moves.get(before, frozenset())


def lifecycle(moves: Mapping[str, str]) -> Lifecycle:
    """A lifecycle from `{"status": "next other_next"}`, in rank order."""
    parsed = {status: frozenset(following.split()) for status, following in moves.items()}
    reachable = frozenset().union(*parsed.values())
    unknown = reachable - parsed.keys()
    assert not unknown, f"moves lead to statuses without a row: {sorted(unknown)}"
    phases = {status: FINAL if not parsed[status] else int(status in reachable) for status in parsed}
    return Lifecycle(moves=parsed, ranks={status: rank for rank, status in enumerate(parsed)}, phases=phases)


# https://docs.stripe.com/payments/paymentintents/lifecycle. A decline returns the intent to requires_payment_method;
# that is `failed` here when it carries a last_payment_error. No event announces a return to the untried state, so
# nothing leads to `pending`.
_STRIPE_INTENT = lifecycle(
    {
        "pending": "requires_action processing failed authorized captured canceled",
        "requires_action": "processing failed authorized captured canceled",
        "processing": "failed authorized captured canceled",
        "failed": "requires_action processing authorized captured canceled",
        "authorized": "processing captured canceled",
        "canceled": "",
        "captured": "",
    }
)
# https://docs.stripe.com/api/charges/object: pending, succeeded (captured or not), failed; charge.expired ends an
# uncaptured one. A charge is one attempt and is never tried again.
_STRIPE_CHARGE = lifecycle(
    {
        "pending": "authorized captured failed",
        "authorized": "captured canceled",
        "failed": "",
        "canceled": "",
        "captured": "",
    }
)
# https://docs.stripe.com/refunds#failed-refunds: "a refund can fail after it succeeded"; requires_action comes first
# where the customer must give an account (https://docs.stripe.com/api/refunds/object#refund_object-status).
_STRIPE_REFUND = lifecycle(
    {
        "requires_action": "pending succeeded failed canceled",
        "pending": "succeeded failed canceled",
        "succeeded": "failed",
        "canceled": "",
        "failed": "",
    }
)
# https://docs.stripe.com/disputes/how-disputes-work: an inquiry that was closed may still be escalated, and a dispute
# that was won may be lost in a second round, so only `lost` ends it.
_STRIPE_DISPUTE = lifecycle(
    {
        "inquiry": "open under_review won lost",
        "open": "under_review won lost",
        "under_review": "won lost",
        "won": "open under_review lost",
        "lost": "",
    }
)
# https://docs.stripe.com/api/payouts/object#payout_object-status: "paid" may still turn into "failed" within five days.
_STRIPE_PAYOUT = lifecycle(
    {
        "pending": "in_transit paid failed canceled",
        "in_transit": "paid failed canceled",
        "paid": "failed",
        "canceled": "",
        "failed": "",
    }
)

LIFECYCLES: Mapping[tuple[str, str], Lifecycle] = {
    ("stripe", "intent"): _STRIPE_INTENT,
    ("stripe", "charge"): _STRIPE_CHARGE,
    ("stripe", "refund"): _STRIPE_REFUND,
    ("stripe", "dispute"): _STRIPE_DISPUTE,
    ("stripe", "payout"): _STRIPE_PAYOUT,
}
_UNKNOWN = lifecycle({})


def lifecycle_of(provider: str, kind: str) -> Lifecycle:
    """The provider's table for a kind of object. Without one, time alone orders: no status is first or last."""
    return LIFECYCLES.get((provider, kind), _UNKNOWN)
