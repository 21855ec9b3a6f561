"""The parts of Zalo's events that are kept, strictly typed; every other field is skipped."""

from typing import TypeVar

import msgspec

from domain.errors import Rejection


class Envelope(msgspec.Struct):
    """What every event has. `timestamp` is milliseconds, as text in all but a few events."""

    event_name: str
    timestamp: str | int


class Party(msgspec.Struct, frozen=True):
    """Someone who writes or is written to. A user's id is their id at this account alone."""

    id: str = ""


class Attachment(msgspec.Struct):
    """Its type is all that is kept: a payload has URLs, coordinates or telephone numbers."""

    type: str = ""


class Text(msgspec.Struct):
    """What was sent; `conversation_id` stands in for the user's id of somebody who is not logged in."""

    msg_id: str = ""
    text: str | None = None
    attachments: list[Attachment] | None = None
    quote_msg_id: str | None = None
    conversation_id: str = ""


class Spoken(msgspec.Struct):
    """`user_send_*`, `oa_send_*`, `anonymous_send_*`, `oa_send_anonymous_*`."""

    message: Text
    sender: Party = Party()
    recipient: Party = Party()


class Named(msgspec.Struct):
    """`user_seen_message` names several messages, `user_received_message` one."""

    msg_id: str = ""
    msg_ids: list[str] = []


class Receipt(msgspec.Struct):
    message: Named
    recipient: Party = Party()


class Following(msgspec.Struct):
    """`follow` and `unfollow`: the follower, who in some descriptions is the sender."""

    follower: Party = Party()
    sender: Party = Party()


class Withdrawal(msgspec.Struct):
    """`user_withdraw`: whose data are to be erased."""

    user_id: str = ""
    sender: Party = Party()


class _Signed(msgspec.Struct):
    app_id: str = ""
    timestamp: str | int = ""


EventT = TypeVar("EventT")

_ENVELOPES = msgspec.json.Decoder(Envelope)
_SIGNED = msgspec.json.Decoder(_Signed)


def signed_parts(raw: bytes) -> tuple[str, str]:
    """The app id and the timestamp of a body, as text; both empty where it has none that could be signed."""
    try:
        signed = _SIGNED.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    return signed.app_id, str(signed.timestamp)


def decode_envelope(raw: bytes) -> Envelope:
    """What the event is. Raises `Rejection` (`body.*`) or `RecursionError`."""
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        return _ENVELOPES.decode(raw)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", f"{error}") from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the body is not JSON: {error}") from error


def decode_event(raw: bytes, shape: type[EventT]) -> EventT:
    """The event as its name says that it is. Raises `Rejection` (`body.wrong_shape`)."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", f"{error}") from error
