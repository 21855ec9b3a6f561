"""What Adyen writes in both of its kinds of webhooks: references, amounts, times, reasons."""

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from domain.errors import Rejection
from domain.ids import is_object_id
from domain.money import exponent

AMOUNT_MINOR_MAX = 10**15
_YEAR_MIN = 1970

# Where the decimals are not those of `domain.money` (https://docs.adyen.com/development-resources/currency-codes).
_DECIMALS = {"CLP": 2, "CVE": 0, "IDR": 0, "UGX": 0}

_CURRENCY_RE = re.compile(r"[A-Z]{3}")
_VALUE_RE = re.compile(r"-?[0-9]{1,18}")
# A code of Adyen's or of a card scheme; prose and e-mail addresses are none.
_CODE_RE = re.compile(r"[A-Za-z0-9_.-]{1,100}")

_TIMES = Annotated[datetime, msgspec.Meta(tz=True)]


class Amount(msgspec.Struct):
    """`value` is in Adyen's minor units, a number or, in some notifications, a text."""

    currency: str
    value: int | str


def money(amount: Amount) -> tuple[int, str]:
    """The amount in our minor units, and its currency.

    Raises:
        Rejection: `event.currency_malformed`; `event.amount_malformed` for what is no whole number of our units;
            `event.amount_out_of_range`.
    """
    if _CURRENCY_RE.fullmatch(amount.currency) is None:
        raise Rejection("event.currency_malformed", f"currency is not three capitals: {amount.currency[:40]!a}")
    if _VALUE_RE.fullmatch(str(amount.value)) is None:
        raise Rejection("event.amount_malformed", "value is no whole number of at most 18 digits")
    value = int(amount.value)
    ours = exponent(amount.currency)
    theirs = _DECIMALS.get(amount.currency, ours)
    amount_minor, rest = divmod(value * 10 ** max(ours - theirs, 0), 10 ** max(theirs - ours, 0))
    if rest:
        raise Rejection("event.amount_malformed", f"value is a fraction of the smallest unit of {amount.currency}")
    if not 0 <= amount_minor <= AMOUNT_MINOR_MAX:
        raise Rejection("event.amount_out_of_range", f"value is not between 0 and {AMOUNT_MINOR_MAX} minor units")
    return amount_minor, amount.currency


def instant(text: str, field: str) -> datetime:
    """An ISO 8601 time with its offset, in UTC.

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


def reference(text: str, field: str) -> str:
    """An id of Adyen's. Raises `Rejection("event.id_malformed")`, also for one with the colon that joins signed fields.

    A colon in one field and not in the next would be the same signed text with another meaning.
    """
    if not is_object_id(text) or ":" in text:
        raise Rejection("event.id_malformed", f"{field} is no reference: {text[:40]!a}")
    return text


def code(text: str | None) -> str:
    """A reason's code; empty for prose, which may hold a name. What was said of the money counts without its reason."""
    return text if text and _CODE_RE.fullmatch(text) else ""
