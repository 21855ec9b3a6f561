"""Short ways to write what Zalo sends, and where its recorded messages lie."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.sources import zalo
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.conformance import Conformance, Signed
from tests.gateway.sources.conformance import Message as Delivery

TIME_MS = "1772366400123"  # 2026-03-01 12:00:00.123 UTC
RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks" / "zalo"
USER, ACCOUNT = "2512523625412515", "388613280878808645"
CONVERSATION = f"zalo:{USER}"
USER_AT_APP = "552177279717587730"
URL, NAME, PHONE = "https://cdn.example/1.jpg?token=x", "Nguyễn Văn An", "0912345678"

Body = dict[str, Any]


def recorded(pattern: str) -> list[Path]:
    """The recorded files that match; skips the test, saying so, where the recordings are not."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded Zalo messages are not here (shared/data/webhooks/zalo beside the repository)")
    files = sorted(RECORDED.glob(pattern))
    assert files, f"no recorded file matches {pattern}"
    return files


def event(event_name: str, **fields: Any) -> Body:
    return {
        "app_id": "360846524940903967",
        "event_name": event_name,
        "timestamp": TIME_MS,
        "user_id_by_app": USER_AT_APP,
        **fields,
    }


def from_user(kind: str = "text", text: str = "Where is my refund?", **message: Any) -> Body:
    """What a user sends to the account."""
    said = {"msg_id": "m_1", "text": text, **message}
    return event(f"user_send_{kind}", sender={"id": USER}, recipient={"id": ACCOUNT}, message=said)


def from_account(event_name: str, **message: Any) -> Body:
    """What the account sends to a user, or is told of what it sent."""
    return event(event_name, sender={"id": ACCOUNT}, recipient={"id": USER}, message=message)


EXAMPLES: list[Body] = [
    from_user(),
    from_user("image", attachments=[{"type": "image", "payload": {"url": URL}}]),
    from_user(quote_msg_id="m_0"),
    from_account("oa_send_text", msg_id="o_1", text="It was refunded."),
    from_account("user_seen_message", msg_ids=["o_1", "o_2"]),
    from_account("user_received_message", msg_id="o_1"),
    event(
        "anonymous_send_text", sender={"id": "a_1"}, message={"msg_id": "m_2", "text": "?", "conversation_id": "c_1"}
    ),
    event("follow", oa_id=ACCOUNT, follower={"id": USER}),
    event("user_withdraw", oa_id=ACCOUNT, user_id=USER),
    event("add_user_to_tag", oa_id=ACCOUNT, tag={"user_ids": [USER], "name": "VIP"}),
    event("user_submit_info", sender={"id": USER}, recipient={"id": ACCOUNT}, info={"name": NAME, "phone": PHONE}),
]


def raw(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def read(body: Body) -> Reading:
    """What a message says that can be read."""
    result = zalo.read(raw(body), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def refusal(body: Body) -> Unreadable:
    """Why a message cannot be read."""
    result = zalo.read(raw(body), headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers with which Zalo would send a body."""
    told = json.loads(body)
    mac = hashlib.sha256(f"{told['app_id']}".encode() + body + f"{told['timestamp']}{secret}".encode()).hexdigest()
    return {"x-zevent-signature": f"mac={mac}"}


_SIGNED = raw(from_user(text="Hoàn tiền chưa?"))
CONFORMANCE = Conformance(
    source=zalo,
    messages=[Delivery(raw=raw(each)) for each in EXAMPLES],
    signed=Signed(
        message=Delivery(raw=_SIGNED, headers=signed(_SIGNED, "oa_secret")), trust=Trust(secrets=("oa_secret",))
    ),
    personal=(URL, NAME, PHONE, USER_AT_APP),
)
