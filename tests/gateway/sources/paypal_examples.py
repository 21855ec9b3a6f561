"""Short ways to write what PayPal sends, where its recorded messages lie, and its examples for the conformance test."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.fact import Fact
from gateway.sources import paypal
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.conformance import Conformance, Message, Signed
from tests.gateway.sources.paypal_certificates import URL, issuer, leaf, options, pem, signed

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks" / "paypal"
START = datetime(2026, 3, 1, 11, tzinfo=UTC)
API = "https://api.paypal.com/v2"

Body = dict[str, Any]


def recorded(pattern: str) -> list[Path]:
    """The recorded files that match; skips the test, saying so, where they are not."""
    files = sorted(RECORDED.glob(pattern))
    if not files:
        pytest.skip(f"no recorded PayPal message is here (shared/data/webhooks/paypal/{pattern} beside the repository)")
    return files


def stamp(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def money(value: str = "49.00", currency: str = "EUR") -> Body:
    return {"currency_code": currency, "value": value}


def links(kind: str, object_id: str, up: str = "") -> list[Body]:
    """Links to the object itself and to what it was made from, e.g. `checkout/orders/ORDER1`."""
    own = [{"href": f"{API}/{kind}/{object_id}", "rel": "self", "method": "GET"}]
    return own + ([{"href": f"{API}/{up}", "rel": "up", "method": "GET"}] if up else [])


def transaction(kind: str, object_id: str, status: str | None, up: str, seconds: float, **fields: Any) -> Body:
    given = {"id": object_id, "status": status, "amount": money(), "update_time": stamp(seconds)}
    return {**given, "links": links(f"payments/{kind}", object_id, up), **fields}


def authorization(status: str = "CREATED", seconds: float = 1, **fields: Any) -> Body:
    return transaction("authorizations", "AUTH1", status, "checkout/orders/ORDER1", seconds, **fields)


def capture(status: str | None = "COMPLETED", seconds: float = 2, **fields: Any) -> Body:
    """A capture of the authorization, which does not say of which order that is."""
    return transaction("captures", "CAPTURE1", status, "payments/authorizations/AUTH1", seconds, **fields)


def of_order(order_id: str = "ORDER1") -> Body:
    return {"supplementary_data": {"related_ids": {"order_id": order_id}}}


def refund(status: str = "COMPLETED", seconds: float = 3, **fields: Any) -> Body:
    """A refund of the capture, which says nothing of authorization and order."""
    given = {"amount": money("19.00"), **fields}
    return transaction("refunds", "REFUND1", status, "payments/captures/CAPTURE1", seconds, **given)


def order(status: str = "APPROVED", seconds: float = 0, **payments: list[Body]) -> Body:
    unit = {"reference_id": "default", "amount": money(), "payments": payments}
    payer = {"payer_id": "QYR5Z8XDVJNXQ", "email_address": "ann.smith@example.com", "name": {"surname": "Smithson"}}
    given = {"id": "ORDER1", "status": status, "update_time": stamp(seconds), "purchase_units": [unit]}
    return {**given, "payer": payer, "links": links("checkout/orders", "ORDER1")}


def sale(status: str = "completed", **fields: Any) -> Body:
    """A payment at once, as v1 writes it."""
    own = {"href": "https://api.paypal.com/v1/payments/sale/SALE1", "rel": "self", "method": "GET"}
    given = {"id": "SALE1", "state": status, "amount": {"total": "0.48", "currency": "USD"}, "links": [own]}
    return {**given, "parent_payment": "PAY-1", "update_time": stamp(1), **fields}


def sale_refund(**fields: Any) -> Body:
    own = {"href": "https://api.paypal.com/v1/payments/refund/REFUND2", "rel": "self", "method": "GET"}
    given = {"id": "REFUND2", "state": "completed", "amount": {"total": "-0.02", "currency": "USD"}, "links": [own]}
    return {**given, "sale_id": "SALE1", "parent_payment": "PAY-1", "update_time": stamp(4), **fields}


def dispute(status: str = "OPEN", seconds: float = 5, **fields: Any) -> Body:
    about = [{"seller_transaction_id": "CAPTURE1", "seller": {"name": "ACME Corp."}}]
    given = {"dispute_id": "PP-000-1", "status": status, "dispute_amount": money(), "reason": "UNAUTHORIZED"}
    return {**given, "disputed_transactions": about, "update_time": stamp(seconds), **fields}


def batch(status: str = "SUCCESS", seconds: float = 6) -> Body:
    amount = {"currency": "CAD", "value": "25.0"}
    return {
        "batch_header": {
            "payout_batch_id": "BATCH1",
            "batch_status": status,
            "amount": amount,
            "time_completed": stamp(seconds),
        }
    }


def item(status: str = "SUCCESS", seconds: float = 7) -> Body:
    detail = {"amount": {"currency": "USD", "value": "1.0"}, "receiver": "ann.smith@example.com"}
    return {
        "payout_item_id": "ITEM1",
        "payout_batch_id": "BATCH1",
        "transaction_status": status,
        "payout_item": detail,
        "time_processed": stamp(seconds),
    }


def event(event_type: str, resource: Any, number: int = 1, **fields: Any) -> bytes:
    """A message of `event_type` about `resource`."""
    envelope = {"id": f"WH-{number}", "create_time": stamp(60), "event_type": event_type, "resource": resource}
    return json.dumps({**envelope, **fields}).encode()


def reading(raw: bytes) -> Reading:
    """What a message says that can be read."""
    result = paypal.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def fact(raw: bytes) -> Fact:
    """What a message says of its own resource."""
    return reading(raw).facts[0]


def refusal(raw: bytes) -> Unreadable:
    """Why a message cannot be read."""
    result = paypal.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


BODY = event("PAYMENT.CAPTURE.COMPLETED", capture(**of_order()))
TRUST = Trust(options=options(), certificates={URL: pem(leaf(), issuer())})

CONFORMANCE = Conformance(
    source=paypal,
    messages=[
        Message(raw=each)
        for each in (
            event("CHECKOUT.ORDER.COMPLETED", order("COMPLETED", captures=[capture()], refunds=[refund()])),
            event("PAYMENT.AUTHORIZATION.CREATED", authorization(**of_order())),
            event("PAYMENT.CAPTURE.COMPLETED", capture(**of_order())),
            event("PAYMENT.CAPTURE.REFUNDED", refund()),
            event("PAYMENT.SALE.COMPLETED", sale()),
            event("PAYMENT.SALE.REFUNDED", sale_refund()),
            event("CUSTOMER.DISPUTE.CREATED", dispute(messages=[{"content": "I am Ann Smithson"}])),
            event("PAYMENT.PAYOUTSBATCH.SUCCESS", batch()),
            event("PAYMENT.PAYOUTS-ITEM.SUCCEEDED", item()),
            event("BILLING.SUBSCRIPTION.CANCELLED", {"id": "I-1", "subscriber": {"name": "Ann Smithson"}}),
        )
    ],
    story=[
        Message(raw=event(event_type, resource, number))
        for number, (event_type, resource) in enumerate(
            [
                ("CHECKOUT.ORDER.APPROVED", order()),
                ("PAYMENT.AUTHORIZATION.CREATED", authorization()),
                ("PAYMENT.CAPTURE.PENDING", capture("PENDING", 1.5)),
                ("PAYMENT.CAPTURE.COMPLETED", capture()),
                ("PAYMENT.CAPTURE.REFUNDED", refund("PENDING", 3)),
                ("PAYMENT.CAPTURE.REFUNDED", refund("COMPLETED", 4)),
                ("CUSTOMER.DISPUTE.CREATED", dispute()),
                ("CUSTOMER.DISPUTE.RESOLVED", dispute("RESOLVED", 9, dispute_outcome={"outcome_code": "DENIED"})),
                ("PAYMENT.SALE.COMPLETED", sale()),
                ("PAYMENT.SALE.REFUNDED", sale_refund()),
                ("PAYMENT.PAYOUTSBATCH.PROCESSING", batch("PROCESSING", 5)),
                ("PAYMENT.PAYOUTSBATCH.SUCCESS", batch()),
                ("PAYMENT.PAYOUTS-ITEM.SUCCEEDED", item()),
                ("PAYMENT.PAYOUTS-ITEM.RETURNED", item("RETURNED", 99)),
            ]
        )
    ],
    signed=Signed(message=Message(raw=BODY, headers=signed(BODY)), trust=TRUST),
    personal=("ann.smith@example.com", "Smithson"),
)
