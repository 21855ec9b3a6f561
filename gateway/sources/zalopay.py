"""ZaloPay: the order callback (https://docs.zalopay.vn/docs/specs/callback-api), and what its queries answer.

ZaloPay calls back when an order is paid, and never again: that one failed, and how a refund stands, must be asked for
(https://docs.zalopay.vn/docs/specs/order-query and order-query-refund). The answers do not say what was asked, so they
are submitted as `{"request": {...}, "response": {...}}`. Amounts are whole dong.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from domain.errors import Rejection
from domain.fact import Fact, Source
from domain.ids import is_object_id
from domain.webhook import RecordSighting
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

name = "zalopay"
# A `return_code` other than 1 and 2 makes ZaloPay call back again.
acknowledgement = Acknowledgement(status=200, body='{"return_code":1,"return_message":"success"}')

AMOUNT_MINOR_MAX = 10**15
CALLBACK_OF_ORDER = 1
_MILLIS_MAX = 253_402_300_799_999  # The end of year 9999, beyond which there is no datetime.
# https://docs.zalopay.vn/docs/specs/order-query: 1 paid, 2 failed, 3 not paid yet or in process.
_CHARGE = {1: "captured", 2: "failed", 3: "pending"}
_REFUND = {1: "succeeded", 2: "failed", 3: "pending"}


class Request(msgspec.Struct):
    """What was asked: of an order its `app_trans_id`, of a refund the fields of the call that began it."""

    app_trans_id: str = ""
    m_refund_id: str = ""
    zp_trans_id: int = 0
    amount: int = 0
    timestamp: int = 0


class Response(msgspec.Struct):
    return_code: int
    sub_return_code: int = 0
    amount: int = 0
    zp_trans_id: int = 0
    server_time: int = 0


class Body(msgspec.Struct):
    """A callback (`data`, `mac`, `type`), or a question and its answer."""

    data: str | None = None
    mac: str | None = None
    type: int = CALLBACK_OF_ORDER
    request: Request | None = None
    response: Response | None = None


class Called(msgspec.Struct):
    """What is in any callback's `data`; `server_time` is ZaloPay's, in milliseconds."""

    server_time: int


class Paid(Called):
    """The `data` of an order's callback."""

    app_trans_id: str
    zp_trans_id: int
    amount: int


Decoded = TypeVar("Decoded", Body, Called, Paid)

_BODIES = msgspec.json.Decoder(Body)
_CALLED = msgspec.json.Decoder(Called)
_PAID = msgspec.json.Decoder(Paid)


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check the `mac` in the body: HMAC-SHA256 of the text in `data` with key2, which is `trust.secrets`.

    Codes: `signature.missing`, `signature.malformed`, `signature.no_secret`, `signature.mismatch`.
    """
    try:
        body = _BODIES.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "signature.malformed"
    if body.data is None or not body.mac:
        return "signature.missing"
    keys = [secret.encode() for secret in trust.secrets if secret]  # Anyone can sign with an empty secret.
    if not keys:
        return "signature.no_secret"
    given = body.mac.encode(errors="replace")
    signed = body.data.encode(errors="replace")
    if not any(hmac.compare_digest(hmac.digest(key, signed, "sha256").hex().encode(), given) for key in keys):
        return "signature.mismatch"
    return None


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """The fact that an order was paid, what a query answered of an order or refund, a sighting of another callback."""
    try:
        return _read(_decode(_BODIES, raw), ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be a callback")


def _read(body: Body, ref: str) -> Reading:
    if body.request is not None and body.response is not None:
        return _read_answer(body.request, body.response, ref)
    if body.data is None:
        raise Rejection("body.wrong_shape", "the body has neither `data` nor `request` and `response`")
    data = body.data.encode(errors="replace")
    if body.type != CALLBACK_OF_ORDER:
        seen = RecordSighting(
            source=name,
            event_id=hashlib.sha256(data).hexdigest(),
            event_type=f"callback.{body.type}",
            occurred_at=_time(_decode(_CALLED, data, "data").server_time),
            raw=ref,
        )
        return Reading(event_id=seen.event_id, event_type=seen.event_type, sighting=seen)
    paid = _decode(_PAID, data, "data")
    order_id = _object_id(paid.app_trans_id, "app_trans_id")
    return _charge(order_id, paid.zp_trans_id, "captured", paid.amount, paid.server_time, ref, source="webhook")


def _read_answer(request: Request, response: Response, ref: str) -> Reading:
    at = response.server_time or request.timestamp
    reason = str(response.sub_return_code) if response.return_code == 2 else ""  # noqa: PLR2004 - see _CHARGE
    if not request.m_refund_id:
        return _charge(
            _object_id(request.app_trans_id, "request.app_trans_id"),
            response.zp_trans_id or request.zp_trans_id,
            _status(_CHARGE, response.return_code),
            response.amount or request.amount,
            at,
            ref,
            source="pull",
            reason=reason,
        )
    refund_id = _object_id(request.m_refund_id, "request.m_refund_id")
    charge_id = _transaction(request.zp_trans_id, "request.zp_trans_id")
    order_id = _object_id(request.app_trans_id, "request.app_trans_id") if request.app_trans_id else ""
    fact = _fact(
        order_id or charge_id,
        f"refund:{refund_id}",
        _status(_REFUND, response.return_code),
        request.amount,
        at,
        ref,
        source="pull",
        reason=reason,
        refers_to=(f"charge:{charge_id}",),
    )
    links = ((refund_id, charge_id), *(((charge_id, order_id),) if order_id else ()))
    return Reading(event_id=refund_id, event_type="answer.refund", facts=(fact,), links=links)


def _charge(
    order_id: str, transaction: int, status: str, amount: int, at: int, ref: str, *, source: Source, reason: str = ""
) -> Reading:
    """An order is a payment, its transaction a charge. What was not paid yet may have no transaction."""
    charge_id = _transaction(transaction, "zp_trans_id") if transaction else order_id
    fact = _fact(order_id, f"charge:{charge_id}", status, amount, at, ref, source=source, reason=reason)
    event_type = "callback.order" if source == "webhook" else "answer.order"
    links = ((charge_id, order_id),) if charge_id != order_id else ()
    return Reading(event_id=charge_id, event_type=event_type, facts=(fact,), links=links)


def _fact(
    payment_id: str,
    key: str,
    status: str,
    amount: int,
    at: int,
    ref: str,
    *,
    source: Source,
    reason: str,
    refers_to: tuple[str, ...] = (),
) -> Fact:
    """ZaloPay's messages have no id, so that what a fact says names it: callback and answer are one if they agree."""
    amount_minor = _amount(amount)
    taken_minor = amount_minor if status == "captured" else 0
    return Fact(
        fact_id=f"zalopay:{key}:{status}:{amount_minor}:{at}",
        provider=name,
        payment_id=payment_id,
        object=key,
        status=status,
        occurred_at=_time(at),
        source=source,
        amount_minor=amount_minor,
        currency="VND",
        authorized_minor=taken_minor,
        captured_minor=taken_minor,
        reason=reason,
        refers_to=refers_to,
        raw=ref,
    )


def _decode(decoder: msgspec.json.Decoder[Decoded], raw: bytes, place: str = "body") -> Decoded:
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise Rejection("body.not_utf8", f"the {place} is not UTF-8: {error.reason} at byte {error.start}") from error
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", f"the {place}: {error}") from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the {place} is not JSON: {error}") from error


def _status(words: Mapping[int, str], code: int) -> str:
    if code not in words:
        raise Rejection("event.unknown_status", f"there is no return_code {code}")
    return words[code]


def _object_id(text: str, field: str) -> str:
    if not is_object_id(text):
        raise Rejection("event.id_malformed", f"{field} is no id: {text[:40]!a}")
    return text


def _transaction(number: int, field: str) -> str:
    if not 0 < number < 10**30:
        raise Rejection("event.id_malformed", f"{field} is no transaction number")
    return str(number)


def _amount(amount: int) -> int:
    if not 0 <= amount <= AMOUNT_MINOR_MAX:
        raise Rejection("event.amount_out_of_range", f"amount is not between 0 and {AMOUNT_MINOR_MAX}")
    return amount


def _time(millis: int) -> datetime:
    if not 0 < millis <= _MILLIS_MAX:
        raise Rejection("event.time_out_of_range", "the time is none between 1970 and 9999")
    return datetime.fromtimestamp(millis / 1000, UTC)
