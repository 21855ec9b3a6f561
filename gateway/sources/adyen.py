"""Adyen: classic notifications (https://docs.adyen.com/development-resources/webhooks) as facts.

A payment is known by the `pspReference` of its authorisation. A modification has one of its own, and names the payment
in `originalReference`.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec

from domain.errors import Rejection
from domain.fact import Fact
from domain.webhook import RecordSighting
from gateway.sources.adyen_events import EFFECTS, Effect, effect_of, reason_of, status_of
from gateway.sources.adyen_items import Item, SignedItem, decode_item, decode_notification, decode_signed
from gateway.sources.adyen_signature import is_authorized, is_signed, keys_of
from gateway.sources.adyen_values import code, instant, money, reference
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Aimed, Reading, Trust, Unreadable

name = "adyen"
# Within ten seconds, or the whole queue waits (https://docs.adyen.com/development-resources/webhooks/troubleshoot).
acknowledgement = Acknowledgement(status=200, body="[accepted]", media_type="text/plain", within_s=8.0)

_DIGEST_CHARS = 12


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check the signature of every item (https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures).

    What else an item says, its time above all, is not signed: with the option `basic_auth` (`user:password`, as in
    Adyen's settings of the webhook) nobody else can send it with another. Codes: `signature.wrong_credentials`,
    `signature.no_secret`, `signature.malformed`, `signature.missing`, `signature.mismatch`.
    """
    if not is_authorized(headers, trust):
        return "signature.wrong_credentials"
    keys = keys_of(trust.secrets)
    if not keys:
        return "signature.no_secret"
    try:
        items = [decode_signed(item) for item in decode_notification(raw)]
        signed = [(_signed_text(item), item.additional_data and item.additional_data.signature) for item in items]
    except Rejection:
        return "signature.malformed"
    if not all(signature for _, signature in signed):
        return "signature.missing"
    is_genuine = all(is_signed(text.encode(), signature or "", keys) for text, signature in signed)
    return None if is_genuine else "signature.mismatch"


def _signed_text(item: SignedItem) -> str:
    """The eight signed fields, joined by colons that nothing escapes.

    Raises `Rejection("event.field_malformed")` for a colon in any field but `merchantReference`: with those free of
    colons, the text can be split in one way only, and a signature cannot be carried over to other fields.
    """
    value, currency = (str(item.amount.value), item.amount.currency) if item.amount else ("", "")
    success = str(item.success).lower() if isinstance(item.success, bool) else item.success
    before = [item.psp_reference, item.original_reference or "", item.merchant_account_code or ""]
    after = [value, currency, item.event_code, success]
    if any(":" in field for field in (*before, *after)):
        raise Rejection("event.field_malformed", "a signed field has a colon in it")
    return ":".join([*before, item.merchant_reference or "", *after])


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """The facts of a notification's items; sightings of those that state nothing. A bad item spoils no other."""
    return read_items(raw, ref, EFFECTS)


def read_items(raw: bytes, ref: str, effects: Mapping[str, Effect]) -> Reading | Unreadable:
    """What the items say, if event codes mean these effects. The first bad item's reason stands for all of them."""
    try:
        items = decode_notification(raw)
    except Rejection as rejection:
        return _unreadable(rejection)
    readings: list[Reading] = []
    refused: Unreadable | None = None
    for item in items:
        try:
            readings.append(_read_item(decode_item(item), ref, effects))
        except Rejection as rejection:
            refused = refused or _unreadable(rejection)
    if not readings:
        assert refused is not None, "a notification has an item, and it was read or refused"
        return refused
    return readings[0] if len(items) == 1 else _together(readings, refused)


def _unreadable(rejection: Rejection) -> Unreadable:
    return Unreadable(code=rejection.code, detail=rejection.detail[:DETAIL_CHARS_MAX])


def _together(readings: list[Reading], refused: Unreadable | None) -> Reading:
    """One reading of several; the sightings among them become commands, because a reading has room for one."""
    facts = {fact.fact_id: fact for reading in readings for fact in reading.facts}
    links = {link: None for reading in readings for link in reading.links}
    seen = {reading.event_id: reading.sighting for reading in readings if reading.sighting is not None}
    return Reading(
        event_id=readings[0].event_id,
        event_type=readings[0].event_type,
        facts=tuple(facts.values()),
        links=tuple(links),
        commands=tuple(
            Aimed(category="webhook", key=f"{name}/{event_id}", command=sighting, command_id=event_id)
            for event_id, sighting in seen.items()
        ),
        refused=refused,
    )


def _read_item(item: Item, ref: str, effects: Mapping[str, Effect]) -> Reading:
    event_type = _event_code(item.event_code)
    own = reference(item.psp_reference, "pspReference")
    event_id = f"{event_type}:{own}"
    occurred_at = instant(item.event_date, "eventDate")
    effect = effect_of(item, effects)
    status = status_of(item, effect) if effect is not None else ""
    if effect is None or not status:
        seen = RecordSighting(source=name, event_id=event_id, event_type=event_type, occurred_at=occurred_at, raw=ref)
        return Reading(event_id=event_id, event_type=event_type, sighting=seen)
    original = reference(item.original_reference, "originalReference") if item.original_reference else ""
    fact = _fact(item, effect, status, own, original, occurred_at, ref)
    # Some events of a dispute come without its payment; those that name it bring the others along.
    is_link = effect.kind == "dispute" and original not in {"", own}
    return Reading(event_id=event_id, event_type=event_type, facts=(fact,), links=((own, original),) if is_link else ())


def _fact(item: Item, effect: Effect, status: str, own: str, original: str, occurred_at: datetime, ref: str) -> Fact:
    """The fact of one item. Raises `Rejection` for what is missing or malformed."""
    if item.amount is None:
        raise Rejection("event.amount_missing", f"{item.event_code} has no amount")
    if not original and item.event_code in _OF_ANOTHER:
        raise Rejection("event.original_missing", f"{item.event_code} does not name its payment in originalReference")
    amount_minor, currency = money(item.amount)
    payment_id = original or own
    # The payment's own object, or the modification's; a payout's events name it as a modification names its payment.
    object_id = payment_id if effect.kind == "payout" else own
    fact = Fact(
        fact_id="",
        provider=name,
        payment_id=payment_id,
        object="intent" if effect.kind == "intent" else f"{effect.kind}:{object_id}",
        status=status,
        occurred_at=occurred_at,
        amount_minor=amount_minor,
        currency=currency,
        authorized_minor=amount_minor if status in {"authorized", "captured"} else 0,
        captured_minor=amount_minor if status == "captured" else 0,
        customer_id=_customer(item),
        reason=reason_of(item, effect),
        refers_to=("intent",) if original and effect.kind not in {"intent", "payout"} else (),
        raw=ref,
    )
    return msgspec.structs.replace(fact, fact_id=f"{name}:{item.event_code}:{own}:{_digest(fact)}")


# What cannot be of a payment of its own.
_OF_ANOTHER = frozenset(
    "AUTHORISATION_ADJUSTMENT CANCELLATION TECHNICAL_CANCEL CANCEL_OR_REFUND CAPTURE CAPTURE_FAILED".split()
)


def _digest(fact: Fact) -> str:
    """Names a fact by its content. Adyen calls two items duplicates if their event code and pspReference are the same.

    "The eventDate and other fields can be different", and the latest counts
    (https://docs.adyen.com/development-resources/webhooks/handle-webhook-events). So the same again is the same fact,
    and a correction, or a capture that was tried again, is another one of which the fold takes the latest.
    """
    content = (fact.status, fact.occurred_at.isoformat(), fact.amount_minor, fact.currency, fact.reason)
    text = "\n".join(map(str, (*content, fact.customer_id)))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]


def _event_code(text: str) -> str:
    if not text.isascii() or not text.replace("_", "").isalnum() or len(text) > _EVENT_CODE_CHARS_MAX:
        raise Rejection("event.type_malformed", f"eventCode is no code: {text[:40]!a}")
    return text


_EVENT_CODE_CHARS_MAX = 64


def _customer(item: Item) -> str:
    """The merchant's own id of the shopper, which "must not include personally identifiable information"."""
    data = item.data
    return code(data.shopper or data.tokenized_shopper or data.recurring_shopper)
