"""MoMo: the payment notification (https://developers.momo.vn/v3/docs/payment/api/result-handling/notification).

The answer of a transaction query has the same fields without a signature, and is read alike. A refund has no
notification at all: its answer is submitted with what was asked, `{"request": {...}, "response": {...}}`
(https://developers.momo.vn/v3/docs/payment/api/payment-api/refund). Amounts are whole dong.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from domain.errors import Rejection
from domain.fact import Fact, Source
from domain.ids import is_object_id
from gateway.sources.port import DETAIL_CHARS_MAX, Acknowledgement, Reading, Trust, Unreadable

name = "momo"
acknowledgement = Acknowledgement(status=204, within_s=15.0)

AMOUNT_MINOR_MAX = 10**15
_MILLIS_MAX = 253_402_300_799_999  # The end of year 9999, beyond which there is no datetime.

# What is signed, in this order, as `name=value` joined by `&`; `accessKey` is not in the body.
_SIGNED = (
    "accessKey amount extraData message orderId orderInfo orderType partnerCode payType requestId responseTime "
    "resultCode transId"
).split()
# https://developers.momo.vn/v3/docs/payment/api/result-handling/resultcode. Every other code is a failure.
_CHARGE = {0: "captured", 9000: "authorized", 8000: "pending", 7002: "pending", 7000: "pending", 1000: "pending"}
_REFUND = {0: "succeeded", 7002: "pending", 7000: "pending", 1000: "pending"}
# Below, a code that is not 0 says what was wrong with the question, and nothing of the payment.
_RESULT_MIN = 1000


class Result(msgspec.Struct, rename="camel"):
    """A notification, or the answer of a query without its `signature`. The time of response is in milliseconds."""

    order_id: str
    amount: int
    result_code: int
    response_time: int
    trans_id: int = 0
    signature: str | None = None


class Asked(msgspec.Struct, rename="camel"):
    """What a refund was asked for: `trans_id` is the payment's transaction, `order_id` the refund's own."""

    order_id: str
    amount: int
    trans_id: int


class Body(msgspec.Struct):
    """The answer to a refund, with what was asked."""

    request: Asked
    response: Result


class Shape(msgspec.Struct):
    """Which of the two a body is."""

    request: msgspec.Raw = msgspec.Raw()


Decoded = TypeVar("Decoded", Shape, Body, Result)

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SHAPES = msgspec.json.Decoder(Shape)
_RESULTS = msgspec.json.Decoder(Result)
_BODIES = msgspec.json.Decoder(Body)
_VALUES = msgspec.json.Decoder(str | int)


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check the `signature` in the body: HMAC-SHA256 of the body's other fields and `trust.options["access_key"]`.

    The key is the secret key, of `trust.secrets`. Codes: `signature.missing`, `signature.malformed`,
    `signature.no_secret`, `signature.mismatch`.
    """
    try:
        body = _FIELDS.decode(raw)
        given = str(_VALUES.decode(body["signature"])) if "signature" in body else ""
        if not given:
            return "signature.missing"
        access_key = trust.options.get("access_key", "")
        values = [access_key, *(str(_VALUES.decode(body[field])) for field in _SIGNED[1:])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return "signature.malformed"
    keys = [secret.encode() for secret in trust.secrets if secret]  # Anyone can sign with an empty secret.
    if not keys or not access_key:
        return "signature.no_secret"
    signed = "&".join(f"{field}={value}" for field, value in zip(_SIGNED, values, strict=True)).encode(errors="replace")
    theirs = given.encode(errors="replace")
    if not any(hmac.compare_digest(hmac.digest(key, signed, "sha256").hex().encode(), theirs) for key in keys):
        return "signature.mismatch"
    return None


def read(raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
    """The fact of how a payment or a refund stands."""
    try:
        if not bytes(_decode(_SHAPES, raw).request):
            return _read_result(_decode(_RESULTS, raw), ref)
        body = _decode(_BODIES, raw)
        return _read_refund(body.request, body.response, ref)
    except Rejection as refused:
        return Unreadable(code=refused.code, detail=refused.detail[:DETAIL_CHARS_MAX])
    except RecursionError:
        return Unreadable(code="body.too_deep", detail="the body is nested too deeply to be a notification")


def _read_result(result: Result, ref: str) -> Reading:
    """An order is a payment, its transaction a charge. What failed early may have no transaction."""
    source: Source = "pull" if result.signature is None else "webhook"
    code = result.result_code
    if source == "pull":
        _refuse_failed_question(code)
    order_id = _object_id(result.order_id, "orderId")
    charge_id = _transaction(result.trans_id, "transId") if result.trans_id else order_id
    status = _CHARGE.get(code, "failed")
    amount_minor = _amount(result.amount)
    held_minor = amount_minor if status in {"authorized", "captured"} else 0
    fact = Fact(
        fact_id=_fact_id(f"charge:{charge_id}", status, amount_minor, result),
        provider=name,
        payment_id=order_id,
        object=f"charge:{charge_id}",
        status=status,
        occurred_at=_time(result.response_time),
        source=source,
        amount_minor=amount_minor,
        currency="VND",
        authorized_minor=held_minor,
        captured_minor=amount_minor if status == "captured" else 0,
        reason=str(code) if status == "failed" else "",
        raw=ref,
    )
    event_type = "notification" if source == "webhook" else "answer.query"
    links = ((charge_id, order_id),) if charge_id != order_id else ()
    return Reading(event_id=charge_id, event_type=event_type, facts=(fact,), links=links)


def _read_refund(asked: Asked, result: Result, ref: str) -> Reading:
    """A refund under the transaction that it returns; the payment's own notification says of which order that is."""
    _refuse_failed_question(result.result_code)
    refund_id = _object_id(asked.order_id, "request.orderId")
    charge_id = _transaction(asked.trans_id, "request.transId")
    status = _REFUND.get(result.result_code, "failed")
    amount_minor = _amount(asked.amount)
    fact = Fact(
        fact_id=_fact_id(f"refund:{refund_id}", status, amount_minor, result),
        provider=name,
        payment_id=charge_id,
        object=f"refund:{refund_id}",
        status=status,
        occurred_at=_time(result.response_time),
        source="pull",
        amount_minor=amount_minor,
        currency="VND",
        reason=str(result.result_code) if status == "failed" else "",
        refers_to=(f"charge:{charge_id}",),
        raw=ref,
    )
    return Reading(event_id=refund_id, event_type="answer.refund", facts=(fact,), links=((refund_id, charge_id),))


def _fact_id(key: str, status: str, amount_minor: int, result: Result) -> str:
    """MoMo's messages have no id, so that what a fact says names it."""
    return f"momo:{key}:{status}:{amount_minor}:{result.response_time}"


def _refuse_failed_question(code: int) -> None:
    if 0 < code < _RESULT_MIN:
        raise Rejection(
            "event.no_result", f"resultCode {code} says what was wrong with the question, not with the payment"
        )


def _decode(decoder: msgspec.json.Decoder[Decoded], raw: bytes) -> Decoded:
    try:
        raw.decode()  # The decoder looks only at the strings that it keeps.
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: {error.reason} at byte {error.start}"
        raise Rejection("body.not_utf8", detail) from error
    except msgspec.ValidationError as error:
        raise Rejection("body.wrong_shape", str(error)) from error
    except msgspec.DecodeError as error:
        raise Rejection("body.not_json", f"the body is not JSON: {error}") from error


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
