"""What PayPal's resources mean in our words."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.fact import Fact
from domain.lifecycle import lifecycle_of
from domain.payment import fold
from gateway.sources import paypal_statuses
from tests.gateway.sources.paypal_examples import (
    Body,
    authorization,
    batch,
    capture,
    dispute,
    event,
    fact,
    item,
    money,
    of_order,
    order,
    reading,
    refund,
    refusal,
    sale,
    sale_refund,
    stamp,
)


def at(seconds: float) -> datetime:
    return datetime.fromisoformat(stamp(seconds)).astimezone(UTC)


def test_an_order_is_read_with_what_it_was_paid_with() -> None:
    raw = event("CHECKOUT.ORDER.COMPLETED", order("COMPLETED", 8, captures=[capture()], refunds=[refund()]))
    found = reading(raw)
    given: dict[str, Any] = {"provider": "paypal", "payment_id": "ORDER1", "currency": "EUR", "raw": "INGEST:7"}
    assert found.facts == (
        Fact(
            fact_id="paypal:WH-1",
            object="intent",
            status="captured",
            occurred_at=at(8),
            amount_minor=4900,
            customer_id="QYR5Z8XDVJNXQ",
            **given,
        ),
        Fact(
            fact_id="paypal:WH-1#CAPTURE1",
            object="charge:CAPTURE1",
            status="captured",
            occurred_at=at(2),
            amount_minor=4900,
            captured_minor=4900,
            **given,
        ),
        Fact(
            fact_id="paypal:WH-1#REFUND1",
            object="refund:REFUND1",
            status="succeeded",
            occurred_at=at(3),
            amount_minor=1900,
            refers_to=("charge:CAPTURE1",),
            **given,
        ),
    )
    assert dict(found.links) == {"CAPTURE1": "AUTH1", "AUTH1": "ORDER1", "REFUND1": "CAPTURE1"}


def test_an_authorization_is_held_and_not_taken() -> None:
    found = fact(event("PAYMENT.AUTHORIZATION.CREATED", authorization()))
    assert (found.status, found.authorized_minor, found.captured_minor) == ("authorized", 4900, 0)


def test_a_capture_names_its_authorization_and_its_order_or_one_of_them() -> None:
    def told(**fields: Any) -> tuple[str, dict[str, str]]:
        found = reading(event("PAYMENT.CAPTURE.COMPLETED", capture(**fields)))
        return found.facts[0].payment_id, dict(found.links)

    related = {"supplementary_data": {"related_ids": {"order_id": "ORDER1", "authorization_id": "AUTH1"}}}
    assert told() == ("AUTH1", {"CAPTURE1": "AUTH1"})
    assert told(**of_order()) == ("ORDER1", {"CAPTURE1": "AUTH1", "AUTH1": "ORDER1"})
    assert told(links=[], **related) == ("ORDER1", {"CAPTURE1": "AUTH1", "AUTH1": "ORDER1"})
    assert told(links=[], **of_order()) == ("ORDER1", {"CAPTURE1": "ORDER1"})
    assert told(links=[]) == ("CAPTURE1", {})


def test_a_refund_of_v1_is_negative_and_knows_sale_and_payment() -> None:
    found = reading(event("PAYMENT.SALE.REFUNDED", sale_refund()))
    assert found.facts == (
        Fact(
            fact_id="paypal:WH-1",
            provider="paypal",
            payment_id="PAY-1",
            object="refund:REFUND2",
            status="succeeded",
            occurred_at=at(4),
            amount_minor=2,
            currency="USD",
            refers_to=("charge:SALE1",),
            raw="INGEST:7",
        ),
    )
    assert dict(found.links) == {"REFUND2": "SALE1", "SALE1": "PAY-1"}


def test_a_reversal_of_v1_knows_nothing_and_stands_alone() -> None:
    found = reading(event("PAYMENT.SALE.REVERSED", sale_refund(sale_id=None, parent_payment=None, update_time=None)))
    assert (found.facts[0].payment_id, found.facts[0].reason, found.links) == ("REFUND2", "REVERSED", ())
    assert found.facts[0].occurred_at == at(60)


def test_a_dispute_belongs_to_the_sellers_transaction() -> None:
    found = reading(event("CUSTOMER.DISPUTE.CREATED", dispute()))
    assert found.facts == (
        Fact(
            fact_id="paypal:WH-1",
            provider="paypal",
            payment_id="CAPTURE1",
            object="dispute:PP-000-1",
            status="open",
            occurred_at=at(5),
            amount_minor=4900,
            currency="EUR",
            reason="UNAUTHORIZED",
            refers_to=("charge:CAPTURE1",),
            raw="INGEST:7",
        ),
    )
    assert found.links == (("PP-000-1", "CAPTURE1"),)
    alone = reading(event("CUSTOMER.DISPUTE.CREATED", dispute(disputed_transactions=[])))
    assert (alone.facts[0].payment_id, alone.links) == ("PP-000-1", ())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": "OPEN"}, "open"),
        ({"status": "OPEN", "dispute_life_cycle_stage": "INQUIRY"}, "inquiry"),
        ({"status": "WAITING_FOR_SELLER_RESPONSE", "dispute_life_cycle_stage": "CHARGEBACK"}, "open"),
        ({"status": "UNDER_REVIEW", "dispute_life_cycle_stage": "INQUIRY"}, "under_review"),
        ({"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"}}, "lost"),
        ({"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"}}, "won"),
        ({"status": "RESOLVED", "dispute_outcome": {"outcome_code": "CANCELED_BY_BUYER"}}, "won"),
    ],
)
def test_a_dispute_is_what_stage_status_and_outcome_say(fields: Body, status: str) -> None:
    assert fact(event("CUSTOMER.DISPUTE.UPDATED", dispute(**fields))).status == status


def test_a_payout_is_a_payment_of_its_own_and_so_is_each_of_its_items() -> None:
    of_batch, of_item = (
        event("PAYMENT.PAYOUTSBATCH.SUCCESS", batch()),
        event("PAYMENT.PAYOUTS-ITEM.FAILED", item("FAILED")),
    )
    found = [
        (each.payment_id, each.object, each.status, each.amount_minor, each.reason)
        for each in map(fact, (of_batch, of_item))
    ]
    assert found == [
        ("BATCH1", "payout:BATCH1", "paid", 2500, ""),
        ("ITEM1", "payout:ITEM1", "failed", 100, "FAILED"),
    ]


@pytest.mark.parametrize(
    ("payments", "status"),
    [
        ({}, "processing"),
        ({"captures": ["PENDING"]}, "processing"),
        ({"captures": ["DECLINED"]}, "failed"),
        ({"captures": ["DECLINED", "COMPLETED"]}, "captured"),
        ({"captures": ["REFUNDED"]}, "captured"),
        ({"authorizations": ["CREATED"]}, "authorized"),
        ({"authorizations": ["CREATED"], "captures": ["PENDING"]}, "authorized"),
        ({"authorizations": ["DENIED"]}, "failed"),
    ],
)
def test_an_order_that_is_completed_is_what_its_payments_came_to(payments: dict[str, list[str]], status: str) -> None:
    made = {"captures": capture, "authorizations": authorization}
    embedded: dict[str, Any] = {
        kind: [made[kind](word, id=f"P{number}") | {"links": []} for number, word in enumerate(words)]
        for kind, words in payments.items()
    }
    assert fact(event("CHECKOUT.ORDER.COMPLETED", order("COMPLETED", **embedded))).status == status


def test_an_order_whose_payment_was_declined_is_failed_until_another_is_made() -> None:
    """The order itself does not hear of it."""
    approved = fact(event("CHECKOUT.ORDER.APPROVED", order(), 1))
    declined = fact(event("PAYMENT.CAPTURE.DECLINED", capture("DECLINED", 5), 2))
    again = fact(event("PAYMENT.CAPTURE.PENDING", capture("PENDING", 9, id="CAPTURE2", links=[]), 3))
    statuses = [fold("ORDER1", told).status for told in ([approved], [approved, declined], [approved, declined, again])]
    assert statuses == ["processing", "failed", "processing"]


def test_what_was_captured_was_authorized_whoever_says_so() -> None:
    captured = fact(event("PAYMENT.CAPTURE.COMPLETED", capture(), 1))
    held = fact(event("PAYMENT.AUTHORIZATION.CREATED", authorization(amount=money("60.00")), 2))
    assert fold("ORDER1", [captured]).authorized_minor == 4900
    assert fold("ORDER1", [captured, held]).authorized_minor == 6000


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ({"total": "0.48", "currency": "USD"}, (48, "USD")),
        ({"value": "49", "currency_code": "EUR"}, (4900, "EUR")),
        ({"value": "25.0", "currency": "CAD"}, (2500, "CAD")),
        ({"value": "-1.5", "currency_code": "EUR"}, (150, "EUR")),
        ({"value": "500", "currency_code": "JPY"}, (500, "JPY")),
        ({"value": "500.00", "currency_code": "JPY"}, (500, "JPY")),
        ({"value": "1.234", "currency_code": "KWD"}, (1234, "KWD")),
        ({"value": "1.005", "currency_code": "EUR"}, "event.amount_malformed"),
        ({"value": "1,058.09", "currency_code": "EUR"}, "event.amount_malformed"),
        ({"value": "1e3", "currency_code": "EUR"}, "event.amount_malformed"),
        ({"value": "\u0661", "currency_code": "EUR"}, "event.amount_malformed"),
        ({"value": "9" * 15, "currency_code": "EUR"}, "event.amount_out_of_range"),
        ({"currency_code": "EUR"}, "event.amount_malformed"),
        ({"value": "1.00"}, "event.currency_malformed"),
        ({"value": "1.00", "currency_code": "eur"}, "event.currency_malformed"),
        ({"value": 1, "currency_code": "EUR"}, "body.wrong_shape"),
        (None, "body.wrong_shape"),
    ],
)
def test_both_shapes_of_money_are_exact_or_refused(amount: Body | None, expected: tuple[int, str] | str) -> None:
    raw = event("PAYMENT.CAPTURE.COMPLETED", capture(amount=amount))
    if isinstance(expected, str):
        assert refusal(raw).code == expected
    else:
        assert (fact(raw).amount_minor, fact(raw).currency) == expected


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (event("PAYMENT.CAPTURE.COMPLETED", capture(), create_time="2018-19-12T22:20:32.000Z"), "event.time_malformed"),
        (event("BILLING.PLAN.CREATED", {}, create_time="2018-19-12T22:20:32.000Z"), "event.time_malformed"),
        (event("PAYMENT.CAPTURE.COMPLETED", capture(update_time="2018-19-12T22:20:32Z")), "event.time_malformed"),
        (event("PAYMENT.CAPTURE.COMPLETED", capture(update_time="2018-12-10T21:20:49")), "event.time_malformed"),
        (
            event("PAYMENT.CAPTURE.COMPLETED", capture(), create_time="0001-01-01T00:00:00+14:00"),
            "event.time_malformed",
        ),
        (event("PAYMENT.CAPTURE.COMPLETED", capture(), create_time="1969-12-31T23:59:59Z"), "event.time_out_of_range"),
        (event("PAYMENT.CAPTURE.COMPLETED", capture("PENDING")), "event.type_contradicts_object"),
        (event("PAYMENT.CAPTURE.COMPLETED", refund()), "event.type_contradicts_object"),
        (event("PAYMENT.CAPTURE.REFUNDED", capture("REFUNDED")), "event.type_contradicts_object"),
        (event("PAYMENT.ORDER.CREATED", capture(status="COMPLETED")), "event.type_contradicts_object"),
        (event("PAYMENT.ORDER.CANCELLED", sale("completed", links=[])), "event.type_contradicts_object"),
        (event("CUSTOMER.DISPUTE.RESOLVED", dispute()), "event.type_contradicts_object"),
        (event("PAYMENT.CAPTURE.PENDING", capture("LOST")), "event.unknown_status"),
        (event("PAYMENT.CAPTURE.PENDING", capture(status=None)), "event.unknown_status"),
        (event("CUSTOMER.DISPUTE.CREATED", dispute("RESOLVED")), "event.unknown_status"),
        (event("PAYMENT.CAPTURE.COMPLETED", capture(id="a/b")), "event.id_malformed"),
        (event("PAYMENT.CAPTURE.COMPLETED", capture(id=None)), "event.id_malformed"),
        (event("PAYMENT.CAPTURE.COMPLETED", capture(), id="WH 1"), "event.id_malformed"),
        (event("PAYMENT CAPTURE", capture()), "event.type_malformed"),
        (event("PAYMENT.CAPTURE.COMPLETED", None), "body.wrong_shape"),
        (event("CHECKOUT.ORDER.APPROVED", {"id": "ORDER1", "status": "APPROVED"}), "event.currency_malformed"),
        (
            event("CHECKOUT.ORDER.COMPLETED", order("COMPLETED", captures=[capture(id=f"C{n}") for n in range(200)])),
            "event.too_many_objects",
        ),
        (b"\xff", "body.not_utf8"),
        (b"{", "body.not_json"),
        (b"[]", "body.wrong_shape"),
        (b'{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","create_time":1,"resource":{}}', "body.wrong_shape"),
    ],
)
def test_what_cannot_be_believed_is_refused_with_its_reason(raw: bytes, code: str) -> None:
    found = refusal(raw)
    assert found.code == code
    assert 0 < len(found.detail) <= 200
    assert found.detail.isprintable()


def test_a_body_without_end_is_refused() -> None:
    deep = b'{"id":"WH-1","event_type":"X.Y","create_time":"2026-03-01T11:00:00Z","resource":' + b"[" * 100_000
    assert refusal(deep).code in {"body.too_deep", "body.not_json"}


@pytest.mark.parametrize(
    "event_type",
    [
        "BILLING.SUBSCRIPTION.CANCELLED",
        "BILLING.SUBSCRIPTION.PAYMENT.FAILED",
        "INVOICING.INVOICE.PAID",
        "RISK.DISPUTE.CREATED",
        "CHECKOUT.PAYMENT-APPROVAL.REVERSED",
        "MERCHANT.ONBOARDING.COMPLETED",
        "IDENTITY.AUTHORIZATION-CONSENT.REVOKED",
    ],
)
def test_any_other_type_is_seen(event_type: str) -> None:
    found = reading(event(event_type, {"id": "I-1", "email": "ann.smith@example.com"}))
    assert found.sighting is not None
    assert (found.facts, found.sighting.event_type, found.sighting.occurred_at) == ((), event_type, at(60))


def test_prose_is_no_reason() -> None:
    for reason, kept in (("BUYER_COMPLAINT", "BUYER_COMPLAINT"), ("Ann said so", ""), (None, "")):
        found = fact(event("PAYMENT.CAPTURE.PENDING", capture("PENDING", status_details={"reason": reason})))
        assert found.reason == kept


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("charge", paypal_statuses.AUTHORIZATION),
        ("charge", paypal_statuses.CAPTURE),
        ("refund", paypal_statuses.REFUND),
        ("intent", paypal_statuses.ORDER),
        ("intent", paypal_statuses.ORDER_V1),
        ("intent", paypal_statuses.PAYMENT_V1),
        ("payout", paypal_statuses.PAYOUT),
    ],
)
def test_every_status_that_is_read_has_its_place_in_the_lifecycle(kind: str, words: dict[str, str]) -> None:
    assert set(words.values()) <= lifecycle_of("paypal", kind).moves.keys()


def test_the_resource_is_kept_nowhere_but_in_the_raw_message() -> None:
    raw = event("PAYMENT.CAPTURE.COMPLETED", capture(note_to_payer="for Ann", custom_id="ann.smith@example.com"))
    assert "nn" not in json.dumps([str(each) for each in reading(raw).facts])
