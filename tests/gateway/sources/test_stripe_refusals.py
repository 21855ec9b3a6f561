"""What cannot be believed is refused with a reason, and never with an exception."""

import json

import pytest

from tests.gateway.sources.examples import Body, charge, dispute, event, fact, intent, payout, refund, refusal

DECLINED = {"code": "card_declined"}
OK = event("charge.succeeded", charge())


DEEP = b"[" * 100_000 + b"]" * 100_000
NO_EVENT: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "body.not_json"),
    "blank": (b" ", "body.not_json"),
    "one byte short": (OK[:-1], "body.not_json"),
    "truncated": (OK[: len(OK) // 2], "body.not_json"),
    "one brace too many": (OK + b"}", "body.not_json"),
    "twice": (OK + OK, "body.not_json"),
    "byte order mark": (b"\xef\xbb\xbf" + OK, "body.not_json"),
    "single quotes": (OK.replace(b'"ch_1"', b"'ch_1'"), "body.not_json"),
    "not a number": (OK.replace(b"4900", b"NaN"), "body.not_json"),
    "half a surrogate pair": (OK.replace(b'"ch_1"', rb'"\ud800"'), "body.not_json"),
    "not UTF-8 in a field that is read": (OK.replace(b"cus_1", b"cus_\xff"), "body.not_utf8"),
    "not UTF-8 in the envelope": (OK.replace(b"evt_1", b"evt_\xff"), "body.not_utf8"),
    "not UTF-8 in a field that is not read": (OK.replace(b'"object": "event"', b'"x": "\xff"'), "body.not_utf8"),
    "UTF-16": (OK.decode().encode("utf-16"), "body.not_utf8"),
    "deep": (b'{"x":' * 100_000, "body.too_deep"),
    "deep beside the object": (OK[:-1] + b', "x": ' + DEEP + b"}", "body.too_deep"),
    "deep in the object": (OK.replace(b'"refunded": false', b'"x": ' + DEEP), "body.too_deep"),
    "deep where a text belongs": (OK.replace(b'"eur"', DEEP), "body.too_deep"),
    "null": (b"null", "body.wrong_shape"),
    "array": (b"[]", "body.wrong_shape"),
    "deep array": (DEEP, "body.wrong_shape"),
    "number": (b"7", "body.wrong_shape"),
    "text": (b'"charge.succeeded"', "body.wrong_shape"),
    "no fields": (b"{}", "body.wrong_shape"),
    "null id": (event("charge.succeeded", charge(), id=None), "body.wrong_shape"),
    "type is a number": (event("charge.succeeded", charge(), type=7), "body.wrong_shape"),
    "time is a bool": (event("charge.succeeded", charge(), created=True), "body.wrong_shape"),
    "time is a fraction": (event("charge.succeeded", charge(), created=1.5), "body.wrong_shape"),
    "null data": (event("charge.succeeded", charge(), data=None), "body.wrong_shape"),
    "data is an array": (event("charge.succeeded", charge(), data=[]), "body.wrong_shape"),
    "no object": (event("charge.succeeded", charge(), data={}), "body.wrong_shape"),
    "null object": (event("charge.succeeded", None), "body.wrong_shape"),
    "object is a text": (event("charge.succeeded", "ch_1"), "body.wrong_shape"),
    "object is an array": (event("charge.succeeded", [charge()]), "body.wrong_shape"),
    "empty object": (event("charge.succeeded", {}), "body.wrong_shape"),
    "object without a name": (event("charge.succeeded", {"id": "ch_1"}), "body.wrong_shape"),
    "refunds are a text": (event("charge.succeeded", charge(refunds="none")), "body.wrong_shape"),
    "captured is a number": (event("charge.succeeded", charge(captured=1)), "body.wrong_shape"),
}


@pytest.mark.parametrize("name", NO_EVENT)
def test_what_is_no_event_is_refused(name: str) -> None:
    raw, code = NO_EVENT[name]
    assert refusal(raw).code == code


@pytest.mark.parametrize(
    ("created", "code"),
    [
        ("-1", "event.time_out_of_range"),
        ("253402300800", "event.time_out_of_range"),
        ("1648319938000", "event.time_out_of_range"),
        ("9" * 100, "event.time_out_of_range"),
        pytest.param("9" * 1_000_000, "event.time_out_of_range", id="a million digits"),
        pytest.param("-" + "9" * 1_000_000, "event.time_out_of_range", id="minus a million digits"),
        ('"yesterday"', "event.time_out_of_range"),
        ('"2018-19-12T14:12:00Z"', "event.time_out_of_range"),
        ('"2018-02-30T14:12:00Z"', "event.time_out_of_range"),
        ('"0001-01-01T00:00:00+14:00"', "event.time_out_of_range"),
        ('"9999-12-31T23:59:59-14:00"', "event.time_out_of_range"),
        ('"2018-12-19T14:12:00"', "body.wrong_shape"),
        ('"1772366400"', "event.time_out_of_range"),
    ],
)
@pytest.mark.parametrize("event_type", ["charge.succeeded", "customer.updated"])
def test_a_time_that_cannot_be_is_refused(event_type: str, created: str, code: str) -> None:
    raw = event(event_type, charge(), created="CREATED").replace(b'"CREATED"', created.encode())
    assert refusal(raw).code == code


@pytest.mark.parametrize("created", [0, 253_402_300_799])
def test_a_time_at_the_edge_is_a_time(created: int) -> None:
    assert fact(event("charge.succeeded", charge(), created=created)).occurred_at.timestamp() == created


FIELDS = [
    *(("charge.updated", charge(), each) for each in ("amount", "amount_captured", "amount_refunded")),
    *(("payment_intent.created", intent(), each) for each in ("amount", "amount_received", "amount_capturable")),
    ("refund.updated", refund(), "amount"),
    ("charge.dispute.updated", dispute(), "amount"),
    ("payout.updated", payout(), "amount"),
]


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("-1", "event.amount_out_of_range"),
        ("1000000000000001", "event.amount_out_of_range"),
        ("9" * 100, "event.amount_out_of_range"),
        pytest.param("9" * 1_000_000, "event.amount_out_of_range", id="a million digits"),
        pytest.param("-" + "9" * 1_000_000, "event.amount_out_of_range", id="minus a million digits"),
        ("1e400", "event.amount_out_of_range"),
        ("49.00", "body.wrong_shape"),
        ('"4900"', "body.wrong_shape"),
        ("true", "body.wrong_shape"),
        ("{}", "body.wrong_shape"),
    ],
)
@pytest.mark.parametrize(("event_type", "body", "field"), FIELDS)
def test_an_amount_that_cannot_be_is_refused(event_type: str, body: Body, field: str, amount: str, code: str) -> None:
    raw = event(event_type, {**body, field: "AMOUNT"}).replace(b'"AMOUNT"', amount.encode())
    assert refusal(raw).code == code


@pytest.mark.parametrize("amount", [0, 10**15])
def test_an_amount_at_the_edge_is_an_amount(amount: int) -> None:
    assert fact(event("payout.paid", payout(amount=amount))).amount_minor == amount


@pytest.mark.parametrize(
    "text", ["", "a b", "a/b", "../etc", "..", "a\x00", "é", "a" * 201, "pi_1\n", "\ud83d\ude00", "<script>"]
)
@pytest.mark.parametrize(
    ("event_type", "body", "field"),
    [
        ("payment_intent.succeeded", intent(), "id"),
        ("payment_intent.succeeded", intent(), "customer"),
        ("payment_intent.succeeded", intent(), "latest_charge"),
        ("charge.succeeded", charge(), "id"),
        ("charge.succeeded", charge(), "customer"),
        ("charge.succeeded", charge(), "payment_intent"),
        ("refund.updated", refund(), "id"),
        ("refund.updated", refund(), "charge"),
        ("refund.updated", refund(), "payment_intent"),
        ("charge.dispute.updated", dispute(), "id"),
        ("charge.dispute.updated", dispute(), "charge"),
        ("charge.dispute.updated", dispute(), "payment_intent"),
        ("payout.paid", payout(), "id"),
    ],
)
def test_an_id_that_could_not_be_a_key_is_refused(event_type: str, body: Body, field: str, text: str) -> None:
    assert refusal(event(event_type, {**body, field: text})).code == "event.id_malformed"
    if field != "id":
        assert refusal(event(event_type, {**body, field: {"id": text}})).code == "event.id_malformed"


def test_the_id_of_an_embedded_object_is_looked_at_too() -> None:
    raw = event("payment_intent.succeeded", intent(charges={"data": [charge(id="a/b")]}))
    assert refusal(raw).code == "event.id_malformed"


@pytest.mark.parametrize("event_type", ["charge.succeeded", "customer.updated"])
def test_the_event_has_an_id_and_a_type_that_could_be_keys(event_type: str) -> None:
    assert refusal(event(event_type, charge(), id="evt 1")).code == "event.id_malformed"
    assert refusal(event(event_type + " ", charge())).code == "event.type_malformed"


@pytest.mark.parametrize("currency", ["", "e", "euro", "eu1", "€ur", "ﬀr", "eu\n"])
def test_a_currency_has_three_letters(currency: str) -> None:
    for event_type, body in (("charge.updated", charge()), ("payout.paid", payout()), ("refund.updated", refund())):
        assert refusal(event(event_type, {**body, "currency": currency})).code == "event.currency_malformed"


@pytest.mark.parametrize(
    ("event_type", "body"),
    [
        ("payment_intent.created", intent("requires_nothing")),
        ("payment_intent.created", intent("failed")),
        ("payment_intent.created", intent("")),
        ("charge.updated", charge("canceled")),
        ("charge.updated", charge(None)),
        ("charge.updated", charge(None, captured=True)),
        ("charge.updated", charge(captured=None, amount_captured=None)),
        ("refund.updated", refund("reversed")),
        ("refund.updated", refund("")),
        ("charge.dispute.updated", dispute("open")),
        ("payout.updated", payout("sent")),
    ],
)
def test_a_status_that_is_not_known_is_not_guessed_at(event_type: str, body: Body) -> None:
    assert refusal(event(event_type, body)).code == "event.unknown_status"


OTHERS: dict[str, Body] = {
    "payment_intent": intent(),
    "charge": charge(),
    "refund": refund(),
    "dispute": dispute(),
    "payout": payout(),
    "customer": {"id": "cus_1", "object": "customer"},
}


@pytest.mark.parametrize("found", OTHERS)
@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("payment_intent.created", "payment_intent"),
        ("charge.updated", "charge"),
        ("charge.refund.updated", "refund"),
        ("refund.updated", "refund"),
        ("charge.dispute.updated", "dispute"),
        ("payout.updated", "payout"),
    ],
)
def test_an_object_of_another_kind_contradicts_the_type(event_type: str, expected: str, found: str) -> None:
    raw = event(event_type, OTHERS[found])
    if found == expected:
        assert fact(raw).fact_id == "stripe:evt_1"
    else:
        assert refusal(raw).code == "event.type_contradicts_object"


@pytest.mark.parametrize(
    ("event_type", "allowed", "bodies"),
    [
        ("payment_intent.succeeded", "captured", "intent"),
        ("payment_intent.canceled", "canceled", "intent"),
        ("payment_intent.processing", "processing", "intent"),
        ("payment_intent.requires_action", "requires_action", "intent"),
        ("payment_intent.payment_failed", "failed", "intent"),
        ("payment_intent.amount_capturable_updated", "authorized captured", "intent"),
        (
            "payment_intent.created",
            "pending failed requires_action processing authorized captured canceled",
            "intent",
        ),
        ("charge.succeeded", "authorized captured", "charge"),
        ("charge.failed", "failed", "charge"),
        ("charge.pending", "pending", "charge"),
        ("charge.captured", "captured", "charge"),
        ("charge.updated", "pending failed authorized captured canceled", "charge"),
        ("refund.failed", "failed", "refund"),
        ("refund.created", "pending requires_action succeeded failed canceled", "refund"),
        ("charge.refund.updated", "pending requires_action succeeded failed canceled", "refund"),
        ("payout.paid", "paid", "payout"),
        ("payout.failed", "failed", "payout"),
        ("payout.canceled", "canceled", "payout"),
        ("payout.created", "pending in_transit paid failed canceled", "payout"),
        ("charge.dispute.closed", "won lost", "dispute"),
        ("charge.dispute.created", "inquiry open under_review won lost", "dispute"),
    ],
)
def test_a_type_that_speaks_of_a_status_goes_with_that_status_alone(event_type: str, allowed: str, bodies: str) -> None:
    for status, body in IN_STATUS[bodies].items():
        raw = event(event_type, body)
        if status in allowed.split():
            assert fact(raw).status == status
        else:
            assert refusal(raw).code == "event.type_contradicts_object", (event_type, status)


IN_STATUS: dict[str, dict[str, Body]] = {
    "intent": {
        "pending": intent("requires_payment_method"),
        "failed": intent("requires_payment_method", last_payment_error=DECLINED),
        "requires_action": intent("requires_action"),
        "processing": intent("processing"),
        "authorized": intent("requires_capture"),
        "captured": intent("succeeded"),
        "canceled": intent("canceled"),
    },
    "charge": {
        "pending": charge("pending"),
        "failed": charge("failed"),
        "authorized": charge(captured=False),
        "captured": charge(),
        "canceled": charge(captured=False, refunded=True),
    },
    "refund": {each: refund(each) for each in ("pending", "requires_action", "succeeded", "failed", "canceled")},
    "payout": {each: payout(each) for each in ("pending", "in_transit", "paid", "failed", "canceled")},
    "dispute": {
        "inquiry": dispute("warning_under_review"),
        "open": dispute("needs_response"),
        "under_review": dispute("under_review"),
        "won": dispute("warning_closed"),
        "lost": dispute("lost"),
    },
}


@pytest.mark.parametrize(
    ("event_type", "body"),
    [
        ("charge.refunded", charge()),
        ("charge.expired", charge()),
        ("charge.captured", charge(captured=True, amount_captured=0)),
        ("payment_intent.payment_failed", intent("requires_confirmation", last_payment_error=DECLINED)),
    ],
)
def test_a_type_that_speaks_of_money_goes_with_that_money(event_type: str, body: Body) -> None:
    assert refusal(event(event_type, body)).code == "event.type_contradicts_object"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (intent(charges={"data": [charge(payment_intent="pi_2")]}), "event.embedded_elsewhere"),
        (intent(charges={"data": [charge(refunds={"data": [refund(charge="ch_2")]})]}), "event.embedded_elsewhere"),
        (intent(charges={"data": [refund(charge=None)]}), "event.type_contradicts_object"),
        (intent(charges={"data": [charge("lost")]}), "event.unknown_status"),
        (intent(charges={"data": [charge(amount=-1)]}), "event.amount_out_of_range"),
        (intent(charges={"data": [None]}), "body.wrong_shape"),
        (intent(charges={"data": [charge(refunds={"data": [refund(id=None)]})]}), "body.wrong_shape"),
        (intent(charges={"data": [charge(id=f"ch_{n}") for n in range(200)]}), "event.too_many_objects"),
    ],
)
def test_an_event_is_believed_whole_or_not_at_all(body: Body, code: str) -> None:
    assert refusal(event("payment_intent.succeeded", body)).code == code


def test_a_dispute_without_an_id_is_refused() -> None:
    body = dispute()
    del body["id"]
    found = refusal(event("charge.dispute.closed", {**body, "status": "won"}))
    assert found.code == "body.wrong_shape"
    assert found.detail == "Object missing required field `id` - at `$.data.object`"


def test_the_detail_is_short_and_printable() -> None:
    for raw in (
        event("charge.updated", charge(currency="x" * 10_000)),
        event("charge.updated", charge("s" * 10_000)),
        event("charge.updated", charge(id="\U0001f600" * 5000)),
        event("charge.updated", {**charge(), "object": "\n" * 10_000}),
        event("c" * 10_000, charge()),
        event("charge.updated", charge(id="x" * 200, refunds={"data": [refund(charge="y" * 200)]})),
        json.dumps({"id": "evt_1", "type": "charge.updated", "created": 0, "data": "d" * 10_000}).encode(),
    ):
        detail = refusal(raw).detail
        assert 0 < len(detail) <= 200
        assert detail.isascii()
        assert detail.isprintable()
