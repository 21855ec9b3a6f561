"""ZaloPay: what was paid, and what its queries answered."""

import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.fact import Fact
from domain.payment import fold
from gateway.sources import zalopay
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.conformance import NOW
from tests.gateway.sources.zalopay_examples import KEY2, ORDER, PAID_AT, REFUND, answer, callback, paid

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks" / "zalopay"


def recorded(name: str) -> Any:
    if not (RECORDED / name).is_file():
        pytest.skip(f"ZaloPay's own example is not here (shared/data/webhooks/zalopay/{name} beside the repository)")
    return json.loads((RECORDED / name).read_bytes())


def reading(raw: bytes) -> Reading:
    result = zalopay.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def verdict(raw: bytes, *secrets: str) -> str | None:
    return zalopay.verify({}, raw, trust=Trust(secrets=secrets or (KEY2,)), now=NOW)


def test_a_paid_order_is_read_whole() -> None:
    found = reading(callback(paid()))
    assert found.facts == (
        Fact(
            fact_id=f"zalopay:charge:260301000000389:captured:10000:{PAID_AT}",
            provider="zalopay",
            payment_id="260301_2553_1",
            object="charge:260301000000389",
            status="captured",
            occurred_at=datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC),
            amount_minor=10_000,
            currency="VND",
            authorized_minor=10_000,
            captured_minor=10_000,
            raw="INGEST:7",
        ),
    )
    assert found.links == (("260301000000389", "260301_2553_1"),)


def test_the_answer_to_a_query_is_the_same_fact_as_the_callback() -> None:
    (called,) = reading(callback(paid())).facts
    (asked,) = reading(answer(ORDER, amount=10_000, zp_trans_id=260301000000389, server_time=PAID_AT)).facts
    assert called.fact_id == asked.fact_id
    assert called.asserts_same_as(asked)
    assert (called.source, asked.source) == ("webhook", "pull")


@pytest.mark.parametrize(("code", "status", "reason"), [(1, "captured", ""), (2, "failed", "-49"), (3, "pending", "")])
def test_an_order_that_was_asked_for_is_what_the_answer_says(code: int, status: str, reason: str) -> None:
    found = reading(answer(ORDER, return_code=code, sub_return_code=-49, amount=10_000))
    (fact,) = found.facts
    assert (fact.object, fact.status, fact.reason) == ("charge:260301_2553_1", status, reason)
    assert fact.occurred_at == datetime(2026, 3, 1, 12, 1, 0, 123_000, tzinfo=UTC)
    assert found.links == ()


@pytest.mark.parametrize(("code", "status"), [(1, "succeeded"), (2, "failed"), (3, "pending")])
def test_a_refund_that_was_asked_for_belongs_to_the_transaction(code: int, status: str) -> None:
    found = reading(answer(REFUND, return_code=code))
    (fact,) = found.facts
    assert (fact.payment_id, fact.object, fact.status, fact.amount_minor) == (
        "260301000000389",
        "refund:260301_2553_r1",
        status,
        4000,
    )
    assert fact.refers_to == ("charge:260301000000389",)
    assert found.links == (("260301_2553_r1", "260301000000389"),)
    both = reading(answer({**REFUND, "app_trans_id": "260301_2553_1"}, return_code=code))
    assert both.facts[0].payment_id == "260301_2553_1"
    assert dict(both.links)["260301000000389"] == "260301_2553_1"


def test_a_refund_is_counted_once_it_succeeded() -> None:
    facts = [reading(callback(paid())).facts[0], reading(answer(REFUND)).facts[0]]
    view = fold("260301_2553_1", facts)
    assert (view.status, view.refunded_minor, view.certainty) == ("captured", 4000, "certain")


def test_another_callback_is_seen() -> None:
    found = reading(callback({"binding_id": "1", "server_time": PAID_AT}, type=2))
    assert found.facts == ()
    assert found.sighting is not None
    assert found.sighting.event_type == "callback.2"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (callback(paid(amount=-1)), "event.amount_out_of_range"),
        (callback(paid(amount=10**16)), "event.amount_out_of_range"),
        (callback(paid(amount="10000")), "body.wrong_shape"),
        (callback(paid(amount=100.5)), "body.wrong_shape"),
        (callback(paid(app_trans_id="a b")), "event.id_malformed"),
        (callback(paid(zp_trans_id=-1)), "event.id_malformed"),
        (callback(paid(server_time=0)), "event.time_out_of_range"),
        (callback(paid(server_time=10**18)), "event.time_out_of_range"),
        (callback("no json"), "body.not_json"),
        (answer({}), "event.id_malformed"),
        (answer({**REFUND, "zp_trans_id": 0}), "event.id_malformed"),
        (answer(ORDER, return_code=4), "event.unknown_status"),
        (b"{}", "body.wrong_shape"),
        (b"null", "body.wrong_shape"),
        (b"\xff", "body.not_utf8"),
    ],
)
def test_what_cannot_be_believed_is_refused_with_its_reason(raw: bytes, code: str) -> None:
    result = zalopay.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable)
    assert result.code == code


@pytest.mark.parametrize(
    ("raw", "secrets", "found"),
    [
        (callback(paid()), (KEY2,), None),
        (callback(paid()), ("old", KEY2), None),
        (callback(paid()), ("old",), "signature.mismatch"),
        (callback(paid()), ("",), "signature.no_secret"),
        (callback(paid(), mac=""), (KEY2,), "signature.missing"),
        (callback(paid(), mac="é"), (KEY2,), "signature.mismatch"),
        (callback(paid(), key=""), ("", KEY2), "signature.mismatch"),
        (answer(ORDER), (KEY2,), "signature.missing"),
        (b"no json", (KEY2,), "signature.malformed"),
        (b"\xff", (KEY2,), "signature.malformed"),
    ],
)
def test_the_text_of_data_is_signed(raw: bytes, secrets: tuple[str, ...], found: str | None) -> None:
    assert verdict(raw, *secrets) == found


def test_the_text_is_signed_as_it_was_sent() -> None:
    """Written anew, the same JSON would have another signature."""
    spaced = json.dumps(paid(), indent=1)
    assert verdict(callback(spaced)) is None
    body = json.loads(callback(paid()))
    assert verdict(json.dumps({**body, "data": spaced}).encode()) == "signature.mismatch"


def test_zalopays_own_example_verifies_and_with_one_byte_changed_does_not() -> None:
    body, vector = recorded("callback-order--official-doc.json"), recorded("signature-vector.json")
    key = vector["key2_public_sandbox"]
    raw = json.dumps(body).encode()
    assert hmac.new(key.encode(), body["data"].encode(), "sha256").hexdigest() == vector["mac"]
    assert verdict(raw, key) is None
    assert verdict(raw.replace(b"10000", b"10001"), key) == "signature.mismatch"
    (fact,) = reading(raw).facts
    assert (fact.payment_id, fact.amount_minor) == ("200904_2553_1598435687208", 10_000)


def test_zalopays_own_answer_is_read() -> None:
    answered = recorded("api-responses.json")["queryOrderSuccess"]
    raw = json.dumps({"request": ORDER, "response": answered}).encode()
    (fact,) = reading(raw).facts
    assert (fact.object, fact.status, fact.amount_minor) == ("charge:230512000007041", "captured", 5000)


def test_zalopay_hears_what_it_wants_to_hear() -> None:
    assert zalopay.acknowledgement.status == 200
    assert json.loads(zalopay.acknowledgement.body) == {"return_code": 1, "return_message": "success"}
