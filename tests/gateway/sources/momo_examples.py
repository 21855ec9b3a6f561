"""Short ways to write what MoMo sends, and its examples for the conformance test."""

import hmac
import json
from typing import Any

from gateway.sources import momo
from gateway.sources.port import Trust
from tests.gateway.sources.conformance import Conformance, Message, Signed

SECRET_KEY = "example-secret-key"
ACCESS_KEY = "example-access-key"
PAID_AT = 1_772_366_400_123  # 2026-03-01 12:00:00.123 UTC


def result(code: int = 0, **fields: Any) -> dict[str, Any]:
    """What a notification says, without its signature."""
    given = {"partnerCode": "MOMOTEST", "orderId": "order-1", "requestId": "request-1", "amount": 10_000}
    said = {"orderInfo": "Cảm ơn chị Hồng", "orderType": "momo_wallet", "payType": "qr", "extraData": ""}
    outcome = {"message": "Thành công.", "resultCode": code, "transId": 4088878653, "responseTime": PAID_AT}
    return {**given, **said, **outcome, **fields}


def signature(fields: dict[str, Any], key: str = SECRET_KEY, access_key: str = ACCESS_KEY) -> str:
    values = {**fields, "accessKey": access_key}
    text = "&".join(f"{name}={values[name]}" for name in sorted(values))
    return hmac.new(key.encode(), text.encode(), "sha256").hexdigest()


def notification(code: int = 0, **fields: Any) -> bytes:
    """A notification as MoMo signs it."""
    body = result(code, **fields)
    return json.dumps({**body, "signature": signature(body)}, ensure_ascii=False).encode()


def refunded(code: int = 0, seconds: int = 60) -> bytes:
    """The answer to a refund, with what was asked."""
    request = {"orderId": "refund-1", "requestId": "request-2", "amount": 4000, "transId": 4088878653}
    response = {**request, "transId": 4088878999, "resultCode": code, "responseTime": PAID_AT + seconds * 1000}
    return json.dumps({"request": request, "response": response}).encode()


BODY = notification()

CONFORMANCE = Conformance(
    source=momo,
    messages=[
        Message(raw=BODY),
        Message(raw=notification(1006)),
        Message(raw=json.dumps(result()).encode()),
        Message(raw=refunded()),
    ],
    story=[
        Message(raw=json.dumps(result(1000, transId=0, responseTime=PAID_AT - 60_000)).encode()),
        Message(raw=notification(9000, responseTime=PAID_AT - 30_000)),
        Message(raw=BODY),
        Message(raw=json.dumps(result(responseTime=PAID_AT + 30_000)).encode()),
        Message(raw=refunded(7000)),
        Message(raw=refunded(0, 90)),
    ],
    signed=Signed(
        message=Message(raw=BODY),
        trust=Trust(secrets=("old", SECRET_KEY), options={"access_key": ACCESS_KEY}),
        signed_parts=tuple(
            f'"{name}": {json.dumps(value, ensure_ascii=False)}'.encode() for name, value in result().items()
        ),
    ),
    personal=("Hồng", "H\\u1ed3ng"),
)
