"""The parts of Stripe's objects that state something about money, strictly typed; every other field is skipped.

A decoder of its own per kind, because the envelope says which kind to expect and the rest is the cost of a message.
"""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from domain.errors import Rejection


class Expanded(msgspec.Struct):
    """An object in the place of its id (https://docs.stripe.com/expand)."""

    id: str


Reference = str | Expanded | None


class StripeObject(msgspec.Struct):
    """What every object about money has: `object` is what it calls itself, `amount` is in minor units."""

    object: str
    id: str
    amount: int
    currency: str


class Refund(StripeObject):
    """https://docs.stripe.com/api/refunds/object; old API versions have no `status`."""

    status: str | None = None
    charge: Reference = None
    payment_intent: Reference = None
    failure_reason: str | None = None


class RefundList(msgspec.Struct):
    data: list[Refund] = []


class Charge(StripeObject):
    """https://docs.stripe.com/api/charges/object; old API versions have no `status` and no `amount_captured`."""

    status: str | None = None
    paid: bool | None = None
    captured: bool | None = None
    amount_captured: int | None = None
    amount_refunded: int = 0
    refunded: bool = False
    customer: Reference = None
    payment_intent: Reference = None
    failure_code: str | None = None
    refunds: RefundList | None = None


class ChargeList(msgspec.Struct):
    data: list[Charge] = []


class PaymentError(msgspec.Struct):
    """`code` is Stripe's, `decline_code` the bank's (https://docs.stripe.com/declines/codes)."""

    code: str | None = None
    decline_code: str | None = None


class Intent(StripeObject):
    """https://docs.stripe.com/api/payment_intents/object; API version 2022-11-15 put `latest_charge` for `charges`."""

    status: str
    amount_capturable: int = 0
    amount_received: int | None = None
    customer: Reference = None
    last_payment_error: PaymentError | None = None
    cancellation_reason: str | None = None
    latest_charge: Reference = None
    charges: ChargeList | None = None


class Dispute(StripeObject):
    """https://docs.stripe.com/api/disputes/object; `charge` is always there, `payment_intent` in newer versions."""

    status: str
    charge: Reference = None
    payment_intent: Reference = None
    reason: str | None = None


class Payout(StripeObject):
    """https://docs.stripe.com/api/payouts/object; `failure_code` is set once it has failed."""

    status: str
    failure_code: str | None = None


ObjectT = TypeVar("ObjectT", bound=StripeObject)


class Data(msgspec.Struct):
    object: msgspec.Raw = msgspec.Raw(b"null")


class Event(msgspec.Struct):
    """The envelope. A thin event (`v2.core.event`) has its time in words and need not have an object."""

    id: str
    type: str
    created: int | Annotated[datetime, msgspec.Meta(tz=True)]
    data: Data | None = None

    @property
    def body(self) -> msgspec.Raw:
        """The object as sent, `null` if there is none."""
        return Data().object if self.data is None else self.data.object


class Named(msgspec.Struct):
    object: str = ""


INTENTS = msgspec.json.Decoder(Intent)
CHARGES = msgspec.json.Decoder(Charge)
REFUNDS = msgspec.json.Decoder(Refund)
DISPUTES = msgspec.json.Decoder(Dispute)
PAYOUTS = msgspec.json.Decoder(Payout)
_EVENTS = msgspec.json.Decoder(Event)
_NAMES = msgspec.json.Decoder(Named)


def decode_event(raw: bytes) -> Event:
    """The envelope of a message. Raises `Rejection` (`body.*`, `event.time_out_of_range`) or `RecursionError`."""
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        return _EVENTS.decode(raw)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except msgspec.ValidationError as error:
        raise _misshapen(error, out_of_range="event.time_out_of_range") from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the body is not JSON: {error}") from error


def decode_object(decoder: msgspec.json.Decoder[ObjectT], body: msgspec.Raw) -> ObjectT:
    """The object of an event. Raises `Rejection` (`body.wrong_shape`, `event.amount_out_of_range`)."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misshapen(error, out_of_range="event.amount_out_of_range", at=".data.object") from error


def object_name(body: msgspec.Raw) -> str:
    """What the object calls itself, e.g. `charge`; empty if it does not say."""
    try:
        return _NAMES.decode(body).object
    except msgspec.ValidationError:
        return ""


def _misshapen(error: msgspec.ValidationError, *, out_of_range: str, at: str = "") -> Rejection:
    """A wrong type, or the right type beyond what it can hold: only the decoder's sentence tells them apart."""
    sentence = str(error)
    # The decoder names no place for what is wrong with the whole.
    placed = sentence.replace("`$", f"`${at}", 1) if "`$" in sentence else f"{sentence} - at `${at}`"
    is_shape = sentence.startswith(("Expected", "Object missing"))
    return Rejection("body.wrong_shape" if is_shape else out_of_range, placed)
