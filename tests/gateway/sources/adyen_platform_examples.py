"""Short ways to write what Adyen's Balance Platform sends."""

import base64
import hmac
import json
from typing import Any

from domain.fact import Fact
from gateway.sources import adyen_platform
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.conformance import Conformance, Message, Signed

KEY = "9064450A8892A093D9E97EFCC9639DE31B74F3A7803135555A3C96F5A57915D6"
NAME, BANK = "Ann Smith", "NL13TEST0123456789"
STATUSES = ("received", "authorised", "booked")

Body = dict[str, Any]


def transfer(sequence: int | None = 1, status: str = "received", direction: str = "outgoing", **fields: Any) -> Body:
    """A transfer as `data`, with an event for this state."""
    given = {
        "id": "6JKRLZ8LOT47J7RY",
        "status": status,
        "direction": direction,
        "category": "bank",
        "amount": {"value": 10_000, "currency": "EUR"},
        "accountHolder": {"id": "AH00000000000000000000001", "description": NAME},
        "counterparty": {"bankAccount": {"accountHolder": {"fullName": NAME}, "accountIdentification": {"iban": BANK}}},
        "reason": "approved",
        "events": [{"status": status, "type": "accounting", "bookingDate": "2026-03-01T13:00:00+01:00"}],
    }
    numbered = {} if sequence is None else {"sequenceNumber": sequence}
    return {**given, **numbered, **fields}


def webhook(data: Any, event_type: str = "balancePlatform.transfer.updated", **fields: Any) -> bytes:
    envelope = {"type": event_type, "environment": "test", "timestamp": "2026-03-01T13:00:05+01:00", "data": data}
    return json.dumps({**envelope, **fields}).encode()


def signed(raw: bytes, key: str = KEY) -> dict[str, str]:
    """The headers with which Adyen would send a body."""
    return {"hmacsignature": base64.b64encode(hmac.digest(bytes.fromhex(key), raw, "sha256")).decode()}


def reading(raw: bytes) -> Reading:
    """What a webhook says that can be read."""
    result = adyen_platform.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def fact(raw: bytes) -> Fact:
    """What a webhook says of its transfer."""
    (found,) = reading(raw).facts
    return found


def refusal(raw: bytes) -> Unreadable:
    """Why a webhook cannot be read."""
    result = adyen_platform.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


_SIGNED = webhook(transfer())

CONFORMANCE = Conformance(
    source=adyen_platform,
    messages=[
        Message(raw=each)
        for each in (
            webhook(transfer()),
            webhook(transfer(3, "booked", "incoming")),
            webhook(transfer(2, "refused", reason="notEnoughBalance")),
            webhook(transfer(2, "refunded", "incoming")),
            webhook({"id": "report.csv"}, "balancePlatform.report.created"),
        )
    ],
    signed=Signed(message=Message(raw=_SIGNED, headers=signed(_SIGNED)), trust=Trust(secrets=(KEY,))),
    story=[
        *(Message(raw=webhook(transfer(number, status))) for number, status in enumerate(STATUSES, 1)),
        Message(raw=webhook(transfer(4, "returned", reason="accountClosed"))),
        *(
            Message(raw=webhook(transfer(number, status, "incoming", id="2WT1N05XXY7P9XH9")))
            for number, status in enumerate(STATUSES, 1)
        ),
    ],
    personal=(NAME, BANK),
)
