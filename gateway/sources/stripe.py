"""Stripe: signed snapshot events (https://docs.stripe.com/api/events/object) as facts.

The object is believed, not the type, which only says why the snapshot was sent. An event whose type and object
contradict each other is not believed at all.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.ids import is_object_id
from domain.webhook import RecordSighting
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable
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
from gateway.sources.stripe_statuses import (
    DISPUTE,
    PAYOUT,
    REFUND,
    charge_status,
    contradicts,
    intent_status,
    status_of,
)

name = "stripe"
acknowledgement = Acknowledgement()

AMOUNT_MINOR_MAX = 10**15
# An embedded list holds ten objects at most (https://docs.stripe.com/api/pagination).
OBJECTS_MAX = 200
_SECONDS_MAX = 253_402_300_799  # The last second of year 9999, beyond which there is no datetime.

_TIMESTAMP_RE = re.compile(r"[0-9]{1,12}")
# An enum of Stripe's or a bank's return code; prose and e-mail addresses are none.
_CODE_RE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
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
    keys = [secret.encode() for secret in trust.secrets if secret]  # Anyone can sign with an empty secret.
    if not keys:
        return "signature.no_secret"
    payload = signed_at.encode() + b"." + raw
    expected = [hmac.digest(key, payload, "sha256").hex().encode() for key in keys]
    if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in given):
        return "signature.mismatch"
    return "signature.too_old" if now.timestamp() - int(signed_at) > trust.tolerance_s else None


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """The facts of an event about a payment intent, charge, refund, dispute or payout; a sighting of any other.

    The objects that an event embeds (an intent's charges, a charge's refunds) are facts of their own, and all of them
    are as of the time of the event.
    """
    try:
        return _read(decode_event(raw), ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be an event")


def _read(event: Event, ref: str) -> Reading:
    event_id = _object_id(event.id, "id")
    event_type = _event_type(event.type)
    occurred_at = _time(event.created)
    read_object = _reader_of(event_type)
    if read_object is None:
        seen = RecordSighting(source=name, event_id=event_id, event_type=event_type, occurred_at=occurred_at, raw=ref)
        return Reading(event_id=event_id, event_type=event_type, sighting=seen)
    draft = _Draft(event, occurred_at, ref)
    read_object(draft, event.body)
    return Reading(event_id=event_id, event_type=event_type, facts=tuple(draft.facts), links=tuple(draft.links.items()))


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
    intent = _own_object(draft, INTENTS, body, "payment_intent")
    payment_id = _object_id(intent.id, "data.object.id")
    status = intent_status(intent)
    amount_minor = _amount(intent.amount, "amount")
    received_minor = _received(intent, status)
    capturable_minor = _amount(intent.amount_capturable, "amount_capturable")
    has_funds = status in {"authorized", "captured"}
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
            refers_to=_charges_of(intent) if has_funds else (),
            raw=draft.ref,
        )
    )
    for charge in intent.charges.data if intent.charges is not None else ():
        _add_charge(draft, charge, of_intent=payment_id)


def _read_charge(draft: _Draft, body: msgspec.Raw) -> None:
    charge = _own_object(draft, CHARGES, body, "charge")
    if draft.type == "charge.refunded" and not (charge.refunded or charge.amount_refunded > 0):
        raise _contradiction("charge.refunded carries a charge of which nothing was refunded")
    _add_charge(draft, charge)


def _read_refund(draft: _Draft, body: msgspec.Raw) -> None:
    _add_refund(draft, _own_object(draft, REFUNDS, body, "refund"))


def _read_dispute(draft: _Draft, body: msgspec.Raw) -> None:
    dispute = _own_object(draft, DISPUTES, body, "dispute")
    dispute_id = _object_id(dispute.id, "data.object.id")
    charge_id = _reference(dispute.charge, "charge")
    intent_id = _reference(dispute.payment_intent, "payment_intent")
    draft.link(charge_id, intent_id)
    draft.add(
        Fact(
            fact_id=draft.fact_id(dispute_id),
            provider=name,
            payment_id=intent_id or charge_id or dispute_id,
            object=f"dispute:{dispute_id}",
            status=status_of(DISPUTE, dispute.status, "dispute"),
            occurred_at=draft.occurred_at,
            amount_minor=_amount(dispute.amount, "amount"),
            currency=_currency(dispute.currency),
            reason=_code(dispute.reason),
            refers_to=_grounds(charge_id, intent_id),
            raw=draft.ref,
        )
    )


def _read_payout(draft: _Draft, body: msgspec.Raw) -> None:
    """A payout pays out many payments at once, so it is a payment of its own."""
    payout = _own_object(draft, PAYOUTS, body, "payout")
    payout_id = _object_id(payout.id, "data.object.id")
    draft.add(
        Fact(
            fact_id=draft.fact_id(payout_id),
            provider=name,
            payment_id=payout_id,
            object=f"payout:{payout_id}",
            status=status_of(PAYOUT, payout.status, "payout"),
            occurred_at=draft.occurred_at,
            amount_minor=_amount(payout.amount, "amount"),
            currency=_currency(payout.currency),
            reason=_code(payout.failure_code),
            raw=draft.ref,
        )
    )


_READERS: Mapping[str, Callable[[_Draft, msgspec.Raw], None]] = {
    "payment_intent": _read_intent,
    "charge": _read_charge,
    "charge.refund": _read_refund,
    "charge.dispute": _read_dispute,
    "refund": _read_refund,
    "payout": _read_payout,
}


def _reader_of(event_type: str) -> Callable[[_Draft, msgspec.Raw], None] | None:
    """Who reads the objects of a type, by its longest known prefix; `None` if it states nothing about money."""
    prefix = event_type.rpartition(".")[0]
    while prefix and prefix not in _READERS:
        prefix = prefix.rpartition(".")[0]
    return _READERS.get(prefix)


def _add_charge(draft: _Draft, charge: Charge, *, of_intent: str = "") -> None:
    """A charge, and the refunds that it embeds. Without an intent it is a payment under its own id."""
    _expect(draft, charge.object, "charge")
    charge_id = _object_id(charge.id, "the charge's id")
    intent_id = _owner(_reference(charge.payment_intent, "payment_intent"), of_intent)
    status = charge_status(charge, draft.type)
    amount_minor = _amount(charge.amount, "amount")
    captured_minor = (
        amount_minor if charge.amount_captured is None else _amount(charge.amount_captured, "amount_captured")
    )
    # Of a hold that is captured in part, Stripe counts the rest as refunded: money that was never taken
    # (recorded in woocommerce-gateway-stripe#1073: 20675 held, 20300 received, 375 "refunded").
    released_minor = amount_minor - captured_minor if status == "captured" else 0
    draft.link(charge_id, intent_id)
    draft.add(
        Fact(
            fact_id=draft.fact_id(charge_id),
            provider=name,
            payment_id=intent_id or charge_id,
            object=f"charge:{charge_id}",
            status=status,
            occurred_at=draft.occurred_at,
            amount_minor=amount_minor,
            currency=_currency(charge.currency),
            authorized_minor=amount_minor if status in {"authorized", "captured"} else 0,
            captured_minor=captured_minor if status == "captured" else 0,
            refunded_minor=max(_amount(charge.amount_refunded, "amount_refunded") - released_minor, 0),
            customer_id=_reference(charge.customer, "customer"),
            reason=_code(charge.failure_code),
            refers_to=("intent",) if intent_id else (),
            raw=draft.ref,
        )
    )
    for refund in charge.refunds.data if charge.refunds is not None else ():
        _add_refund(draft, refund, of_charge=charge_id, of_intent=intent_id)


def _add_refund(draft: _Draft, refund: Refund, *, of_charge: str = "", of_intent: str = "") -> None:
    """A refund, under the intent or else the charge that it names.

    One that names neither returns money that no charge took (a customer's cash balance): a payment under its own id.
    One without a status is from an API version in which every refund had succeeded.
    """
    _expect(draft, refund.object, "refund")
    refund_id = _object_id(refund.id, "the refund's id")
    charge_id = _owner(_reference(refund.charge, "charge"), of_charge)
    intent_id = _owner(_reference(refund.payment_intent, "payment_intent"), of_intent)
    draft.link(charge_id, intent_id)
    draft.add(
        Fact(
            fact_id=draft.fact_id(refund_id),
            provider=name,
            payment_id=intent_id or charge_id or refund_id,
            object=f"refund:{refund_id}",
            status="succeeded" if refund.status is None else status_of(REFUND, refund.status, "refund"),
            occurred_at=draft.occurred_at,
            amount_minor=_amount(refund.amount, "amount"),
            currency=_currency(refund.currency),
            reason=_code(refund.failure_reason),
            refers_to=_grounds(charge_id, intent_id),
            raw=draft.ref,
        )
    )


def _own_object(draft: _Draft, decoder: msgspec.json.Decoder[ObjectT], body: msgspec.Raw, kind: str) -> ObjectT:
    """The event's own object. One that does not fit because it is of another kind is a contradiction."""
    try:
        decoded = decode_object(decoder, body)
    except Rejection:
        _expect(draft, object_name(body) or kind, kind)
        raise
    _expect(draft, decoded.object, kind)
    return decoded


def _expect(draft: _Draft, found: str, kind: str) -> None:
    if found != kind:
        raise _contradiction(f"{draft.type} carries a {found[:40]!a} where a {kind} belongs")


def _contradiction(detail: str) -> Rejection:
    return Rejection("event.type_contradicts_object", detail)


def _received(intent: Intent, status: str) -> int:
    if intent.amount_received is None:
        return intent.amount if status == "captured" else 0
    return _amount(intent.amount_received, "amount_received")


def _charges_of(intent: Intent) -> tuple[str, ...]:
    """The attempts that an intent with funds rests on."""
    latest = _reference(intent.latest_charge, "latest_charge")
    if latest:
        return (f"charge:{latest}",)
    return tuple(f"charge:{charge.id}" for charge in intent.charges.data) if intent.charges is not None else ()


def _intent_reason(intent: Intent, status: str) -> str:
    """Why it failed or was canceled; the bank's own code before Stripe's general one."""
    error = intent.last_payment_error
    if status == "failed" and error is not None:
        return _code(error.decline_code or error.code)
    return _code(intent.cancellation_reason) if status == "canceled" else ""


def _grounds(charge_id: str, intent_id: str) -> tuple[str, ...]:
    """What must have been paid before it can be returned or disputed."""
    charge = (f"charge:{charge_id}",) if charge_id else ()
    return (*charge, "intent") if intent_id else charge


def _owner(named: str, embedding: str) -> str:
    """Whose an object is: the one that it names, or the one in which it is embedded."""
    if named and embedding and named != embedding:
        raise Rejection("event.embedded_elsewhere", f"an object of {named} is embedded in {embedding}")
    return named or embedding


def _event_type(text: str) -> str:
    if not is_object_id(text):
        raise Rejection("event.type_malformed", f"type is no dotted name: {text[:40]!a}")
    return text


def _object_id(text: str, field: str) -> str:
    if not is_object_id(text):
        raise Rejection("event.id_malformed", f"{field} is no id: {text[:40]!a}")
    return text


def _reference(given: Reference, field: str) -> str:
    """The id in a field, whether it stands alone or in the expanded object; empty if there is none."""
    if given is None:
        return ""
    return _object_id(given if isinstance(given, str) else given.id, field)


def _amount(amount_minor: int, field: str) -> int:
    if not 0 <= amount_minor <= AMOUNT_MINOR_MAX:
        raise Rejection("event.amount_out_of_range", f"{field} is not between 0 and {AMOUNT_MINOR_MAX}")
    return amount_minor


def _currency(code: str) -> str:
    if len(code) != 3 or not code.isascii() or not code.isalpha():  # noqa: PLR2004 - ISO 4217 codes have three letters
        raise Rejection("event.currency_malformed", f"currency is not three letters: {code[:40]!a}")
    return code.upper()


def _code(text: str | None) -> str:
    """A reason's code; empty for prose, which may hold a name. What was said of the money counts without its reason."""
    return text if text and _CODE_RE.fullmatch(text) else ""


def _time(created: int | datetime) -> datetime:
    seconds = created if isinstance(created, int) else created.timestamp()
    if not 0 <= seconds <= _SECONDS_MAX:
        raise Rejection("event.time_out_of_range", "created is no time between 1970 and 9999")
    return datetime.fromtimestamp(created, UTC) if isinstance(created, int) else created.astimezone(UTC)
