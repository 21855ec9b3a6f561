"""Stripe's examples for the conformance test."""

from typing import Any

from gateway.sources import stripe
from gateway.sources.port import Trust
from tests.gateway.sources.conformance import NOW, Conformance, Message, Signed
from tests.gateway.sources.examples import CREATED, charge, dispute, event, intent, payout, refund, signed

SECRET = "whsec_example"
PERSONAL: dict[str, Any] = {
    "receipt_email": "ann.smith@example.com",
    "billing_details": {"name": "Ann Smith", "phone": "+4915112345"},
}
BODY = event("charge.succeeded", charge())


def at(seconds: int, number: int, event_type: str, body: object) -> Message:
    """The message of an event some seconds after the first."""
    return Message(raw=event(event_type, body, id=f"evt_{number}", created=CREATED + seconds))


CONFORMANCE = Conformance(
    source=stripe,
    messages=[
        Message(raw=each)
        for each in (
            event("payment_intent.succeeded", intent(charges={"data": [charge(refunds={"data": [refund()]})]})),
            event("payment_intent.payment_failed", intent("requires_payment_method", last_payment_error={"code": "x"})),
            event("charge.refunded", charge(amount_refunded=1900, refunds={"data": [refund()]}, **PERSONAL)),
            event("refund.created", refund(charge={"id": "ch_1"})),
            event("charge.dispute.closed", dispute("lost")),
            event("payout.paid", payout()),
            event("customer.updated", {"id": "cus_1", "name": "Ann Smith"}),
        )
    ],
    story=[
        at(0, 1, "payment_intent.created", intent("requires_payment_method")),
        at(0, 2, "payment_intent.requires_action", intent("requires_action")),
        at(0, 3, "charge.succeeded", charge(**PERSONAL)),
        at(0, 4, "payment_intent.succeeded", intent(latest_charge="ch_1")),
        at(60, 5, "refund.created", refund("pending", payment_intent=None)),
        at(61, 6, "charge.refunded", charge(amount_refunded=1900, refunds={"data": [refund()]})),
        at(90, 7, "refund.failed", refund("failed", failure_reason="lost_or_stolen_card")),
        at(95, 8, "charge.dispute.created", dispute(payment_intent=None)),
        at(99, 9, "charge.dispute.closed", dispute("won")),
        at(99, 10, "payout.paid", payout()),
        at(120, 11, "payout.failed", payout("failed", failure_code="account_closed")),
    ],
    signed=Signed(message=Message(raw=BODY, headers=signed(BODY, SECRET, NOW)), trust=Trust(secrets=(SECRET,))),
    personal=("ann.smith@example.com", "Ann Smith", "+4915112345"),
)
