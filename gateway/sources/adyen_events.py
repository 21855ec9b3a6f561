"""Adyen's event codes -> what they say of which object, in our words (`domain.lifecycle`).

https://docs.adyen.com/development-resources/webhooks/webhook-types lists the codes. One that is not here states nothing
about money, or nothing that the documentation is clear about, and is kept as a sighting.
"""

import re
from collections.abc import Mapping

import msgspec

from domain.errors import Rejection
from domain.fact import ObjectKind
from gateway.sources.adyen_items import Item
from gateway.sources.adyen_values import code


class Effect(msgspec.Struct, frozen=True):
    """What an event says.

    Args:
        kind: of which object.
        status: if `success` is true.
        refused: if it is false; empty where that only means that a request was refused and nothing has changed.
        reason: said for Adyen, whose own is prose.
    """

    kind: ObjectKind
    status: str
    refused: str = ""
    reason: str = ""


_CANCELED = Effect("intent", "canceled")
_REFUND = Effect("refund", "succeeded", "failed")

EFFECTS: Mapping[str, Effect] = {
    "AUTHORISATION": Effect("intent", "authorized", "failed"),
    "AUTHORISATION_ADJUSTMENT": Effect("intent", "authorized"),
    "CANCELLATION": _CANCELED,
    "TECHNICAL_CANCEL": _CANCELED,
    # "The remaining uncaptured amount expired": what was captured of it stays captured, so this is no cancellation.
    "EXPIRE": Effect("intent", "failed", reason="expired"),
    # The shopper did not pay in time; a bank may still confirm later, so this is not the end.
    "OFFER_CLOSED": Effect("intent", "failed", reason="offer_closed"),
    "CAPTURE": Effect("charge", "captured", "failed"),
    "CAPTURE_FAILED": Effect("charge", "failed", "failed", reason="capture_failed"),
    # The outcome of the request is all that is announced; what follows it, if anything, is that it failed after all.
    "REFUND": _REFUND,
    "REFUND_WITH_DATA": _REFUND,
    "POSTPONED_REFUND": Effect("refund", "pending", "failed"),
    "REFUND_FAILED": Effect("refund", "failed", "failed", reason="refund_failed"),
    "REFUNDED_REVERSED": Effect("refund", "failed", "failed", reason="refunded_reversed"),
    # https://docs.adyen.com/risk-management/disputes-api/dispute-notifications
    "REQUEST_FOR_INFORMATION": Effect("dispute", "inquiry"),
    "NOTIFICATION_OF_CHARGEBACK": Effect("dispute", "open"),
    "CHARGEBACK": Effect("dispute", "open"),
    "INFORMATION_SUPPLIED": Effect("dispute", "under_review"),
    "CHARGEBACK_REVERSED": Effect("dispute", "won"),
    "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": Effect("dispute", "won"),
    "PREARBITRATION_OPEN": Effect("dispute", "under_review"),
    "PREARBITRATION_WON": Effect("dispute", "won"),
    "PREARBITRATION_LOST": Effect("dispute", "lost"),
    "SCHEME_ARBITRATION_WON": Effect("dispute", "won"),
    "SCHEME_ARBITRATION_LOST": Effect("dispute", "lost"),
    "SECOND_CHARGEBACK": Effect("dispute", "lost"),
    "DISPUTE_DEFENSE_PERIOD_ENDED": Effect("dispute", "lost"),
    "PAYOUT_THIRDPARTY": Effect("payout", "paid", "failed"),
    "PAYOUT_DECLINE": Effect("payout", "canceled"),
    "PAYOUT_EXPIRE": Effect("payout", "canceled"),
    "PAIDOUT_REVERSED": Effect("payout", "failed", reason="paidout_reversed"),
}
# Where the money is taken with the authorisation, "by default, automatic captures send no CAPTURE event"
# (https://docs.adyen.com/online-payments/capture), and those that come speak of the payment as a whole.
AUTOMATIC_CAPTURE: Mapping[str, Effect] = {
    **{each: effect for each, effect in EFFECTS.items() if each != "AUTHORISATION_ADJUSTMENT"},
    "AUTHORISATION": Effect("intent", "captured", "failed"),
    "CAPTURE": Effect("intent", "captured"),
    "CAPTURE_FAILED": Effect("intent", "failed", "failed", reason="capture_failed"),
}
# Only `additionalData.modification.action` says which of the two a reversal was.
_REVERSALS = {"cancel": _CANCELED, "refund": _REFUND}
# The dispute is over with the first event: `disputeStatus` then says how.
_DECIDED = {"Lost": "lost", "Won": "won"}

# https://docs.adyen.com/development-resources/refusal-reasons, as they are written with every space a `_`.
_REFUSALS = frozenset(
    "refused referral acquirer_error blocked_card expired_card invalid_amount invalid_card_number issuer_unavailable "
    "not_supported 3d_not_authenticated not_enough_balance acquirer_fraud cancelled shopper_cancelled invalid_pin "
    "pin_tries_exceeded pin_validation_not_possible fraud not_submitted fraud_cancelled transaction_not_permitted "
    "cvc_declined restricted_card revocation_of_auth declined_non_generic withdrawal_amount_exceeded "
    "withdrawal_count_exceeded issuer_suspected_fraud avs_declined".split()
)
_NOT_WORD_RE = re.compile(r"[^a-z0-9]+")


def effect_of(item: Item, effects: Mapping[str, Effect]) -> Effect | None:
    """What an item's event says; `None` for a code that states nothing.

    Raises `Rejection("event.action_missing")` for a reversal that does not say what it was.
    """
    if item.event_code != "CANCEL_OR_REFUND":
        return effects.get(item.event_code)
    reversal = _REVERSALS.get((item.data.action or "").lower())
    if reversal is None and succeeded(item):
        detail = "CANCEL_OR_REFUND does not say in modification.action which of the two it was"
        raise Rejection("event.action_missing", detail)
    return reversal or _CANCELED


def succeeded(item: Item) -> bool:
    """`success`, which is a text. Raises `Rejection("event.success_malformed")`."""
    text = str(item.success).lower()
    if text not in {"true", "false"}:
        raise Rejection("event.success_malformed", "success is neither true nor false")
    return text == "true"


def status_of(item: Item, effect: Effect) -> str:
    """The status that the event leaves its object in; empty if it changes nothing."""
    if effect.kind == "dispute" and item.event_code in {"NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK"}:
        return _DECIDED.get(item.data.dispute_status or "", effect.status)
    return effect.status if succeeded(item) else effect.refused


def reason_of(item: Item, effect: Effect) -> str:
    """Why, as a code. Adyen's `reason` is prose, of a success the card's digits: of those only known words are kept."""
    if effect.kind == "dispute":
        scheme, of_scheme = code((item.data.dispute_scheme or "").strip()), code((item.data.dispute_code or "").strip())
        return f"{scheme}_{of_scheme}" if scheme and of_scheme else of_scheme
    if effect.reason or succeeded(item):
        return effect.reason
    word = _NOT_WORD_RE.sub("_", (item.reason or "")[:100].lower()).strip("_")
    return word if word in _REFUSALS else ""
