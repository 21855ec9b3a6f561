"""Short ways to write what Stripe sends, and where its recorded messages lie."""

import hmac
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from domain.fact import Fact
from gateway.sources import stripe
from gateway.sources.port import Reading, Unreadable

CREATED = 1_772_366_400  # 2026-03-01 12:00:00 UTC
RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks" / "stripe"

Body = dict[str, Any]


def recorded(pattern: str) -> list[Path]:
    """The recorded files that match; skips the test, saying so, where the recordings are not."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded Stripe messages are not here (shared/data/webhooks/stripe beside the repository)")
    files = sorted(RECORDED.glob(pattern))
    assert files, f"no recorded file matches {pattern}"
    return files


def intent(status: str = "succeeded", **fields: Any) -> Body:
    received = 4900 if status == "succeeded" else 0
    capturable = 4900 if status == "requires_capture" else 0
    given = {"amount": 4900, "amount_received": received, "amount_capturable": capturable, "currency": "eur"}
    return {"id": "pi_1", "object": "payment_intent", "customer": "cus_1", "status": status, **given, **fields}


def charge(status: str | None = "succeeded", **fields: Any) -> Body:
    captured = status == "succeeded" and fields.get("captured", True)
    given = {"amount": 4900, "amount_captured": 4900 if captured else 0, "captured": captured, "amount_refunded": 0}
    links = {"payment_intent": "pi_1", "customer": "cus_1", "currency": "eur", "refunded": False}
    return {"id": "ch_1", "object": "charge", "status": status, **given, **links, **fields}


def refund(status: str | None = "succeeded", **fields: Any) -> Body:
    links = {"charge": "ch_1", "payment_intent": "pi_1", "currency": "eur"}
    return {"id": "re_1", "object": "refund", "status": status, "amount": 1900, **links, **fields}


def dispute(status: str = "needs_response", **fields: Any) -> Body:
    links = {"charge": "ch_1", "payment_intent": "pi_1", "currency": "eur", "reason": "fraudulent"}
    return {"id": "dp_1", "object": "dispute", "status": status, "amount": 4900, **links, **fields}


def payout(status: str = "paid", **fields: Any) -> Body:
    return {"id": "po_1", "object": "payout", "status": status, "amount": 90_000, "currency": "eur", **fields}


def event(event_type: str, body: Any, **fields: Any) -> bytes:
    """A message of `event_type` about `body`."""
    envelope = {"id": "evt_1", "object": "event", "type": event_type, "created": CREATED, "data": {"object": body}}
    return json.dumps({**envelope, **fields}).encode()


def reading(raw: bytes) -> Reading:
    """What a message says that can be read."""
    result = stripe.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def fact(raw: bytes) -> Fact:
    """What a message says of its own object."""
    return reading(raw).facts[0]


def refusal(raw: bytes) -> Unreadable:
    """Why a message cannot be read."""
    result = stripe.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


def signed(raw: bytes, secret: str, at: datetime) -> dict[str, str]:
    """The headers with which Stripe would send `raw` at a time."""
    timestamp = int(at.timestamp())
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + raw, "sha256").hexdigest()
    return {"stripe-signature": f"t={timestamp},v1={signature}"}
