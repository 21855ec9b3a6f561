"""Short ways to write what ZaloPay sends, and its examples for the conformance test."""

import hmac
import json
from typing import Any

from gateway.sources import zalopay
from gateway.sources.port import Trust
from tests.gateway.sources.conformance import Conformance, Message, Signed

KEY2 = "example-key2"
PAID_AT = 1_772_366_400_123  # 2026-03-01 12:00:00.123 UTC


def paid(**fields: Any) -> dict[str, Any]:
    """The `data` of an order's callback."""
    given = {"app_id": 2553, "app_trans_id": "260301_2553_1", "app_time": PAID_AT - 60_000, "app_user": "0912345678"}
    bought = {"amount": 10_000, "item": '[{"itemname":"Example"}]', "embed_data": "{}", "channel": 38}
    return {**given, **bought, "zp_trans_id": 260301000000389, "server_time": PAID_AT, **fields}


def callback(data: Any, key: str = KEY2, **fields: Any) -> bytes:
    """A callback as ZaloPay signs it: over the text of `data`."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    mac = hmac.new(key.encode(), text.encode(), "sha256").hexdigest()
    return json.dumps({"data": text, "mac": mac, "type": 1, **fields}).encode()


def answer(request: dict[str, Any], **response: Any) -> bytes:
    """What a query answered, with what was asked."""
    return json.dumps({"request": request, "response": {"return_code": 1, **response}}).encode()


ORDER = {"app_id": 2553, "app_trans_id": "260301_2553_1", "timestamp": PAID_AT + 60_000}
REFUND = {
    "m_refund_id": "260301_2553_r1",
    "zp_trans_id": 260301000000389,
    "amount": 4000,
    "timestamp": PAID_AT + 90_000,
}
BODY = callback(paid())

CONFORMANCE = Conformance(
    source=zalopay,
    messages=[
        Message(raw=BODY),
        Message(raw=callback({"binding_id": "1", "server_time": PAID_AT}, type=2)),
        Message(raw=answer(ORDER, amount=10_000, zp_trans_id=260301000000389, server_time=PAID_AT)),
        Message(raw=answer(REFUND)),
    ],
    story=[
        Message(raw=answer({**ORDER, "timestamp": PAID_AT - 9000}, return_code=3, zp_trans_id=260301000000389)),
        Message(raw=BODY),
        Message(raw=answer(ORDER, amount=10_000, zp_trans_id=260301000000389, server_time=PAID_AT)),
        Message(raw=answer(REFUND, return_code=3)),
        Message(raw=answer({**REFUND, "timestamp": PAID_AT + 99_000})),
    ],
    signed=Signed(
        message=Message(raw=BODY),
        trust=Trust(secrets=("old", KEY2)),
        signed_parts=(json.dumps(json.loads(BODY)["data"])[1:-1].encode(),),
    ),
    personal=("0912345678",),
)
