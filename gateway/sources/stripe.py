"""Stripe: signed snapshot events (https://docs.stripe.com/api/events/object) as facts.

The object is believed, not the type, which only says why the snapshot was sent. An event whose type and object
contradict each other is not believed at all.
"""

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.ids import is_object_id
from domain.webhook import RecordSighting
from gateway.sources.port import DETAIL_CHARS_MAX, Reading, Unreadable
from gateway.sources.stripe_objects import (
    CHARGES,
    DISPUTES,
    INTENTS,
    PAYOUTS,
    REFUNDS,
    Charge,
    Event,
    Intent,
    ObjectT,
    Reference,
    Refund,
    decode_event,
    decode_object,
    object_name,
)
from gateway.sources.stripe_statuses import DISPUTE, PAYOUT, REFUND, charge_status, contradicts, intent_status, status_of

name = "stripe"

AMOUNT_MINOR_MAX = 10**15
OBJECTS_MAX = 200  # An embedded list holds ten (https://docs.stripe.com/api/pagination), so this is no event of Stripe's.
_SECONDS_MAX = 253_402_300_799  # The last second of year 9999, beyond which there is no datetime.

_TIMESTAMP_RE = re.compile(r"[0-9]{1,12}")
# An enum of Stripe's or a bank's return code; prose and e-mail addresses are none.
_CODE_RE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def verify(
    headers: Mapping[str, str], raw: bytes, *, secrets: Sequence[str], now: datetime, tolerance_s: int
) -> str | None:
    """Check `Stripe-Signature` (https://docs.stripe.com/webhooks#verify-manually). `None` if genuine.

    As in Stripe's libraries, a time is only ever too old, and that is looked at after the signature. Codes:
    `signature.missing`, `signature.malformed`, `signature.no_secret`, `signature.mismatch`, `signature.too_old`.
    """
    header = headers.get("stripe-signature")
    if not header:
        return "signature.missing"
    pairs = [(key.strip(), value.strip()) for key, _, value in (part.partition("=") for part in header.split(","))]
    signed_at = next((value for key, value in pairs if key == "t"), "")
    given = [value.encode(errors="replace") for key, value in pairs if key == "v1"]
    if not given or _TIMESTAMP_RE.fullmatch(signed_at) is None:
        return "signature.malformed"
    keys = [secret.encode() for secret in secrets if secret]  # Anyone can sign with an empty secret.
    if not keys:
        return "signature.no_secret"
    payload = signed_at.encode() + b"." + raw
    expected = [hmac.digest(key, payload, "sha256").hex().encode() for key in keys]
    if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in given):
        return "signature.mismatch"
    return "signature.too_old" if now.timestamp() - int(signed_at) > tolerance_s else None


def read(raw: bytes, *, ref: str) -> Reading | Unreadable:
    """The facts of an event about a payment intent, charge, refund, dispute or payout; a sighting of any other.

    The objects that an event embeds (an intent's charges, a charge's refunds) are facts of their own, and all of them
    are as of the time of the event.
    """
    try:
        event = decode_event(raw)
        occurred_at = _time(event.created)
        _object_id(event.id, "id")
        if not is_object_id(event.type):
            raise Rejection("event.type_malformed", f"type is no dotted name: {ascii(event.type[:40])}")
        read_object = _reader_of(event.type)
        if read_object is None:
            return _sighting(event, occurred_at, ref)
        draft = _Draft(event, occurred_at, ref)
        read_object(draft, event.body)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be an event")
    return Reading(
        event_id=event.id, event_type=event.type, facts=tuple(draft.facts), links=tuple(draft.links.items())
    )


def _sighting(event: Event, occurred_at: datetime, ref: str) -> Reading:
    seen = RecordSighting(source=name, event_id=event.id, event_type=event.type, occurred_at=occurred_at, raw=ref)
    return Reading(event_id=event.id, event_type=event.type, sighting=seen)


class _Draft:
    """The facts and links of one event while it is read. The first fact is of the event's own object."""

    def __init__(self, event: Event, occurred_at: datetime, ref: str) -> None:
        self.type = event.type
        self.occurred_at = occurred_at
        self.ref = ref
        self.facts: list[Fact] = []
        self.links: dict[str, str] = {}
        self._event_id = event.id

    def fact_id(self, object_id: str) -> str:
        return f"stripe:{self._event_id}#{object_id}" if self.facts else f"stripe:{self._event_id}"

    def add(self, fact: Fact) -> None:
        """Raises `Rejection` if the event's type contradicts its own object, or it embeds too many."""
        if not self.facts and contradicts(self.type, fact.status):
            raise _contradiction(f"{self.type} carries a {fact.kind} that is {fact.status}")
        if len(self.facts) == OBJECTS_MAX:
            raise Rejection("event.too_many_objects", f"the event embeds more than {OBJECTS_MAX} objects")
        self.facts.append(fact)

    def link(self, charge_id: str, intent_id: str) -> None:
        if charge_id and intent_id:
            self.links[charge_id] = intent_id


def _read_intent(draft: _Draft, body: msgspec.Raw) -> None:
    intent = _own_object(INTENTS, body, draft, "payment_intent")
    _expect(draft, intent.object, "payment_intent")
    payment_id = _object_id(intent.id, "data.object.id")
    status = intent_status(intent)
    amount_minor = _amount(intent.amount, "amount")
    capturable_minor = _amount(intent.amount_capturable, "amount_capturable")
    received_minor = amount_minor if intent.amount_received is None else _amount(intent.amount_received, "amount_received")
    has_funds = status in {"authorized", "captured"}
    charges = intent.charges.data if intent.charges is not None else []
    draft.add(
        Fact(
            fact_id=draft.fact_id(payment_id),
            provider=name,
            payment_id=payment_id,
            object="intent",
            status=status,
            occurred_at=draft.occurred_at,
            amount_minor=amount_minor,
            currency=_currency(intent.currency),
            authorized_minor=capturable_minor + received_minor if has_funds else 0,
            captured_minor=received_minor if has_funds else 0,
            customer_id=_reference(intent.customer, "customer"),
            reason=_intent_reason(intent, status),
            refers_to=_paying_charges(intent) if has_funds else (),
            raw=draft.ref,
        )
    )
    for charge in charges:
        _add_charge(draft, charge, intent_id=payment_id)
