"""PayPal: webhooks of its v1 and v2 APIs (https://developer.paypal.com/api/rest/webhooks/) as facts.

The resource is believed, not the type, which only says why it was sent. A type and a resource that contradict each
other are not believed at all.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from domain.errors import Rejection
from domain.fact import Fact
from domain.ids import is_object_id
from domain.webhook import RecordSighting
from gateway.sources.paypal_certificate import certificate_url, issuer_url, signing_key, with_issuer
from gateway.sources.paypal_objects import (
    DISPUTES,
    ORDERS,
    PAYOUT_BATCHES,
    PAYOUT_ITEMS,
    TRANSACTIONS,
    Event,
    Order,
    Payments,
    Resource,
    Transaction,
    decode_event,
    decode_resource,
)
from gateway.sources.paypal_statuses import (
    AUTHORIZATION,
    CAPTURE,
    ORDER,
    ORDER_V1,
    PAYMENT_V1,
    PAYOUT,
    REFUND,
    contradicts,
    dispute_status,
    status_of,
)
from gateway.sources.paypal_values import Money, code, instant, linked, money, object_id, reference
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

# What a source of this kind has beside `verify` and `read`: where the certificates are that a signature needs.
__all__ = ["acknowledgement", "certificate_url", "issuer_url", "name", "read", "verify", "with_issuer"]

name = "paypal"
acknowledgement = Acknowledgement(status=200)

ALGORITHM = "SHA256withRSA"
OBJECTS_MAX = 200

_SIGNATURE_RE = re.compile(r"[A-Za-z0-9+/]{1,2048}={0,2}")


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check PayPal's signature of the transmission (https://developer.paypal.com/api/rest/webhooks/rest/#verify).

    It is RSA over `<transmission id>|<transmission time>|<webhook id>|<CRC-32 of the body>`, so `trust.options` must
    name the `webhook_id`, and `trust.certificates` have what `certificate_url` points to. `trust.options["roots"]` and
    `["issuers"]` are PEM texts: whom to trust instead of the usual roots, and certificates that PayPal's URL lacks.

    Codes: `signature.missing`, `signature.malformed`, `signature.no_webhook_id`, `signature.certificate_missing`,
    `signature.certificate_untrusted`, `signature.mismatch`.
    """
    transmission_id = headers.get("paypal-transmission-id", "")
    transmitted_at = headers.get("paypal-transmission-time", "")
    given = headers.get("paypal-transmission-sig", "")
    if not (transmission_id and transmitted_at and given):
        return "signature.missing"
    url = certificate_url(headers)
    if not url or headers.get("paypal-auth-algo") != ALGORITHM or _SIGNATURE_RE.fullmatch(given) is None:
        return "signature.malformed"
    try:
        signature = base64.b64decode(given, validate=True)
        signed = f"{transmission_id}|{transmitted_at}|{trust.options.get('webhook_id', '')}|{zlib.crc32(raw)}".encode()
    except (binascii.Error, UnicodeEncodeError):
        return "signature.malformed"
    if not trust.options.get("webhook_id"):
        return "signature.no_webhook_id"
    if url not in trust.certificates:
        return "signature.certificate_missing"
    chain = trust.certificates[url] + b"\n" + trust.options.get("issuers", "").encode()
    key = signing_key(chain, roots=trust.options.get("roots", ""), now=now)
    if key is None:
        return "signature.certificate_untrusted"
    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return "signature.mismatch"
    return None


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """The facts of an event about an order, authorization, capture, sale, refund, dispute or payout; else a sighting.

    The payments that an order embeds are facts of their own.
    """
    try:
        return _read(decode_event(raw), ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be an event")


def _read(event: Event, ref: str) -> Reading:
    event_id = object_id(event.id, "id")
    event_type = event.event_type
    if not is_object_id(event_type):
        raise Rejection("event.type_malformed", f"event_type is no dotted name: {event_type[:40]!a}")
    draft = _Draft(event, instant(event.create_time, "create_time"), ref)
    read_resource = _READERS.get(event_type) or _READERS.get(event_type.rpartition(".")[0])
    if read_resource is None:
        seen = RecordSighting(source=name, event_id=event_id, event_type=event_type, occurred_at=draft.sent_at, raw=ref)
        return Reading(event_id=event_id, event_type=event_type, sighting=seen)
    read_resource(draft, event.resource)
    return Reading(event_id=event_id, event_type=event_type, facts=tuple(draft.facts), links=tuple(draft.links.items()))


class _Draft:
    """The facts and links of one event while it is read. The first fact is of the event's own resource."""

    def __init__(self, event: Event, sent_at: datetime, ref: str) -> None:
        self.type = event.event_type
        self.sent_at = sent_at
        self.ref = ref
        self.facts: list[Fact] = []
        self.links: dict[str, str] = {}
        self._event_id = event.id

    def add(
        self,
        payment_id: str,
        key: str,
        status: str,
        amount: tuple[int, str],
        at: str | None,
        *,
        customer_id: str = "",
        reason: str = "",
        refers_to: tuple[str, ...] = (),
    ) -> None:
        """Raises `Rejection` if the event's type contradicts its own resource, or it embeds too many."""
        kind, _, of_object = key.partition(":")
        if not self.facts and contradicts(self.type, status):
            raise _contradiction(f"{self.type} carries a {kind} that is {status}")
        if len(self.facts) == OBJECTS_MAX:
            raise Rejection("event.too_many_objects", f"the event embeds more than {OBJECTS_MAX} objects")
        amount_minor, currency = amount
        self.facts.append(
            Fact(
                fact_id=f"paypal:{self._event_id}#{of_object}" if self.facts else f"paypal:{self._event_id}",
                provider=name,
                payment_id=payment_id,
                object=key,
                status=status,
                occurred_at=instant(at, "the time of the status") if at else self.sent_at,
                amount_minor=amount_minor,
                currency=currency,
                authorized_minor=amount_minor if (kind, status) == ("charge", "authorized") else 0,
                captured_minor=amount_minor if (kind, status) == ("charge", "captured") else 0,
                customer_id=customer_id,
                reason=reason,
                refers_to=refers_to,
                raw=self.ref,
            )
        )

    def link(self, made: str, made_from: str) -> None:
        if made and made_from and made != made_from:
            self.links[made] = made_from


def _read_authorization(draft: _Draft, body: msgspec.Raw) -> None:
    _add_charge(draft, decode_resource(TRANSACTIONS, body), "authorization")


def _read_capture(draft: _Draft, body: msgspec.Raw) -> None:
    _add_charge(draft, decode_resource(TRANSACTIONS, body), "capture")


def _read_sale(draft: _Draft, body: msgspec.Raw) -> None:
    _add_charge(draft, decode_resource(TRANSACTIONS, body), "sale")


def _read_refund(draft: _Draft, body: msgspec.Raw) -> None:
    _add_refund(draft, decode_resource(TRANSACTIONS, body))


def _read_order(draft: _Draft, body: msgspec.Raw) -> None:
    """An order of v2 is a payment, and embeds what it was paid with."""
    order = decode_resource(ORDERS, body)
    _expect(draft, order, "order")
    order_id = object_id(order.id, "resource.id")
    paid = [unit.payments for unit in order.purchase_units if unit.payments is not None]
    status = _outcome(paid) if order.word == "COMPLETED" else status_of(ORDER, order.word, "order")
    customer_id = reference(order.payer_id, "payer_id")
    draft.add(order_id, "intent", status, _total(order), order.update_time, customer_id=customer_id)
    for payments in paid:
        for authorization in payments.authorizations:
            _add_charge(draft, authorization, "authorization", of_order=order_id)
        for capture in payments.captures:
            _add_charge(draft, capture, "capture", of_order=order_id)
        for refund in payments.refunds:
            _add_refund(draft, refund, of_order=order_id)


def _read_order_v1(draft: _Draft, body: msgspec.Raw) -> None:
    """An order of v1 reserves money for a payment."""
    order = decode_resource(ORDERS, body)
    _expect(draft, order, "order")
    order_id = object_id(order.id, "resource.id")
    payment_id = reference(order.parent_payment, "parent_payment")
    draft.link(order_id, payment_id)
    status = status_of(ORDER_V1, order.word, "order")
    draft.add(payment_id or order_id, "intent", status, _amount(order.amount, "order"), order.update_time)


def _read_payment_v1(draft: _Draft, body: msgspec.Raw) -> None:
    payment = decode_resource(ORDERS, body)
    _expect(draft, payment, "payment")
    payment_id = object_id(payment.id, "resource.id")
    status = status_of(PAYMENT_V1, payment.word, "payment")
    customer_id = reference(payment.payer_id, "payer_id")
    draft.add(payment_id, "intent", status, _total(payment), payment.update_time, customer_id=customer_id)


def _read_dispute(draft: _Draft, body: msgspec.Raw) -> None:
    """A dispute knows the capture or sale that it is about as the seller's transaction."""
    dispute = decode_resource(DISPUTES, body)
    dispute_id = object_id(dispute.dispute_id, "dispute_id")
    about = next((each.seller_transaction_id for each in dispute.disputed_transactions), None)
    charge_id = reference(about, "seller_transaction_id")
    draft.link(dispute_id, charge_id)
    draft.add(
        charge_id or dispute_id,
        f"dispute:{dispute_id}",
        dispute_status(dispute),
        _amount(dispute.dispute_amount, "dispute"),
        dispute.update_time,
        reason=code(dispute.reason),
        refers_to=(f"charge:{charge_id}",) if charge_id else (),
    )


def _read_payout_batch(draft: _Draft, body: msgspec.Raw) -> None:
    batch = decode_resource(PAYOUT_BATCHES, body).batch_header
    batch_id = object_id(batch.payout_batch_id, "payout_batch_id")
    word = batch.batch_status
    status = status_of(PAYOUT, word, "payout batch")
    amount = _amount(batch.amount, "payout batch")
    draft.add(batch_id, f"payout:{batch_id}", status, amount, batch.time_completed, reason=_why(word, status))


def _read_payout_item(draft: _Draft, body: msgspec.Raw) -> None:
    """One receiver's part of a batch is a payment of its own: each may fail alone."""
    item = decode_resource(PAYOUT_ITEMS, body)
    item_id = object_id(item.payout_item_id, "payout_item_id")
    word = item.transaction_status
    status = status_of(PAYOUT, word, "payout item")
    amount = _amount(item.payout_item.amount, "payout item")
    draft.add(item_id, f"payout:{item_id}", status, amount, item.time_processed, reason=_why(word, status))


# By type, or by a type's first two parts.
_READERS: Mapping[str, Callable[[_Draft, msgspec.Raw], None]] = {
    "PAYMENT.AUTHORIZATION": _read_authorization,
    "PAYMENT.CAPTURE": _read_capture,
    "PAYMENT.CAPTURE.REFUNDED": _read_refund,
    "PAYMENT.CAPTURE.REVERSED": _read_refund,
    "PAYMENT.SALE": _read_sale,
    "PAYMENT.SALE.REFUNDED": _read_refund,
    "PAYMENT.SALE.REVERSED": _read_refund,
    "PAYMENT.REFUND": _read_refund,
    "PAYMENT.ORDER": _read_order_v1,
    "PAYMENTS.PAYMENT": _read_payment_v1,
    "CHECKOUT.ORDER": _read_order,
    "CUSTOMER.DISPUTE": _read_dispute,
    "PAYMENT.PAYOUTSBATCH": _read_payout_batch,
    "PAYMENT.PAYOUTS-ITEM": _read_payout_item,
}
_WORDS = {"authorization": AUTHORIZATION, "capture": CAPTURE, "sale": CAPTURE}


def _add_charge(draft: _Draft, charge: Transaction, kind: str, *, of_order: str = "") -> None:
    """An authorization, capture or sale, under the highest id that the event knows of.

    Each is linked to the one object that it was made from, so that every event says the same of it: a capture of an
    authorization to that, and that to its order.
    """
    _expect(draft, charge, kind)
    charge_id = object_id(charge.id, f"the id of the {kind}")
    above, up = linked(charge.links, "up")
    authorization_id = up if above == "authorization" else ""
    if kind == "capture" and not up:
        authorization_id = reference(charge.related.authorization_id, "authorization_id")
    order_id = of_order or reference(charge.parent_payment, "parent_payment")
    order_id = order_id or (up if above == "order" else reference(charge.related.order_id, "order_id"))
    draft.link(charge_id, authorization_id or order_id)
    draft.link(authorization_id, order_id)
    status = status_of(_WORDS[kind], charge.word, kind)
    draft.add(
        order_id or authorization_id or charge_id,
        f"charge:{charge_id}",
        status,
        _amount(charge.amount, kind),
        charge.update_time,
        reason=_reason(charge),
    )


def _add_refund(draft: _Draft, refund: Transaction, *, of_order: str = "") -> None:
    """A refund, or a payment that PayPal reversed. It knows its capture or sale, and in v1 their payment.

    A v1 reversal knows neither, and is a payment under its own id until something else links it.
    """
    _expect(draft, refund, "refund")
    refund_id = object_id(refund.id, "the id of the refund")
    above, up = linked(refund.links, "up")
    named = refund.capture_id or refund.sale_id or (up if above == "capture" else refund.related.capture_id)
    charge_id = reference(named, "capture_id")
    payment_id = reference(refund.parent_payment, "parent_payment")
    draft.link(refund_id, charge_id or payment_id)
    draft.link(charge_id, payment_id)
    order_id = of_order or reference(refund.related.order_id, "order_id")
    draft.add(
        payment_id or order_id or charge_id or refund_id,
        f"refund:{refund_id}",
        status_of(REFUND, refund.word, "refund"),
        _amount(refund.amount, "refund"),
        refund.update_time,
        reason=_reason(refund) or ("REVERSED" if draft.type.endswith(".REVERSED") and not draft.facts else ""),
        refers_to=(f"charge:{charge_id}",) if charge_id else (),
    )


def _outcome(paid: Sequence[Payments]) -> str:
    """What came of an order from what its payments came to."""
    statuses = {status_of(AUTHORIZATION, each.word, "authorization") for part in paid for each in part.authorizations}
    statuses |= {status_of(CAPTURE, each.word, "capture") for part in paid for each in part.captures}
    for status in ("captured", "authorized"):
        if status in statuses:
            return status
    return "processing" if "pending" in statuses or not statuses else "failed"


def _expect(draft: _Draft, resource: Resource, kind: str) -> None:
    """A resource's link to itself says what it is: a sample of PayPal's has a capture in an event about an order."""
    found, _ = linked(resource.links, "self")
    if found not in {"", kind}:
        raise _contradiction(f"{draft.type} carries a {found} where a {kind} belongs")


def _contradiction(detail: str) -> Rejection:
    return Rejection("event.type_contradicts_object", detail)


def _amount(given: Money | None, kind: str) -> tuple[int, str]:
    if given is None:
        raise Rejection("body.wrong_shape", f"a {kind} has no amount")
    return money(given)


def _total(order: Order) -> tuple[int, str]:
    """The amount of an order of several units, which are of one currency."""
    amounts = [_amount(unit.amount, "purchase unit") for unit in order.purchase_units or order.transactions]
    currencies = {currency for _, currency in amounts}
    if len(currencies) != 1:
        raise Rejection("event.currency_malformed", f"an order has {len(currencies)} currencies where it has one")
    return sum(amount_minor for amount_minor, _ in amounts), currencies.pop()


def _reason(transaction: Transaction) -> str:
    details = transaction.status_details
    return code(details.reason if details is not None else transaction.reason_code)


def _why(word: str, status: str) -> str:
    """Why a payout failed: it was returned, blocked, reversed."""
    return code(word) if status == "failed" else ""
