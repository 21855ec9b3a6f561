"""Objects that Stripe's API answered, as facts: each is put in an envelope as its events are, and read like one."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from domain.errors import TerminalError
from domain.fact import Fact
from gateway.sources import stripe
from gateway.sources.port import Unreadable

# The event types' prefixes under which each object is read; none of these types promises a status.
_TYPES = {
    "payment_intent": "payment_intent.read",
    "charge": "charge.read",
    "refund": "refund.read",
    "dispute": "charge.dispute.read",
}


class Found(msgspec.Struct):
    """What every object has; `canceled_at` is a PaymentIntent's."""

    id: str
    object: str
    created: int
    status: str = ""
    canceled_at: int | None = None
    payment_intent: str | None = None
    charge: str | None = None
    metadata: dict[str, str] = {}


class Page(msgspec.Struct):
    """A page of a list (https://docs.stripe.com/api/pagination)."""

    data: list[msgspec.Raw]
    has_more: bool = False


class _Error(msgspec.Struct):
    type: str = ""
    code: str = ""
    param: str = ""


class _Refusal(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class _Envelope(msgspec.Struct):
    id: str
    type: str
    created: int
    data: dict[str, msgspec.Raw]


_FOUND = msgspec.json.Decoder(Found)
_PAGES = msgspec.json.Decoder(Page)
_REFUSALS = msgspec.json.Decoder(_Refusal)


def refusal(body: bytes) -> str:
    """The code of an error (https://docs.stripe.com/api/errors): Stripe's own, with `stripe.` before it.

    Where it gives none, its type and the parameter at fault. Its message is prose and may hold anything.
    """
    try:
        error = _REFUSALS.decode(body).error
    except msgspec.DecodeError:
        return "stripe.unreadable"
    return f"stripe.{error.code or '.'.join(each for each in (error.type, error.param) if each) or 'unreadable'}"


def found_of(body: bytes | msgspec.Raw) -> Found:
    """Any object. Raises `TerminalError` for what is none."""
    try:
        return _FOUND.decode(body)
    except msgspec.DecodeError as error:
        raise TerminalError(f"stripe answers what is no object: {error}") from error


def page_of(body: bytes) -> Page:
    """A page of a list. Raises `TerminalError` for what is none."""
    try:
        return _PAGES.decode(body)
    except msgspec.DecodeError as error:
        raise TerminalError(f"stripe answers what is no list: {error}") from error


def date_of(headers: httpx.Headers, *, otherwise: datetime) -> datetime:
    """The time at which a server answered, by its own clock (RFC 9110, 6.6.1), in whole seconds."""
    try:
        at = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return otherwise.replace(microsecond=0)
    return at.astimezone(UTC)


def facts_read(objects: Iterable[msgspec.Raw], payment_id: str, answered_at: datetime) -> tuple[Fact, ...]:
    """What objects of a payment say that were read no earlier than `answered_at`, in whole seconds.

    They are as of the end of the second before: whatever occurred until then was there to be read, and what occurs in
    the very second of the reading may have occurred after it, so that it must not be outweighed.
    """
    return _facts((raw, answered_at - timedelta(microseconds=1)) for raw in objects if _is_of(raw, payment_id))


def facts_made(raw: msgspec.Raw, payment_id: str, answered_at: datetime) -> tuple[Fact, ...]:
    """What an object says that an action has made or ended, as of then; a kept answer may be hours old.

    It is just before that second, and before every later reading (`answered_at` bounds it, because two machines' clocks
    differ): it outweighs no event of its own.
    """
    found = found_of(raw)
    made_at = datetime.fromtimestamp(found.canceled_at or found.created, UTC)
    at = min(made_at, answered_at) - timedelta(microseconds=2)
    return _facts([(raw, at)] if _is_of(raw, payment_id) else [])


def _is_of(raw: msgspec.Raw, payment_id: str) -> bool:
    """Whether an object belongs to a payment, which is an intent, or a charge without one."""
    found = found_of(raw)
    return payment_id == (
        found.id if found.object == "payment_intent" else found.payment_intent or found.charge or found.id
    )


def _facts(objects: Iterable[tuple[msgspec.Raw, datetime]]) -> tuple[Fact, ...]:
    """The facts of objects, one for each. Their ids name the object, the time and the content.

    Raises `TerminalError` for what cannot be read.
    """
    found: dict[str, Fact] = {}
    for raw, at in objects:
        fact = msgspec.structs.replace(_fact(raw), source="pull", fact_id="", occurred_at=at)
        content = hashlib.sha256(msgspec.json.encode(fact)).hexdigest()[:16]
        found.setdefault(fact.object, msgspec.structs.replace(fact, fact_id=f"stripe:pull:{fact.object_id}:{content}"))
    return tuple(found.values())


def _fact(raw: msgspec.Raw) -> Fact:
    seen = found_of(raw)
    if seen.object not in _TYPES:
        raise TerminalError(f"stripe answers a {seen.object[:40]!a} where an object about money belongs")
    envelope = _Envelope(id=f"read:{seen.id}", type=_TYPES[seen.object], created=seen.created, data={"object": raw})
    reading = stripe.read(msgspec.json.encode(envelope), headers={}, ref="")
    if isinstance(reading, Unreadable):
        raise TerminalError(f"stripe answers an object that cannot be read: {reading.code}: {reading.detail}")
    # What an object embeds is read on its own.
    return reading.facts[0]
