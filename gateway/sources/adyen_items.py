"""The items of Adyen's classic notifications, strictly typed; every field that is not named here is skipped.

https://docs.adyen.com/api-explorer/Webhooks/1/overview describes them.
"""

from typing import TypeVar

import msgspec

from domain.errors import Rejection
from gateway.sources.adyen_values import Amount

# One in JSON, six at most in any format (https://docs.adyen.com/development-resources/webhooks/webhook-types).
ITEMS_MAX = 100


class SignedData(msgspec.Struct):
    signature: str | None = msgspec.field(default=None, name="hmacSignature")


class SignedItem(msgspec.Struct, rename="camel"):
    """The fields that the signature covers, and the signature."""

    psp_reference: str
    event_code: str
    success: bool | str
    merchant_account_code: str | None = None
    original_reference: str | None = None
    merchant_reference: str | None = None
    amount: Amount | None = None
    additional_data: SignedData | None = None


class ItemData(msgspec.Struct):
    """What of `additionalData` is read. None of it is signed."""

    action: str | None = msgspec.field(default=None, name="modification.action")
    dispute_status: str | None = msgspec.field(default=None, name="disputeStatus")
    dispute_code: str | None = msgspec.field(default=None, name="chargebackReasonCode")
    dispute_scheme: str | None = msgspec.field(default=None, name="chargebackSchemeCode")
    shopper: str | None = msgspec.field(default=None, name="shopperReference")
    tokenized_shopper: str | None = msgspec.field(default=None, name="tokenization.shopperReference")
    recurring_shopper: str | None = msgspec.field(default=None, name="recurring.shopperReference")


class Item(msgspec.Struct, rename="camel"):
    """What an item says. `event_date` and `reason` are not signed either."""

    psp_reference: str
    event_code: str
    success: bool | str
    event_date: str
    original_reference: str | None = None
    amount: Amount | None = None
    reason: str | None = None
    additional_data: ItemData | None = None

    @property
    def data(self) -> ItemData:
        return self.additional_data or ItemData()


class Wrapped(msgspec.Struct):
    item: msgspec.Raw = msgspec.field(name="NotificationRequestItem")


class Notification(msgspec.Struct, rename="camel"):
    notification_items: list[Wrapped]


ItemT = TypeVar("ItemT", Item, SignedItem)

_NOTIFICATIONS = msgspec.json.Decoder(Notification)
_ITEMS = msgspec.json.Decoder(Item)
_SIGNED_ITEMS = msgspec.json.Decoder(SignedItem)


def decode_notification(raw: bytes) -> list[msgspec.Raw]:
    """The items of a body, at least one. Raises `Rejection` (`body.*`)."""
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        wrapped = _NOTIFICATIONS.decode(raw).notification_items
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", str(error)) from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Rejection("body.too_deep", "the body is nested too deeply to be a notification") from error
    if not 0 < len(wrapped) <= ITEMS_MAX:
        raise Rejection("body.wrong_shape", f"a notification has 1 to {ITEMS_MAX} items, not {len(wrapped)}")
    return [each.item for each in wrapped]


def decode_item(raw: msgspec.Raw) -> Item:
    """What an item says. Raises `Rejection("event.wrong_shape")`.

    Not `body.*`: that would be answered 400, and Adyen holds back everything behind a notification that it must send
    again (https://docs.adyen.com/development-resources/webhooks/troubleshoot).
    """
    return _decoded(_ITEMS, raw)


def decode_signed(raw: msgspec.Raw) -> SignedItem:
    """What of an item is signed. Raises `Rejection("event.wrong_shape")`."""
    return _decoded(_SIGNED_ITEMS, raw)


def _decoded(decoder: msgspec.json.Decoder[ItemT], raw: msgspec.Raw) -> ItemT:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        sentence = str(error).replace("`$", "`$.NotificationRequestItem", 1)
        raise Rejection("event.wrong_shape", sentence) from error
    except RecursionError as error:
        raise Rejection("event.wrong_shape", "the item is nested too deeply") from error
