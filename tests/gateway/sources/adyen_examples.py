"""Short ways to write what Adyen sends, and where its published examples lie."""

import base64
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from domain.fact import Fact
from gateway.sources import adyen, adyen_automatic_capture
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.conformance import Conformance, Message, Signed

PUBLISHED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks" / "adyen"
KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
PAYMENT, CAPTURE, REFUND, DISPUTE = "PAYMENT00000001", "CAPTURE00000001", "REFUND000000001", "DISPUTE00000001"
# A card's holder, its last digits and its expiry, as they stand beside the money.
NAME, EMAIL, CARD, BANK = "Ann Smith", "ann.smith@example.com", "076181:1111:03/2030", "NL13TEST0123456789"
PERSONAL = {"cardHolderName": NAME, "shopperEmail": EMAIL, "iban": BANK, "shopperIP": "192.0.2.44"}

Body = dict[str, Any]


def published(pattern: str) -> list[Path]:
    """The published examples that match; skips the test, saying so, where they are not."""
    if not PUBLISHED.is_dir():
        pytest.skip("Adyen's published examples are not here (shared/data/webhooks/adyen beside the repository)")
    files = sorted(PUBLISHED.glob(pattern))
    assert files, f"no published file matches {pattern}"
    return files


def item(event_code: str, own: str = PAYMENT, original: str = "", **fields: Any) -> Body:
    """One item: of a payment, or with `original` of a modification."""
    given = {
        "pspReference": own,
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "order:17",
        "amount": {"value": 4900, "currency": "EUR"},
        "eventCode": event_code,
        "success": "true",
        "eventDate": "2026-03-01T13:00:00+01:00",
    }
    return {**given, **({"originalReference": original} if original else {}), **fields}


def signature(body: Body, key: str = KEY) -> str:
    """The signature of an item, written anew from Adyen's description rather than taken from the source."""
    amount = body.get("amount") or {}
    names = "pspReference originalReference merchantAccountCode merchantReference".split()
    values = [body.get(name) or "" for name in names]
    values += [amount.get("value", ""), amount.get("currency", ""), body["eventCode"], body["success"]]
    text = ":".join(map(str, values)).encode()
    return base64.b64encode(hmac.digest(bytes.fromhex(key), text, "sha256")).decode()


def signed(body: Body, key: str = KEY) -> Body:
    """The item with its signature."""
    data = {**body.get("additionalData", {}), "hmacSignature": signature(body, key)}
    return {**body, "additionalData": data}


def notification(*items: Any) -> bytes:
    """A body of these items."""
    wrapped = [{"NotificationRequestItem": each} for each in items]
    return json.dumps({"live": "false", "notificationItems": wrapped}).encode()


def reading(*items: Any) -> Reading:
    """What a notification says that can be read."""
    result = adyen.read(notification(*items), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def fact(body: Any) -> Fact:
    """What an item says."""
    (found,) = reading(body).facts
    return found


def refusal(*items: Any) -> Unreadable:
    """Why a notification cannot be read."""
    result = adyen.read(notification(*items), headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


def at(day: int, event_code: str, own: str = PAYMENT, original: str = "", **fields: Any) -> Message:
    """The message of an event on a day of March."""
    date = f"2026-03-{day:02}T13:00:00+01:00"
    return Message(raw=notification(item(event_code, own, original, **{"eventDate": date, **fields})))


def disputed(status: str) -> Body:
    data = {"chargebackReasonCode": " 4853", "chargebackSchemeCode": "mc", "disputeStatus": status}
    return {"additionalData": data, "reason": f"{NAME} says that nothing came"}


_MESSAGES = [
    Message(raw=notification(each))
    for each in (
        item("AUTHORISATION", reason=CARD, additionalData={"shopperReference": "shopper-1", **PERSONAL}),
        item("AUTHORISATION", success="false", reason="Not enough balance"),
        item("CAPTURE", CAPTURE, PAYMENT),
        item("REFUND_FAILED", REFUND, PAYMENT, reason=f"{NAME} closed the account"),
        item("CANCEL_OR_REFUND", REFUND, PAYMENT, additionalData={"modification.action": "refund"}),
        item("CHARGEBACK", DISPUTE, PAYMENT, **disputed("Pending")),
        item("PAYOUT_THIRDPARTY", "PAYOUT000000001"),
        item("REPORT_AVAILABLE", "settlement_detail_report_batch_1.csv", reason="https://reports.example/1.csv"),
    )
]
_MESSAGES.append(Message(raw=notification(item("AUTHORISATION"), item("REFUND", REFUND), item("ORDER_OPENED", "O1"))))
_SIGNED = signed(item("REFUND", REFUND, PAYMENT, additionalData=PERSONAL))
_TRUST = Trust(secrets=(KEY,))
_EXAMPLE = Signed(
    message=Message(raw=notification(_SIGNED)),
    trust=_TRUST,
    signed_parts=[
        json.dumps({name: _SIGNED[name]}).strip("{}").encode()
        for name in ("pspReference", "originalReference", "merchantAccountCode", "merchantReference", "eventCode")
    ]
    + [
        b'{"value": 4900, "currency": "EUR"}',
        b'"success": "true"',
        f'"hmacSignature": "{_SIGNED["additionalData"]["hmacSignature"]}"'.encode(),
    ],
)
_PERSONAL = (NAME, EMAIL, CARD, BANK, "192.0.2.44")

CONFORMANCE = (
    Conformance(
        source=adyen,
        messages=_MESSAGES,
        signed=_EXAMPLE,
        story=[
            at(1, "AUTHORISATION", success="false", reason="Refused"),
            at(1, "AUTHORISATION", eventDate="2026-03-01T13:00:01+01:00"),
            at(2, "AUTHORISATION_ADJUSTMENT", "ADJUST000000001", PAYMENT, amount={"value": 5900, "currency": "EUR"}),
            at(2, "CAPTURE", CAPTURE, PAYMENT),
            at(3, "CAPTURE_FAILED", CAPTURE, PAYMENT),
            at(4, "CAPTURE", CAPTURE, PAYMENT, reason="Transaction Recaptured"),
            at(4, "REFUND", REFUND, PAYMENT, amount={"value": "1900", "currency": "EUR"}),
            at(4, "REFUND_FAILED", REFUND, PAYMENT, amount={"value": 1900, "currency": "EUR"}),
            at(5, "NOTIFICATION_OF_CHARGEBACK", DISPUTE, PAYMENT, **disputed("Undefended")),
            at(6, "CHARGEBACK", DISPUTE, PAYMENT, **disputed("Pending")),
            at(9, "CHARGEBACK_REVERSED", DISPUTE),
            at(12, "SECOND_CHARGEBACK", DISPUTE),
            at(13, "PAYOUT_THIRDPARTY", "PAYOUT000000001"),
            at(13, "PAIDOUT_REVERSED", "REVERSED0000001", "PAYOUT000000001"),
            at(14, "AUTHORISATION", "PAYMENT00000002"),
            at(14, "CANCELLATION", "CANCEL000000001", "PAYMENT00000002"),
        ],
        personal=_PERSONAL,
    ),
    Conformance(
        source=adyen_automatic_capture,
        messages=_MESSAGES,
        signed=_EXAMPLE,
        story=[
            at(1, "AUTHORISATION"),
            at(3, "CAPTURE_FAILED", CAPTURE, PAYMENT),
            at(4, "CAPTURE", CAPTURE, PAYMENT),
            at(5, "REFUND", REFUND, PAYMENT),
        ],
        personal=_PERSONAL,
        provider="adyen",
    ),
)
