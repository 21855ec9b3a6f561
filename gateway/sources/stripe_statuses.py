"""Stripe's words for statuses -> ours (`domain.lifecycle`), and what an event's type promises about them."""

from collections.abc import Mapping

from domain.errors import Rejection
from gateway.sources.stripe_objects import Charge, Intent

_INTENT = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "authorized",
    "succeeded": "captured",
    "canceled": "canceled",
}
_CHARGE = {"pending": "pending", "succeeded": "captured", "failed": "failed"}
REFUND = {each: each for each in ("pending", "requires_action", "succeeded", "failed", "canceled")}
# A closed inquiry, and a dispute that Stripe prevented, leave the money with the merchant.
DISPUTE = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "won",
    "prevented": "won",
    "needs_response": "open",
    "under_review": "under_review",
    "won": "won",
    "lost": "lost",
}
PAYOUT = {each: each for each in ("pending", "in_transit", "paid", "failed", "canceled")}

# The types that speak of a status -> the statuses in which their object may be (the description of each type in
# https://docs.stripe.com/api/events/types). Any other type comes with whatever state the object has when the event is
# rendered: `payout.created` is recorded with a payout that is paid. A final capture sets `amount_capturable` to 0, so
# that type goes with captured too.
_PROMISED: Mapping[str, frozenset[str]] = {
    "payment_intent.amount_capturable_updated": frozenset({"authorized", "captured"}),
    "payment_intent.canceled": frozenset({"canceled"}),
    "payment_intent.payment_failed": frozenset({"failed"}),
    "payment_intent.processing": frozenset({"processing"}),
    "payment_intent.requires_action": frozenset({"requires_action"}),
    "payment_intent.succeeded": frozenset({"captured"}),
    "charge.captured": frozenset({"captured"}),
    "charge.expired": frozenset({"canceled"}),
    "charge.failed": frozenset({"failed"}),
    "charge.pending": frozenset({"pending"}),
    "charge.succeeded": frozenset({"authorized", "captured"}),
    "charge.dispute.closed": frozenset({"won", "lost"}),
    "refund.failed": frozenset({"failed"}),
    "payout.canceled": frozenset({"canceled"}),
    "payout.failed": frozenset({"failed"}),
    "payout.paid": frozenset({"paid"}),
}


def contradicts(event_type: str, status: str) -> bool:
    """Whether the type says something of its object's status that is not so."""
    promised = _PROMISED.get(event_type)
    return promised is not None and status not in promised


def status_of(words: Mapping[str, str], status: str | None, kind: str) -> str:
    """Our word for a status. Raises `Rejection("event.unknown_status")`: an unknown one is never guessed at."""
    ours = words.get(status or "")
    if ours is None:
        raise Rejection("event.unknown_status", f"a {kind} has no status {(status or '')[:40]!a}")
    return ours


def intent_status(intent: Intent) -> str:
    """A declined attempt leaves the intent as it was before the first one, but for `last_payment_error`."""
    if intent.status == "requires_payment_method" and intent.last_payment_error is not None:
        return "failed"
    return status_of(_INTENT, intent.status, "payment_intent")


def charge_status(charge: Charge, event_type: str) -> str:
    """A charge that `succeeded` is captured, only authorized, or, where the hold was released, canceled.

    Old API versions said `paid` instead of a status. Raises `Rejection("event.unknown_status")` also for one that says
    neither, or that succeeded and does not say whether it was captured.
    """
    status = charge.status
    if status is None and charge.paid is not None:
        status = "succeeded" if charge.paid else "failed"
    is_taken = _is_taken(charge)
    if event_type == "charge.expired" and is_taken is False:
        return "canceled"
    ours = status_of(_CHARGE, status, "charge")
    if ours != "captured" or is_taken:
        return ours
    if is_taken is None:
        raise Rejection("event.unknown_status", "a charge that succeeded does not say whether it was captured")
    is_released = charge.refunded or 0 < charge.amount <= charge.amount_refunded
    return "canceled" if is_released else "authorized"


def _is_taken(charge: Charge) -> bool | None:
    if charge.amount_captured is None:
        return charge.captured
    return charge.amount_captured > 0 and charge.captured is not False
