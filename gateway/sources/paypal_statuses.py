"""PayPal's words for statuses -> ours (`domain.lifecycle`), and what an event's type promises about them."""

from collections.abc import Mapping

from domain.errors import Rejection
from gateway.sources.paypal_objects import Dispute

# https://developer.paypal.com/docs/api/payments/v2/#definition-authorization_status and v1's `state`. An authorization
# that was captured was authorized; what was captured of it is said by its captures.
AUTHORIZATION = {
    "CREATED": "authorized",
    "AUTHORIZED": "authorized",
    "CAPTURED": "authorized",
    "PARTIALLY_CAPTURED": "authorized",
    "PARTIALLY_CREATED": "authorized",
    "PENDING": "pending",
    "DENIED": "failed",
    "EXPIRED": "canceled",
    "VOIDED": "canceled",
}
# A capture, or a v1 sale. What was refunded of it is said by its refunds.
CAPTURE = {
    "COMPLETED": "captured",
    "PARTIALLY_REFUNDED": "captured",
    "REFUNDED": "captured",
    "PENDING": "pending",
    "DECLINED": "failed",
    "DENIED": "failed",
    "FAILED": "failed",
}
REFUND = {
    "COMPLETED": "succeeded",
    "PENDING": "pending",
    "FAILED": "failed",
    "CANCELLED": "canceled",
    "CANCELED": "canceled",
}
# Without COMPLETED: that an attempt to pay was made. With what outcome is said by the payments alone
# (https://developer.paypal.com/docs/api/orders/v2/#definition-order_status).
ORDER = {
    "CREATED": "pending",
    "SAVED": "pending",
    "PAYER_ACTION_REQUIRED": "requires_action",
    "APPROVED": "processing",
    "VOIDED": "canceled",
}
# v1: an order is reserved money that is captured later; a payment is `approved` once the customer agreed to it.
ORDER_V1 = {
    "PENDING": "pending",
    "IN_PROGRESS": "processing",
    "AUTHORIZED": "authorized",
    "CAPTURED": "captured",
    "COMPLETED": "captured",
    "EXPIRED": "canceled",
    "VOIDED": "canceled",
}
PAYMENT_V1 = {
    "CREATED": "pending",
    "APPROVED": "processing",
    "IN_PROGRESS": "processing",
    "PARTIALLY_COMPLETED": "processing",
    "FAILED": "failed",
    "CANCELED": "canceled",
    "EXPIRED": "canceled",
}
# https://developer.paypal.com/docs/api/payments.payouts-batch/v1/#definition-batch_enum, #definition-transaction_enum.
# What nobody claimed yet was sent; what came back, was stopped or taken back did not reach who it was for.
PAYOUT = {
    "ACKNOWLEDGED": "pending",
    "NEW": "pending",
    "PENDING": "pending",
    "ONHOLD": "pending",
    "PROCESSING": "in_transit",
    "UNCLAIMED": "in_transit",
    "SUCCESS": "paid",
    "BLOCKED": "failed",
    "DENIED": "failed",
    "FAILED": "failed",
    "REFUNDED": "failed",
    "RETURNED": "failed",
    "REVERSED": "failed",
    "CANCELED": "canceled",
}
# Who has the money when it is over. PayPal pays the customer out of its own pocket in RESOLVED_WITH_PAYOUT
# (https://developer.paypal.com/docs/api/customer-disputes/v1/#definition-dispute_outcome).
_OUTCOME = {
    "RESOLVED_BUYER_FAVOUR": "lost",
    "ACCEPTED": "lost",
    "RESOLVED_SELLER_FAVOUR": "won",
    "RESOLVED_WITH_PAYOUT": "won",
    "CANCELED_BY_BUYER": "won",
    "DENIED": "won",
    "NONE": "won",
}
_UNRESOLVED = {"OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "OTHER"}

# The types that speak of a status -> the statuses in which their resource may be
# (https://developer.paypal.com/api/rest/webhooks/event-names/). Any other type comes with any status.
_PROMISED: Mapping[str, frozenset[str]] = {
    "PAYMENT.AUTHORIZATION.CREATED": frozenset({"authorized", "pending"}),
    "PAYMENT.AUTHORIZATION.VOIDED": frozenset({"canceled"}),
    "PAYMENT.CAPTURE.COMPLETED": frozenset({"captured"}),
    "PAYMENT.CAPTURE.DECLINED": frozenset({"failed"}),
    "PAYMENT.CAPTURE.DENIED": frozenset({"failed"}),
    "PAYMENT.CAPTURE.PENDING": frozenset({"pending"}),
    "PAYMENT.SALE.COMPLETED": frozenset({"captured"}),
    "PAYMENT.SALE.DENIED": frozenset({"failed"}),
    "PAYMENT.SALE.PENDING": frozenset({"pending"}),
    "PAYMENT.CAPTURE.REFUNDED": frozenset({"succeeded", "pending"}),
    "PAYMENT.CAPTURE.REVERSED": frozenset({"succeeded", "pending"}),
    "PAYMENT.SALE.REFUNDED": frozenset({"succeeded", "pending"}),
    "PAYMENT.SALE.REVERSED": frozenset({"succeeded", "pending"}),
    "PAYMENT.REFUND.COMPLETED": frozenset({"succeeded"}),
    "PAYMENT.REFUND.FAILED": frozenset({"failed"}),
    "PAYMENT.REFUND.PENDING": frozenset({"pending"}),
    "PAYMENT.ORDER.CANCELLED": frozenset({"canceled"}),
    "CHECKOUT.ORDER.VOIDED": frozenset({"canceled"}),
    "CUSTOMER.DISPUTE.RESOLVED": frozenset({"won", "lost"}),
    "PAYMENT.PAYOUTSBATCH.DENIED": frozenset({"failed"}),
    "PAYMENT.PAYOUTSBATCH.SUCCESS": frozenset({"paid"}),
    "PAYMENT.PAYOUTS-ITEM.SUCCEEDED": frozenset({"paid"}),
    "PAYMENT.PAYOUTS-ITEM.CANCELED": frozenset({"canceled"}),
    "PAYMENT.PAYOUTS-ITEM.BLOCKED": frozenset({"failed"}),
    "PAYMENT.PAYOUTS-ITEM.DENIED": frozenset({"failed"}),
    "PAYMENT.PAYOUTS-ITEM.FAILED": frozenset({"failed"}),
    "PAYMENT.PAYOUTS-ITEM.REFUNDED": frozenset({"failed"}),
    "PAYMENT.PAYOUTS-ITEM.RETURNED": frozenset({"failed"}),
}


def contradicts(event_type: str, status: str) -> bool:
    """Whether the type says something of its resource's status that is not so."""
    promised = _PROMISED.get(event_type)
    return promised is not None and status not in promised


def status_of(words: Mapping[str, str], word: str, kind: str) -> str:
    """Our word for a status. Raises `Rejection("event.unknown_status")`: an unknown one is never guessed at."""
    ours = words.get(word)
    if ours is None:
        raise Rejection("event.unknown_status", f"a {kind} has no status {word[:40]!a}")
    return ours


def dispute_status(dispute: Dispute) -> str:
    """An inquiry is between customer and merchant, before PayPal is asked to decide; the outcome tells who won."""
    if dispute.status == "RESOLVED":
        outcome = "" if dispute.dispute_outcome is None else dispute.dispute_outcome.outcome_code or ""
        return status_of(_OUTCOME, outcome, "resolved dispute")
    if dispute.status == "UNDER_REVIEW":
        return "under_review"
    if dispute.status in _UNRESOLVED:
        return "inquiry" if dispute.dispute_life_cycle_stage == "INQUIRY" else "open"
    return status_of({}, dispute.status, "dispute")
