"""Zalo Official Account: signed chat events as commands for conversations.

Described at https://developers.zalo.me/docs/official-account/webhook; docs/sources/zalo.md says what is made of it.
Text is kept, an attachment only by its type, and what a customer submits of themselves (`user_submit_info`) not at all;
neither is their id at an app (`user_id_by_app`). Fields that no documentation names, such as `reorder_id`, are skipped.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from domain.conversation import (
    Author,
    ConversationCommand,
    Message,
    RecordDelivered,
    RecordFollowing,
    RecordMessage,
    RecordSeen,
    RequestErasure,
)
from domain.errors import Rejection
from domain.ids import is_object_id
from domain.webhook import RecordSighting
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Aimed, Reading, Trust, Unreadable
from gateway.sources.zalo_events import (
    Envelope,
    Following,
    Receipt,
    Spoken,
    Withdrawal,
    decode_envelope,
    decode_event,
    signed_parts,
)

name = "zalo"
# "Answer every event with HTTP 200 within 2 seconds", or the subscription is cancelled after the fifth attempt.
acknowledgement = Acknowledgement(status=200, within_s=2.0)

# Zalo takes 2,000 characters of its users.
TEXT_CHARS_MAX = 10_000
PARTS_MAX = 200
_MILLISECONDS_MAX = 253_402_300_799_999  # The last millisecond of year 9999.

_SIGNATURE_RE = re.compile(r"(?:mac *= *)?([0-9a-f]{64})")
_TIMESTAMP_RE = re.compile(r"[0-9]{1,15}")
_TYPE_RE = re.compile(r"[a-z][a-z_]{0,30}")

_KINDS = "text image gif link audio video sticker location business_card file list template".split()
# The event's name before the kind -> who wrote, and whether to or from somebody who is not logged in.
_WRITERS: Mapping[str, tuple[Author, bool]] = {
    "user_send": ("customer", False),
    "oa_send": ("business", False),
    "anonymous_send": ("customer", True),
    "oa_send_anonymous": ("business", True),
}
# Messages in groups (`user_send_group_text`) are not among them: what one member may know is not for the others.
_SPOKEN: Mapping[str, tuple[Author, bool, str]] = {
    f"{prefix}_{kind}": (author, is_anonymous, kind)
    for prefix, (author, is_anonymous) in _WRITERS.items()
    for kind in _KINDS
}


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check `X-ZEvent-Signature`: SHA-256, no HMAC, of app id, body, timestamp and the account's secret key.

    The timestamp is the body's, as text. The app id is the option `app_id`, or else the body's. No age is checked, as a
    retry comes an hour later and is signed with the first time; a message that comes again is known by its id. Codes:
    `signature.missing`, `signature.malformed`, `signature.no_secret`, `signature.mismatch`.
    """
    header = headers.get("x-zevent-signature", "")
    if not header:
        return "signature.missing"
    given = _SIGNATURE_RE.fullmatch(header.strip())
    if given is None:
        return "signature.malformed"
    keys = [secret.encode() for secret in trust.secrets if secret]  # Anyone can sign with an empty secret.
    if not keys:
        return "signature.no_secret"
    app_id, timestamp = signed_parts(raw)
    signed = (trust.options.get("app_id") or app_id).encode() + raw + timestamp.encode()
    expected = [hashlib.sha256(signed + key).hexdigest() for key in keys]
    return None if any(hmac.compare_digest(each, given[1]) for each in expected) else "signature.mismatch"


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """A message, a receipt, a choice to follow or a request for erasure; a sighting of any other event."""
    try:
        return _read(raw, ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be an event")


def _read(raw: bytes, ref: str) -> Reading:
    envelope = decode_envelope(raw)
    event_type = envelope.event_name
    if not is_object_id(event_type):
        raise Rejection("event.type_malformed", f"event_name is no name: {event_type[:40]!a}")
    occurred_at = _time(envelope)
    if event_type in _SPOKEN:
        return _read_message(decode_event(raw, Spoken), event_type, occurred_at, ref)
    reader = _READERS.get(event_type)
    if reader is not None:
        key, command = reader(raw, occurred_at)
        event_id = f"{event_type}:{envelope.timestamp}"
        aimed = Aimed(category="conversation", key=key, command=command, command_id=f"{name}:{event_id}")
        return Reading(event_id=event_id, event_type=event_type, commands=(aimed,))
    # An event without an id of its own is known by its bytes: a retry repeats them.
    event_id = f"{event_type[:100]}:{hashlib.sha256(raw).hexdigest()[:16]}"
    seen = RecordSighting(source=name, event_id=event_id, event_type=event_type, occurred_at=occurred_at, raw=ref)
    return Reading(event_id=event_id, event_type=event_type, sighting=seen)


def _read_message(spoken: Spoken, event_type: str, occurred_at: datetime, ref: str) -> Reading:
    author, is_anonymous, kind = _SPOKEN[event_type]
    said = spoken.message
    if len(said.text or "") > TEXT_CHARS_MAX:
        raise Rejection("event.text_too_long", f"message.text has more than {TEXT_CHARS_MAX} characters")
    attachments = said.attachments or []
    if len(attachments) > PARTS_MAX:
        raise Rejection("event.too_many_parts", f"the message has more than {PARTS_MAX} attachments")
    message = Message(
        message_id=_id(said.msg_id, "message.msg_id"),
        author=author,
        kind=kind,
        occurred_at=occurred_at,
        text=said.text or "",
        attachments=tuple(_type(each.type) for each in attachments),
        reply_to=_id(said.quote_msg_id, "message.quote_msg_id") if said.quote_msg_id else "",
        raw=ref,
    )
    if is_anonymous:
        key = _key(f"anonymous:{_id(said.conversation_id, 'message.conversation_id')}")
    else:
        key = _customer(spoken.sender.id if author == "customer" else spoken.recipient.id)
    aimed = Aimed(
        category="conversation",
        key=key,
        command=RecordMessage(message=message),
        command_id=f"{name}:{message.message_id}",
    )
    return Reading(event_id=message.message_id, event_type=event_type, commands=(aimed,))


def _read_seen(raw: bytes, occurred_at: datetime) -> tuple[str, ConversationCommand]:
    key, message_ids = _receipt(raw)
    return key, RecordSeen(message_ids=message_ids, occurred_at=occurred_at)


def _read_delivered(raw: bytes, occurred_at: datetime) -> tuple[str, ConversationCommand]:
    key, message_ids = _receipt(raw)
    return key, RecordDelivered(message_ids=message_ids, occurred_at=occurred_at)


def _receipt(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Whose receipt, and for which messages. The account is the sender: what was seen is its message."""
    receipt = decode_event(raw, Receipt)
    named = [*receipt.message.msg_ids, *([receipt.message.msg_id] if receipt.message.msg_id else [])]
    if len(named) > PARTS_MAX:
        raise Rejection("event.too_many_parts", f"the receipt is for more than {PARTS_MAX} messages")
    if not named:
        raise Rejection("event.id_malformed", "the receipt names no message")
    return _customer(receipt.recipient.id), tuple(_id(each, "message.msg_ids") for each in named)


def _read_follow(raw: bytes, occurred_at: datetime) -> tuple[str, ConversationCommand]:
    return _follower(raw), RecordFollowing(is_following=True, occurred_at=occurred_at)


def _read_unfollow(raw: bytes, occurred_at: datetime) -> tuple[str, ConversationCommand]:
    return _follower(raw), RecordFollowing(is_following=False, occurred_at=occurred_at)


def _follower(raw: bytes) -> str:
    following = decode_event(raw, Following)
    return _customer(following.follower.id or following.sender.id)


def _read_withdraw(raw: bytes, occurred_at: datetime) -> tuple[str, ConversationCommand]:
    withdrawal = decode_event(raw, Withdrawal)
    return _customer(withdrawal.user_id or withdrawal.sender.id), RequestErasure(occurred_at=occurred_at)


_READERS: Mapping[str, Callable[[bytes, datetime], tuple[str, ConversationCommand]]] = {
    "user_seen_message": _read_seen,
    "user_received_message": _read_delivered,
    "follow": _read_follow,
    "unfollow": _read_unfollow,
    "user_withdraw": _read_withdraw,
}


def _customer(user_id: str) -> str:
    return _key(_id(user_id, "the user's id"))


def _key(owner: str) -> str:
    """The conversation's id, which is a path of our own routes as well."""
    return _id(f"{name}:{owner}", "the conversation's id")


def _id(text: str, field: str) -> str:
    if not is_object_id(text):
        raise Rejection("event.id_malformed", f"{field} is no id: {text[:40]!a}")
    return text


def _type(text: str) -> str:
    return text if _TYPE_RE.fullmatch(text) else "other"


def _time(envelope: Envelope) -> datetime:
    """The event's time: milliseconds as text. The documentation's own sample lacks a digit, and is a time as well."""
    text = str(envelope.timestamp)
    if _TIMESTAMP_RE.fullmatch(text) is None or int(text) > _MILLISECONDS_MAX:
        raise Rejection("event.time_out_of_range", "timestamp is no time between 1970 and 9999, in milliseconds")
    seconds, milliseconds = divmod(int(text), 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
