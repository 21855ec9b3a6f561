"""What PayPal writes in every kind of object: ids, both shapes of money, times, reasons, links."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from domain.errors import Rejection
from domain.ids import is_object_id
from domain.money import exponent

AMOUNT_MINOR_MAX = 10**15
_YEAR_MIN = 1970

_VALUE_RE = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?")
_CURRENCY_RE = re.compile(r"[A-Z]{3}")
# A code of PayPal's; prose and e-mail addresses are none.
_CODE_RE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# https://api.paypal.com/v2/payments/captures/2GG279541U471931P: what it is and its id.
_RESOURCE_RE = re.compile(r"https://[a-z0-9.-]+/v[0-9]/(?:payments|checkout)/([a-z-]+)/([A-Za-z0-9-]{1,100})")
_KINDS = {
    "authorization": "authorization",
    "authorizations": "authorization",
    "capture": "capture",
    "captures": "capture",
    "order": "order",
    "orders": "order",
    "payment": "payment",
    "refund": "refund",
    "refunds": "refund",
    "sale": "sale",
}

_TIMES = Annotated[datetime, msgspec.Meta(tz=True)]


class Money(msgspec.Struct):
    """An amount as decimals in words: `total` and `currency` in v1, `value` and `currency_code` in v2.

    Payouts and old disputes mix the two.
    """

    value: str | None = None
    total: str | None = None
    currency_code: str | None = None
    currency: str | None = None


class Link(msgspec.Struct):
    """https://developer.paypal.com/api/rest/responses/#hateoas-links; `up` is what an object was made from."""

    href: str = ""
    rel: str = ""


def money(given: Money) -> tuple[int, str]:
    """The amount in minor units without its sign, and its currency. A refund is negative in some v1 events.

    Raises:
        Rejection: `event.currency_malformed`; `event.amount_malformed` for what is no decimal, or more precise than
            the currency; `event.amount_out_of_range`.
    """
    currency = given.currency_code or given.currency or ""
    if _CURRENCY_RE.fullmatch(currency) is None:
        raise Rejection("event.currency_malformed", f"currency is not three capitals: {currency[:40]!a}")
    text = given.value or given.total or ""
    if _VALUE_RE.fullmatch(text) is None:
        raise Rejection("event.amount_malformed", f"an amount is no decimal: {text[:40]!a}")
    amount = abs(Decimal(text)).scaleb(exponent(currency))
    if amount != int(amount):
        raise Rejection("event.amount_malformed", f"{text[:40]} is a fraction of the smallest unit of {currency}")
    if amount > AMOUNT_MINOR_MAX:
        raise Rejection("event.amount_out_of_range", f"an amount is above {AMOUNT_MINOR_MAX} minor units")
    return int(amount), currency


def instant(text: str, field: str) -> datetime:
    """A time of RFC 3339, in UTC. PayPal's simulator sends months above 12.

    Raises `Rejection`: `event.time_malformed` for what is none or has no offset, `event.time_out_of_range`.
    """
    try:
        told: datetime = msgspec.convert(text, _TIMES)
        at = told.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Rejection("event.time_malformed", f"{field} is no time with an offset: {text[:40]!a}") from error
    if at.year < _YEAR_MIN:
        raise Rejection("event.time_out_of_range", f"{field} is before {_YEAR_MIN}")
    return at


def object_id(text: str | None, field: str) -> str:
    """An id that must be there. Raises `Rejection("event.id_malformed")`."""
    if not text or not is_object_id(text):
        raise Rejection("event.id_malformed", f"{field} is no id: {(text or '')[:40]!a}")
    return text


def reference(text: str | None, field: str) -> str:
    """An id that may be missing, then empty. Raises `Rejection("event.id_malformed")`."""
    return object_id(text, field) if text else ""


def code(text: str | None) -> str:
    """A reason's code; empty for prose, which may hold a name. What was said of the money counts without its reason."""
    return text if text and _CODE_RE.fullmatch(text) else ""


def linked(links: list[Link], rel: str) -> tuple[str, str]:
    """The kind and id of the object that a link leads to, e.g. `("capture", "2GG...")`; empty where there is none."""
    for link in links:
        if link.rel == rel and (found := _RESOURCE_RE.fullmatch(link.href)) is not None:
            return _KINDS.get(found[1], ""), found[2]
    return "", ""
