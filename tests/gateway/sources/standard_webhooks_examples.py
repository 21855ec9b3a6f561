"""Examples of a provider that keeps to Standard Webhooks, for the conformance test."""

from typing import Any

from gateway.sources.port import Trust
from gateway.sources.standard_webhooks import KIND, StandardWebhooks
from tests.gateway.sources.conformance import NOW, Conformance, Message, Signed
from tests.gateway.sources.mapped import SECRET, encoded, settings, signed

TOML = """\
kind = "standard-webhooks"
[mapping]
ignored = ["customer.*"]

[[mapping.facts]]
kind = "charge"
when = { type = ["payment.*"] }
object = "data.id"
payment = "data.order"
status = { path = "data.state", table = { HELD = "authorized", PAID = "captured", DECLINED = "failed" } }
amount = { path = "data.amount", unit = "major" }
currency = "data.currency"
customer = "data.buyer.id"
reason = "data.code"

[[mapping.facts]]
kind = "refund"
when = { type = ["refund.*"] }
object = "data.id"
payment = { path = ["data.order", "data.payment"] }
refers_to = { charge = "data.payment" }
status = { path = "data.state", table = { OPEN = "pending", DONE = "succeeded", BOUNCED = "failed" } }
amount = { path = "data.amount", unit = "major" }
currency = "data.currency"
reason = "data.code"
"""
SETTINGS = settings(TOML)
BUYER = {"id": "buyer_1", "name": "Ann Smith", "email": "ann.smith@example.com"}


def body(event_type: str, at: str, **data: Any) -> dict[str, Any]:
    return {"type": event_type, "timestamp": f"2026-03-01T{at}Z", "data": data}


def payment(state: str, at: str, **data: Any) -> dict[str, Any]:
    given = {"id": "pay_1", "order": "order_1", "state": state, "amount": "49.00", "currency": "EUR", "buyer": BUYER}
    return body("payment.changed", at, **{**given, **data})


def refund(state: str, at: str, **data: Any) -> dict[str, Any]:
    given = {"id": "ref_1", "payment": "pay_1", "state": state, "amount": 19.5, "currency": "eur"}
    return body("refund.changed", at, **{**given, **data})


def message(number: int, said: dict[str, Any]) -> Message:
    raw = encoded(said)
    return Message(raw=raw, headers=signed(raw, NOW, message_id=f"msg_{number}"))


_SIGNED = encoded(payment("PAID", "12:00:00"))
CONFORMANCE = Conformance(
    source=StandardWebhooks("acquirer", SETTINGS),
    kind=KIND,
    messages=[
        message(1, payment("PAID", "12:00:00")),
        message(2, refund("BOUNCED", "12:00:00.5", code="account_closed")),
        message(3, body("customer.updated", "12:00:01", name="Ann Smith")),
        Message(raw=encoded(payment("DECLINED", "12:00:00"))),
    ],
    story=[
        message(1, payment("HELD", "12:00:00")),
        message(2, payment("PAID", "12:00:01")),
        message(3, refund("OPEN", "12:30:00")),
        message(4, refund("DONE", "12:31:00", order="order_1")),
        message(5, refund("BOUNCED", "12:59:00", code="account_closed")),
        message(6, payment("DECLINED", "12:00:00", id="pay_2", order="order_2")),
        message(7, payment("PAID", "12:05:00", id="pay_3", order="order_2")),
    ],
    signed=Signed(message=Message(raw=_SIGNED, headers=signed(_SIGNED, NOW)), trust=Trust(secrets=(SECRET,))),
    personal=("Ann Smith", "ann.smith@example.com"),
)
