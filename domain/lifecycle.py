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

# https://developer.paypal.com/docs/api/orders/v2/#definition-order_status. An order stays open when an attempt to pay
# it is declined, so `failed` has a way out; a v1 payment (created, approved, failed) runs the same course.
_PAYPAL_INTENT = lifecycle(
    {
        "pending": "requires_action processing failed authorized captured canceled",
        "requires_action": "processing failed authorized captured canceled",
        "processing": "failed authorized captured canceled",
        "failed": "requires_action processing authorized captured canceled",
        "authorized": "captured canceled",
        "canceled": "",
        "captured": "",
    }
)
# https://developer.paypal.com/docs/api/payments/v2/#definition-authorization_status and #definition-capture_status.
# An authorization and its captures are objects of their own, so an authorization is never `captured` itself.
_PAYPAL_CHARGE = lifecycle(
    {
        "pending": "authorized captured failed canceled",
        "authorized": "failed canceled",
        "failed": "",
        "canceled": "",
        "captured": "",
    }
)
# https://developer.paypal.com/docs/api/payments/v2/#definition-refund_status. PayPal does not say that COMPLETED is the
# end; a refund that a bank returns fails after it, as elsewhere.
_PAYPAL_REFUND = lifecycle(
    {"pending": "succeeded failed canceled", "succeeded": "failed", "canceled": "", "failed": ""}
)
# https://developer.paypal.com/docs/disputes/: an inquiry may be escalated to a claim, and a resolved case be appealed.
_PAYPAL_DISPUTE = lifecycle(
    {
        "inquiry": "open under_review won lost",
        "open": "under_review won lost",
        "under_review": "won lost",
        "won": "open under_review lost",
        "lost": "open under_review won",
    }
)
# https://developer.paypal.com/docs/api/payments.payouts-batch/v1/#definition-transaction_enum: what was paid may be
# returned, refunded or reversed.
_PAYPAL_PAYOUT = lifecycle(
    {
        "pending": "in_transit paid failed canceled",
        "in_transit": "paid failed canceled",
        "paid": "failed",
        "canceled": "",
        "failed": "",
    }
)
# https://docs.zalopay.vn/docs/specs/order-query and order-query-refund: processing ends in success or failure, once.
_ZALOPAY_CHARGE = lifecycle({"pending": "captured failed", "failed": "", "captured": ""})
_ZALOPAY_REFUND = lifecycle({"pending": "succeeded failed", "failed": "", "succeeded": ""})
# https://developers.momo.vn/v3/docs/payment/api/result-handling/resultcode: what is authorized waits for its capture or
# its release, what is pending for the customer.
_MOMO_CHARGE = lifecycle(
    {"pending": "authorized captured failed", "authorized": "captured failed", "failed": "", "captured": ""}
)
_MOMO_REFUND = lifecycle({"pending": "succeeded failed", "failed": "", "succeeded": ""})

# https://docs.adyen.com/development-resources/webhooks/webhook-types. Several attempts may stand under one reference,
# and a bank may confirm after the offer was closed, so `failed` has a way out. A hold that was canceled stays so.
_ADYEN_INTENT = lifecycle(
    {
        "failed": "authorized captured canceled",
        "authorized": "captured failed canceled",
        "captured": "failed canceled",
        "canceled": "",
    }
)
# https://docs.adyen.com/online-payments/capture/failure-reasons: what the scheme rejected may be captured again.
_ADYEN_CHARGE = lifecycle({"captured": "failed", "failed": "captured"})
# https://docs.adyen.com/online-payments/refund: the request's outcome, then perhaps REFUND_FAILED or REFUNDED_REVERSED.
_ADYEN_REFUND = lifecycle({"pending": "succeeded failed", "succeeded": "failed", "failed": ""})
# https://docs.adyen.com/risk-management/understanding-disputes/dispute-process-and-flow: a reversed chargeback "is not
# final", and a lost pre-arbitration may still be won in arbitration.
_ADYEN_DISPUTE = lifecycle(
    {
        "inquiry": "open under_review won lost",
        "open": "under_review won lost",
        "under_review": "open won lost",
        "won": "under_review lost",
        "lost": "won",
    }
)
# https://docs.adyen.com/api-explorer/Webhooks/1/post/PAIDOUT_REVERSED: a payout that was paid may come back.
_ADYEN_PAYOUT = lifecycle({"paid": "failed", "canceled": "", "failed": ""})
# https://docs.adyen.com/api-explorer/transfer-webhooks/4/post/balancePlatform.transfer.updated; a transfer has a
# sequence number, and this is for one that lacks it. What was booked may be returned.
_ADYEN_PLATFORM_PAYOUT = lifecycle(
    {
        "pending": "in_transit paid failed canceled",
        "in_transit": "paid failed canceled",
        "paid": "failed",
        "canceled": "",
        "failed": "",
    }
)
_ADYEN_PLATFORM_INTENT = lifecycle(
    {
        "pending": "authorized captured failed canceled",
        "authorized": "captured failed canceled",
        "captured": "failed",
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
    ("paypal", "intent"): _PAYPAL_INTENT,
    ("paypal", "charge"): _PAYPAL_CHARGE,
    ("paypal", "refund"): _PAYPAL_REFUND,
    ("paypal", "dispute"): _PAYPAL_DISPUTE,
    ("paypal", "payout"): _PAYPAL_PAYOUT,
    ("zalopay", "charge"): _ZALOPAY_CHARGE,
    ("zalopay", "refund"): _ZALOPAY_REFUND,
    ("momo", "charge"): _MOMO_CHARGE,
    ("momo", "refund"): _MOMO_REFUND,
    ("adyen", "intent"): _ADYEN_INTENT,
    ("adyen", "charge"): _ADYEN_CHARGE,
    ("adyen", "refund"): _ADYEN_REFUND,
    ("adyen", "dispute"): _ADYEN_DISPUTE,
    ("adyen", "payout"): _ADYEN_PAYOUT,
    ("adyen-platform", "payout"): _ADYEN_PLATFORM_PAYOUT,
    ("adyen-platform", "intent"): _ADYEN_PLATFORM_INTENT,
}
# Our words for the statuses of each kind of object, whoever the provider is.
STATUSES: Mapping[str, frozenset[str]] = {
    kind: frozenset(table.moves) for (provider, kind), table in LIFECYCLES.items() if provider == "stripe"
}
_UNKNOWN = lifecycle({})


def lifecycle_of(provider: str, kind: str) -> Lifecycle:
    """The provider's table for a kind of object. Without one, time alone orders: no status is first or last."""
    return LIFECYCLES.get((provider, kind), _UNKNOWN)
