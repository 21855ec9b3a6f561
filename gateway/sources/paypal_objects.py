"""The parts of PayPal's resources that state something about money, strictly typed; every other field is skipped.

One shape per kind of resource for both API versions: v1 says `state`, v2 `status`. The decoder takes what either says.
"""

from typing import TypeVar

import msgspec

from domain.errors import Rejection
from gateway.sources.paypal_values import Link, Money


class RelatedIds(msgspec.Struct):
    """https://developer.paypal.com/docs/api/payments/v2/#definition-related_ids."""

    order_id: str | None = None
    authorization_id: str | None = None
    capture_id: str | None = None


class SupplementaryData(msgspec.Struct):
    related_ids: RelatedIds | None = None


class StatusDetails(msgspec.Struct):
    reason: str | None = None


class Resource(msgspec.Struct):
    """What every resource has. Without an `update_time` the event's own time counts."""

    id: str | None = None
    status: str | None = None
    state: str | None = None
    update_time: str | None = None
    links: list[Link] = []

    @property
    def word(self) -> str:
        """PayPal's word for what has become of it, in capitals."""
        return (self.status or self.state or "").upper()


class Transaction(Resource):
    """An authorization, a capture, a sale or a refund (https://developer.paypal.com/docs/api/payments/v2/ and v1)."""

    amount: Money | None = None
    parent_payment: str | None = None
    sale_id: str | None = None
    capture_id: str | None = None
    supplementary_data: SupplementaryData | None = None
    status_details: StatusDetails | None = None
    reason_code: str | None = None

    @property
    def related(self) -> RelatedIds:
        data = self.supplementary_data
        return RelatedIds() if data is None or data.related_ids is None else data.related_ids


class Payments(msgspec.Struct):
    """What an order was paid with so far."""

    authorizations: list[Transaction] = []
    captures: list[Transaction] = []
    refunds: list[Transaction] = []


class PurchaseUnit(msgspec.Struct):
    amount: Money | None = None
    payments: Payments | None = None


class PayerInfo(msgspec.Struct):
    payer_id: str | None = None


class Payer(msgspec.Struct):
    """`payer_id` is PayPal's id of the account, in v1 under `payer_info`."""

    payer_id: str | None = None
    payer_info: PayerInfo | None = None


class Order(Resource):
    """An order of v2 (`purchase_units`), an order of v1 (`amount`), or a payment of v1 (`transactions`).

    https://developer.paypal.com/docs/api/orders/v2/#definition-order.
    """

    amount: Money | None = None
    parent_payment: str | None = None
    purchase_units: list[PurchaseUnit] = []
    transactions: list[PurchaseUnit] = []
    payer: Payer | None = None

    @property
    def payer_id(self) -> str | None:
        if self.payer is None:
            return None
        info = self.payer.payer_info
        return self.payer.payer_id or (None if info is None else info.payer_id)


class DisputedTransaction(msgspec.Struct):
    seller_transaction_id: str | None = None


class Outcome(msgspec.Struct):
    outcome_code: str | None = None


class Dispute(msgspec.Struct):
    """https://developer.paypal.com/docs/api/customer-disputes/v1/#definition-dispute."""

    dispute_id: str
    status: str
    dispute_amount: Money
    reason: str | None = None
    dispute_life_cycle_stage: str | None = None
    dispute_outcome: Outcome | None = None
    disputed_transactions: list[DisputedTransaction] = []
    update_time: str | None = None


class BatchHeader(msgspec.Struct):
    payout_batch_id: str
    batch_status: str
    amount: Money
    time_completed: str | None = None


class PayoutBatch(msgspec.Struct):
    """https://developer.paypal.com/docs/api/payments.payouts-batch/v1/."""

    batch_header: BatchHeader


class PayoutDetail(msgspec.Struct):
    amount: Money


class PayoutItem(msgspec.Struct):
    payout_item_id: str
    transaction_status: str
    payout_item: PayoutDetail
    time_processed: str | None = None


class Event(msgspec.Struct):
    """The envelope (https://developer.paypal.com/docs/api/webhooks/v1/#definition-event)."""

    id: str
    event_type: str
    create_time: str
    resource: msgspec.Raw = msgspec.Raw(b"null")


ResourceT = TypeVar("ResourceT", Transaction, Order, Dispute, PayoutBatch, PayoutItem)

TRANSACTIONS = msgspec.json.Decoder(Transaction)
ORDERS = msgspec.json.Decoder(Order)
DISPUTES = msgspec.json.Decoder(Dispute)
PAYOUT_BATCHES = msgspec.json.Decoder(PayoutBatch)
PAYOUT_ITEMS = msgspec.json.Decoder(PayoutItem)
_EVENTS = msgspec.json.Decoder(Event)


def decode_event(raw: bytes) -> Event:
    """The envelope of a message. Raises `Rejection` (`body.*`) or `RecursionError`."""
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        return _EVENTS.decode(raw)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", str(error)) from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the body is not JSON: {error}") from error


def decode_resource(decoder: msgspec.json.Decoder[ResourceT], body: msgspec.Raw) -> ResourceT:
    """The resource of an event. Raises `Rejection` (`body.wrong_shape`) or `RecursionError`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # The decoder names no place for what is wrong with the whole.
        sentence = str(error)
        placed = sentence.replace("`$", "`$.resource", 1) if "`$" in sentence else f"{sentence} - at `$.resource`"
        raise Rejection("body.wrong_shape", placed) from error
