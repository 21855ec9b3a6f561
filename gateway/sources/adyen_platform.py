"""Adyen's Balance Platform: transfers (https://docs.adyen.com/api-explorer/transfer-webhooks/4/overview) as facts.

A transfer is a payment of its own: money that goes out is a payout, money that comes in a payment to the platform. Its
`sequenceNumber` says in which order its states followed each other.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.webhook import RecordSighting
from gateway.sources.adyen_signature import is_authorized, is_signed, keys_of
from gateway.sources.adyen_values import Amount, code, instant, money, reference
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

name = "adyen-platform"
acknowledgement = Acknowledgement(status=200, body="[accepted]", media_type="text/plain", within_s=8.0)

_TRANSFERS = frozenset({"balancePlatform.transfer.created", "balancePlatform.transfer.updated"})
_SEQUENCE_MAX = 2**31 - 1
_DIGEST_CHARS = 24
_TYPE_CHARS_MAX = 100

# `data.status` -> ours, for money that goes out and money that comes in. The other statuses that the description lists
# (fees, corrections, chargebacks and refunds of a payment that a classic notification tells of) are seen and not kept.
_OUT = {
    "received": "pending",
    "approvalPending": "pending",
    "pendingApproval": "pending",
    "authorised": "in_transit",
    "pendingExecution": "in_transit",
    "bookingPending": "in_transit",
    "booked": "paid",
    "credited": "paid",
    "captured": "paid",
    "refused": "failed",
    "rejected": "failed",
    "failed": "failed",
    "error": "failed",
    "returned": "failed",
    "cancelled": "canceled",
    "expired": "canceled",
}
_IN = {**_OUT, "authorised": "authorized", "pendingExecution": "authorized", "bookingPending": "authorized"} | {
    each: "captured" for each, ours in _OUT.items() if ours == "paid"
}


class Event(msgspec.Struct, rename="camel"):
    """One step of a transfer."""

    status: str = ""
    booking_date: str | None = None


class Holder(msgspec.Struct):
    """Whose account it is. The description that stands beside the id is free text."""

    id: str = ""


class Transfer(msgspec.Struct, rename="camel"):
    """What of a transfer is read; the counterparty is not."""

    id: str
    amount: Amount
    status: str
    direction: str
    sequence_number: int | None = None
    reason: str | None = None
    events: list[Event] = []
    account_holder: Holder | None = None


class Webhook(msgspec.Struct, rename="camel"):
    """The envelope. Transfers have a `timestamp`, other types `createdAt`, and some neither."""

    type: str
    data: msgspec.Raw
    timestamp: str | None = None
    created_at: str | None = None


class Dated(msgspec.Struct, rename="camel"):
    creation_date: str | None = None


_WEBHOOKS = msgspec.json.Decoder(Webhook)
_TRANSFER = msgspec.json.Decoder(Transfer)
_DATED = msgspec.json.Decoder(Dated)


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check `HmacSignature`, over the body as it is. `None` if genuine.

    Codes: `signature.wrong_credentials` (the option `basic_auth`, as for classic notifications), `signature.missing`,
    `signature.no_secret`, `signature.mismatch`.
    """
    if not is_authorized(headers, trust):
        return "signature.wrong_credentials"
    signature = headers.get("hmacsignature")
    if not signature:
        return "signature.missing"
    keys = keys_of(trust.secrets)
    if not keys:
        return "signature.no_secret"
    return None if is_signed(raw, signature, keys) else "signature.mismatch"


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """The fact of a transfer's state; a sighting of anything else."""
    try:
        webhook = _decode(raw)
        return _read_transfer(webhook, raw, ref) if webhook.type in _TRANSFERS else _seen(webhook, raw, ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be a webhook")


def _decode(raw: bytes) -> Webhook:
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        return _WEBHOOKS.decode(raw)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", str(error)) from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the body is not JSON: {error}") from error


def _read_transfer(webhook: Webhook, raw: bytes, ref: str) -> Reading:
    try:
        transfer = _TRANSFER.decode(webhook.data)
    except msgspec.ValidationError as error:
        # Not `body.*`, which would be answered 400 and sent again: what was signed will not change.
        raise Rejection("event.wrong_shape", str(error).replace("`$", "`$.data", 1)) from error
    statuses = {"outgoing": _OUT, "incoming": _IN}.get(transfer.direction)
    if statuses is None:
        raise Rejection("event.unknown_direction", f"a transfer does not go {transfer.direction[:40]!a}")
    status = statuses.get(transfer.status)
    if status is None:
        return _seen(webhook, raw, ref)
    transfer_id = reference(transfer.id, "data.id")
    amount_minor, currency = money(transfer.amount)
    holder = transfer.account_holder
    fact = Fact(
        fact_id=f"{name}:{transfer_id}:{_step(transfer, raw)}",
        provider=name,
        payment_id=transfer_id,
        object=f"payout:{transfer_id}" if statuses is _OUT else "intent",
        status=status,
        occurred_at=_occurred_at(webhook, transfer),
        sequence=transfer.sequence_number,
        amount_minor=amount_minor,
        currency=currency,
        authorized_minor=amount_minor if status in {"authorized", "captured"} else 0,
        captured_minor=amount_minor if status == "captured" else 0,
        customer_id=code(holder.id) if holder else "",
        reason=code(transfer.reason) if status in {"failed", "canceled"} else "",
        raw=ref,
    )
    return Reading(event_id=fact.fact_id.removeprefix(f"{name}:"), event_type=webhook.type, facts=(fact,))


def _step(transfer: Transfer, raw: bytes) -> str:
    """What tells the states of one transfer apart: the sequence number, or the content where there is none."""
    sequence = transfer.sequence_number
    if sequence is None:
        return _digest(raw)
    if not 0 <= sequence <= _SEQUENCE_MAX:
        raise Rejection("event.sequence_malformed", f"sequenceNumber is not between 0 and {_SEQUENCE_MAX}")
    return str(sequence)


def _occurred_at(webhook: Webhook, transfer: Transfer) -> datetime:
    """When the state was reached: the last event with this status was booked, or else the webhook was made."""
    booked = [event.booking_date for event in transfer.events if event.status == transfer.status and event.booking_date]
    return instant(booked[-1], "bookingDate") if booked else _made_at(webhook)


def _made_at(webhook: Webhook) -> datetime:
    """When the webhook was made, or what it is about. Raises `Rejection("event.time_missing")`."""
    told = webhook.timestamp or webhook.created_at
    if told is None:
        try:
            told = _DATED.decode(webhook.data).creation_date
        except msgspec.ValidationError:
            told = None
    if told is None:
        raise Rejection("event.time_missing", "neither timestamp, createdAt nor data.creationDate says when it was")
    return instant(told, "timestamp")


def _seen(webhook: Webhook, raw: bytes, ref: str) -> Reading:
    """A sighting. These webhooks have no id; the same bytes are the same webhook."""
    event_type = webhook.type
    if not event_type.isascii() or not event_type.replace(".", "").replace("_", "").isalnum():
        raise Rejection("event.type_malformed", f"type is no dotted name: {event_type[:40]!a}")
    if len(event_type) > _TYPE_CHARS_MAX:
        raise Rejection("event.type_malformed", f"type has more than {_TYPE_CHARS_MAX} characters")
    event_id = f"{event_type}:{_digest(raw)}"
    seen = RecordSighting(source=name, event_id=event_id, event_type=event_type, occurred_at=_made_at(webhook), raw=ref)
    return Reading(event_id=event_id, event_type=event_type, sighting=seen)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:_DIGEST_CHARS]
