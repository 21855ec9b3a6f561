"""MoMo: how a payment or a refund stands."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.fact import Fact
from domain.payment import fold
from gateway.sources import momo
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.conformance import NOW
from tests.gateway.sources.momo_examples import (
    ACCESS_KEY,
    PAID_AT,
    SECRET_KEY,
    notification,
    refunded,
    result,
    signature,
)

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "webhooks" / "momo"


def reading(raw: bytes) -> Reading:
    found = momo.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(found, Reading), found
    return found


def verdict(raw: bytes, *secrets: str, access_key: str = ACCESS_KEY) -> str | None:
    trust = Trust(secrets=secrets or (SECRET_KEY,), options={"access_key": access_key} if access_key else {})
    return momo.verify({}, raw, trust=trust, now=NOW)


def unsigned(code: int = 0, **fields: Any) -> bytes:
    """The answer to a query."""
    return json.dumps(result(code, **fields)).encode()


def test_a_notification_is_read_whole() -> None:
    found = reading(notification())
    assert found.facts == (
        Fact(
            fact_id=f"momo:charge:4088878653:captured:10000:{PAID_AT}",
            provider="momo",
            payment_id="order-1",
            object="charge:4088878653",
            status="captured",
            occurred_at=datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC),
            amount_minor=10_000,
            currency="VND",
            authorized_minor=10_000,
            captured_minor=10_000,
            raw="INGEST:7",
        ),
    )
    assert found.links == (("4088878653", "order-1"),)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (0, "captured", ""),
        (9000, "authorized", ""),
        (1000, "pending", ""),
        (7000, "pending", ""),
        (7002, "pending", ""),
        (8000, "pending", ""),
        (1001, "failed", "1001"),
        (1003, "failed", "1003"),
        (1006, "failed", "1006"),
        (99, "failed", "99"),
        (-1, "failed", "-1"),
    ],
)
def test_the_result_code_says_how_the_payment_stands(code: int, status: str, reason: str) -> None:
    (fact,) = reading(notification(code)).facts
    held = 10_000 if status in {"authorized", "captured"} else 0
    assert (fact.status, fact.reason, fact.authorized_minor) == (status, reason, held)
    assert fold("order-1", [fact]).status == ("processing" if status == "pending" else status)


def test_the_answer_to_a_query_is_the_same_fact_if_it_says_the_same() -> None:
    (told,), (asked,) = reading(notification()).facts, reading(unsigned()).facts
    assert told.fact_id == asked.fact_id
    assert told.asserts_same_as(asked)
    assert (told.source, asked.source) == ("webhook", "pull")
    assert reading(unsigned(1000, transId=0)).facts[0].object == "charge:order-1"


@pytest.mark.parametrize("code", [11, 40, 42, 99])
def test_a_question_that_went_wrong_says_nothing_of_the_payment(code: int) -> None:
    for raw in (unsigned(code), refunded(code)):
        found = momo.read(raw, headers={}, ref="INGEST:7")
        assert isinstance(found, Unreadable)
        assert found.code == "event.no_result"


@pytest.mark.parametrize(("code", "status"), [(0, "succeeded"), (7002, "pending"), (1080, "failed")])
def test_a_refund_belongs_to_the_transaction_that_it_returns(code: int, status: str) -> None:
    found = reading(refunded(code))
    (fact,) = found.facts
    assert (fact.payment_id, fact.object, fact.status, fact.amount_minor) == (
        "4088878653",
        "refund:refund-1",
        status,
        4000,
    )
    assert found.links == (("refund-1", "4088878653"),)
    view = fold("order-1", [*reading(notification()).facts, fact])
    assert (view.refunded_minor, view.certainty) == (4000 if code == 0 else 0, "certain")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (notification(amount=-1), "event.amount_out_of_range"),
        (notification(amount="10000"), "body.wrong_shape"),
        (notification(orderId="a b"), "event.id_malformed"),
        (notification(transId=-1), "event.id_malformed"),
        (notification(responseTime=0), "event.time_out_of_range"),
        (notification(responseTime=10**18), "event.time_out_of_range"),
        (b'{"request":{}}', "body.wrong_shape"),
        (b"{}", "body.wrong_shape"),
        (b"{", "body.not_json"),
        (b"\xff", "body.not_utf8"),
    ],
)
def test_what_cannot_be_believed_is_refused_with_its_reason(raw: bytes, code: str) -> None:
    found = momo.read(raw, headers={}, ref="INGEST:7")
    assert isinstance(found, Unreadable)
    assert found.code == code


@pytest.mark.parametrize("field", result())
def test_every_field_is_signed(field: str) -> None:
    body = json.loads(notification())
    changed = body[field] + (1 if isinstance(body[field], int) else "x")
    assert verdict(json.dumps({**body, field: changed}).encode()) == "signature.mismatch"
    del body[field]
    assert verdict(json.dumps(body).encode()) == "signature.malformed"


@pytest.mark.parametrize(
    ("raw", "secrets", "access_key", "found"),
    [
        (notification(), (SECRET_KEY,), ACCESS_KEY, None),
        (notification(), ("old", SECRET_KEY), ACCESS_KEY, None),
        (notification(), ("old",), ACCESS_KEY, "signature.mismatch"),
        (notification(), (SECRET_KEY,), "another", "signature.mismatch"),
        (notification(), (SECRET_KEY,), "", "signature.no_secret"),
        (notification(), ("",), ACCESS_KEY, "signature.no_secret"),
        (unsigned(), (SECRET_KEY,), ACCESS_KEY, "signature.missing"),
        (refunded(), (SECRET_KEY,), ACCESS_KEY, "signature.missing"),
        (b'{"signature":"00"}', (SECRET_KEY,), ACCESS_KEY, "signature.malformed"),
        (b'{"signature":[]}', (SECRET_KEY,), ACCESS_KEY, "signature.malformed"),
        (b"[]", (SECRET_KEY,), ACCESS_KEY, "signature.malformed"),
        (b"\xff", (SECRET_KEY,), ACCESS_KEY, "signature.malformed"),
    ],
)
def test_a_notification_is_genuine_or_says_why_not(
    raw: bytes, secrets: tuple[str, ...], access_key: str, found: str | None
) -> None:
    assert verdict(raw, *secrets, access_key=access_key) == found


def test_what_is_signed_is_what_momo_documents() -> None:
    """The order and the names of the fields, as one text."""
    body = result()
    text = (
        f"accessKey={ACCESS_KEY}&amount=10000&extraData=&message={body['message']}&orderId=order-1"
        f"&orderInfo={body['orderInfo']}&orderType=momo_wallet&partnerCode=MOMOTEST&payType=qr&requestId=request-1"
        f"&responseTime={PAID_AT}&resultCode=0&transId=4088878653"
    )
    assert [name for name, _, _ in (part.partition("=") for part in text.split("&"))] == list(momo._SIGNED)
    assert verdict(json.dumps({**body, "signature": signature(body)}).encode()) is None


@pytest.mark.parametrize("name", ["ipn-success--official-doc-2024.json", "ipn-success--official-doc-2021-vi.json"])
def test_momos_own_examples_are_read(name: str) -> None:
    """Their keys are not published, so that nobody can verify them."""
    if not (RECORDED / name).is_file():
        pytest.skip(f"MoMo's own example is not here (shared/data/webhooks/momo/{name} beside the repository)")
    raw = (RECORDED / name).read_bytes()
    (fact,) = reading(raw).facts
    assert (fact.status, fact.amount_minor, fact.currency) == ("captured", 1000, "VND")
    assert verdict(raw) == "signature.mismatch"


def test_momo_hears_what_it_wants_to_hear() -> None:
    assert (momo.acknowledgement.status, momo.acknowledgement.within_s) == (204, 15.0)
