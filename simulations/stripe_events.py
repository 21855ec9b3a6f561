"""Stripe's Event envelope, and the objects of events that state nothing about money.

API version 2024-12-18.acacia (https://docs.stripe.com/api/events/object).
"""

import msgspec

from simulations.stripe_customers import Rendered, Shopper, blank
from simulations.stripe_objects import Intent

API_VERSION = "2024-12-18.acacia"

_SESSION = blank(
    "id object after_expiration allow_promotion_codes amount_subtotal amount_total automatic_tax cancel_url "
    "client_reference_id consent created currency customer customer_creation customer_details customer_email "
    "expires_at invoice livemode locale metadata mode payment_intent payment_link payment_method_types payment_status "
    "shipping_cost status submit_type subscription success_url total_details ui_mode url"
)
_INVOICE = blank(
    "id object account_country account_name amount_due amount_paid amount_remaining attempt_count attempted "
    "auto_advance billing_reason charge collection_method created currency customer customer_email customer_name "
    "default_payment_method description due_date ending_balance footer hosted_invoice_url lines livemode metadata "
    "next_payment_attempt number paid payment_intent period_end period_start status subscription subtotal tax total"
)


def checkout_session(session_id: str, intent: Intent, completed: int) -> Rendered:
    """A finished Checkout Session, which states nothing about money that the intent does not."""
    return {
        **_SESSION,
        "id": session_id,
        "object": "checkout.session",
        "amount_subtotal": intent.amount,
        "amount_total": intent.amount,
        "automatic_tax": {"enabled": False, "liability": None, "status": None},
        "created": intent.created,
        "currency": intent.currency,
        "customer": intent.shopper.id if intent.shopper else None,
        "expires_at": completed + 86_400,
        "livemode": True,
        "metadata": {"order_id": intent.order_number},
        "mode": "payment",
        "payment_intent": intent.id,
        "payment_method_types": [intent.method.type],
        "payment_status": "paid",
        "status": "complete",
        "success_url": "https://shop.example/thanks",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted",
    }


def paid_invoice(invoice_id: str, shopper: Shopper, amount: int, paid: int) -> Rendered:
    """An invoice that was settled outside of Stripe."""
    return {
        **_INVOICE,
        "id": invoice_id,
        "object": "invoice",
        "account_name": "Example Shop",
        "amount_due": amount,
        "amount_paid": amount,
        "amount_remaining": 0,
        "attempt_count": 0,
        "attempted": True,
        "auto_advance": False,
        "billing_reason": "manual",
        "collection_method": "send_invoice",
        "created": paid - 86_400,
        "currency": shopper.currency,
        "customer": shopper.id,
        "customer_email": shopper.email,
        "customer_name": shopper.name,
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{invoice_id}/lines"},
        "livemode": True,
        "metadata": {},
        "number": f"{shopper.id[-8:].upper()}-0001",
        "paid": True,
        "status": "paid",
        "subtotal": amount,
        "total": amount,
    }


def event_body(
    *,
    event_id: str,
    event_type: str,
    created: int,
    rendered: Rendered,
    before: Rendered | None,
    request_id: str | None,
    idempotency_key: str | None,
) -> bytes:
    """An Event as a webhook's raw body, indented as Stripe sends it (https://docs.stripe.com/api/events/object).

    `before` is the object's previous state where the event's type carries `previous_attributes`.
    """
    data: Rendered = {"object": rendered}
    if before is not None:
        data["previous_attributes"] = {
            key: before.get(key) for key, value in rendered.items() if before.get(key) != value
        }
    body: Rendered = {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": data,
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": request_id, "idempotency_key": idempotency_key},
        "type": event_type,
    }
    return msgspec.json.format(msgspec.json.encode(body), indent=2)
