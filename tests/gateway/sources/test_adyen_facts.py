"""What Adyen's notifications mean in our words."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.fact import Fact
from domain.lifecycle import LIFECYCLES
from domain.payment import PaymentView
from domain.webhook import RecordSighting
from gateway.sources import adyen, adyen_automatic_capture
from gateway.sources.adyen_events import AUTOMATIC_CAPTURE, EFFECTS
from gateway.sources.port import Reading
from tests.gateway.sources.adyen_examples import (
    CAPTURE,
    DISPUTE,
    PAYMENT,
    REFUND,
    Body,
    at,
    fact,
    item,
    notification,
    published,
    reading,
    refusal,
)
from tests.gateway.sources.conformance import Message, views

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def payment(*messages: Message, payment_id: str = PAYMENT) -> PaymentView:
    return views(adyen, messages)[payment_id]


def test_an_authorisation_is_read_whole() -> None:
    found = fact(item("AUTHORISATION", additionalData={"shopperReference": "shopper-1"}))
    assert found == Fact(
        fact_id=found.fact_id,
        provider="adyen",
        payment_id=PAYMENT,
        object="intent",
        status="authorized",
        occurred_at=NOON,
        amount_minor=4900,
        currency="EUR",
        authorized_minor=4900,
        customer_id="shopper-1",
        raw="INGEST:7",
    )
    assert found.fact_id.startswith(f"adyen:AUTHORISATION:{PAYMENT}:")


def test_a_modification_is_of_the_payment_that_it_names() -> None:
    found = fact(item("CAPTURE", CAPTURE, PAYMENT))
    assert (found.payment_id, found.object, found.status) == (PAYMENT, f"charge:{CAPTURE}", "captured")
    assert (found.captured_minor, found.refers_to) == (4900, ("intent",))


def test_a_dispute_names_its_reason_by_code_and_brings_along_what_came_without_its_payment() -> None:
    data = {"chargebackReasonCode": " 4853", "chargebackSchemeCode": "mc"}
    result = reading(item("CHARGEBACK", DISPUTE, PAYMENT, additionalData=data, reason="Goods not received"))
    assert (result.facts[0].reason, result.links) == ("mc_4853", ((DISPUTE, PAYMENT),))
    alone = reading(item("CHARGEBACK_REVERSED", DISPUTE))
    assert (alone.facts[0].payment_id, alone.facts[0].refers_to, alone.links) == (DISPUTE, (), ())


@pytest.mark.parametrize(
    ("event_code", "success", "kind", "status"),
    [
        ("AUTHORISATION", "false", "intent", "failed"),
        ("AUTHORISATION_ADJUSTMENT", "true", "intent", "authorized"),
        ("CANCELLATION", "true", "intent", "canceled"),
        ("TECHNICAL_CANCEL", "true", "intent", "canceled"),
        ("EXPIRE", "true", "intent", "failed"),
        ("OFFER_CLOSED", "true", "intent", "failed"),
        ("CAPTURE", "false", "charge", "failed"),
        ("CAPTURE_FAILED", "true", "charge", "failed"),
        ("REFUND", "true", "refund", "succeeded"),
        ("REFUND", "false", "refund", "failed"),
        ("REFUND_WITH_DATA", "true", "refund", "succeeded"),
        ("POSTPONED_REFUND", "true", "refund", "pending"),
        ("REFUND_FAILED", "true", "refund", "failed"),
        ("REFUNDED_REVERSED", "true", "refund", "failed"),
        ("REQUEST_FOR_INFORMATION", "true", "dispute", "inquiry"),
        ("NOTIFICATION_OF_CHARGEBACK", "true", "dispute", "open"),
        ("INFORMATION_SUPPLIED", "true", "dispute", "under_review"),
        ("CHARGEBACK_REVERSED", "true", "dispute", "won"),
        ("SECOND_CHARGEBACK", "true", "dispute", "lost"),
        ("PREARBITRATION_LOST", "true", "dispute", "lost"),
        ("PREARBITRATION_WON", "true", "dispute", "won"),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", "true", "dispute", "lost"),
        ("ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "true", "dispute", "won"),
        ("PAYOUT_THIRDPARTY", "true", "payout", "paid"),
        ("PAYOUT_THIRDPARTY", "false", "payout", "failed"),
        ("PAYOUT_DECLINE", "true", "payout", "canceled"),
        ("PAIDOUT_REVERSED", "true", "payout", "failed"),
    ],
)
def test_an_event_code_says_what_became_of_its_object(event_code: str, success: str, kind: str, status: str) -> None:
    found = fact(item(event_code, "MODIFICATION0001", PAYMENT, success=success))
    assert (found.payment_id, found.kind, found.status) == (PAYMENT, kind, status)


@pytest.mark.parametrize(
    "body",
    [
        item("REPORT_AVAILABLE", "settlement_detail_report_batch_1.csv", merchantReference=""),
        item("CANCELLATION", "C1", PAYMENT, success="false", reason="Transaction not found"),
        item("AUTHORISATION_ADJUSTMENT", "A1", PAYMENT, success="false"),
        item("CANCEL_OR_REFUND", "C1", PAYMENT, success="false"),
        item("NOTIFICATION_OF_FRAUD", DISPUTE, PAYMENT),
        item("A_CODE_OF_TOMORROW", "X1", PAYMENT, amount=None),
    ],
)
def test_what_changes_no_money_is_seen_and_no_more(body: Body) -> None:
    result = reading(body)
    own, code = body["pspReference"], body["eventCode"]
    assert result.sighting == RecordSighting(
        source="adyen", event_id=f"{code}:{own}", event_type=code, occurred_at=NOON, raw="INGEST:7"
    )


@pytest.mark.parametrize(
    ("action", "kind", "status"), [("cancel", "intent", "canceled"), ("refund", "refund", "succeeded")]
)
def test_a_reversal_is_what_it_says_that_it_was(action: str, kind: str, status: str) -> None:
    found = fact(item("CANCEL_OR_REFUND", REFUND, PAYMENT, additionalData={"modification.action": action}))
    assert (found.kind, found.status) == (kind, status)


@pytest.mark.parametrize(("told", "status"), [("Pending", "open"), ("Lost", "lost"), ("Won", "won"), (None, "open")])
def test_a_chargeback_that_is_decided_at_once_is_over(told: str | None, status: str) -> None:
    data = {} if told is None else {"disputeStatus": told}
    assert fact(item("CHARGEBACK", DISPUTE, PAYMENT, additionalData=data)).status == status


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("Not enough balance", "not_enough_balance"),
        ("EXPIRED_CARD", "expired_card"),
        ("3D Not Authenticated", "3d_not_authenticated"),
        ("Ann Smith called", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_refusal_is_told_in_words_that_adyen_has_a_list_of(reason: str | None, kept: str) -> None:
    assert fact(item("AUTHORISATION", success="false", reason=reason)).reason == kept


@pytest.mark.parametrize(
    ("value", "currency", "amount_minor"),
    [
        (4900, "EUR", 4900),
        ("4900", "EUR", 4900),
        (50_000, "VND", 50_000),
        (1234, "KWD", 1234),
        (150_000, "CLP", 1500),
        (15_000, "IDR", 1_500_000),
        (15_000, "UGX", 1_500_000),
        (700, "CVE", 70_000),
        (700, "ISK", 700),
        (0, "EUR", 0),
    ],
)
def test_an_amount_is_in_our_minor_units(value: Any, currency: str, amount_minor: int) -> None:
    found = fact(item("AUTHORISATION", amount={"value": value, "currency": currency}))
    assert (found.amount_minor, found.currency) == (amount_minor, currency)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount": None}, "event.amount_missing"),
        ({"amount": {"value": -1, "currency": "EUR"}}, "event.amount_out_of_range"),
        ({"amount": {"value": 10**16, "currency": "EUR"}}, "event.amount_out_of_range"),
        ({"amount": {"value": "1.5", "currency": "EUR"}}, "event.amount_malformed"),
        ({"amount": {"value": "", "currency": "EUR"}}, "event.amount_malformed"),
        ({"amount": {"value": 150_050, "currency": "CLP"}}, "event.amount_malformed"),
        ({"amount": {"value": 1, "currency": "eur"}}, "event.currency_malformed"),
        ({"amount": {"value": 1.5, "currency": "EUR"}}, "event.wrong_shape"),
        ({"eventDate": "2026-03-01T13:00:00"}, "event.time_malformed"),
        ({"eventDate": "0001-01-01T00:00:00+14:00"}, "event.time_malformed"),
        ({"eventDate": "1969-12-31T23:59:59Z"}, "event.time_out_of_range"),
        ({"eventDate": None}, "event.wrong_shape"),
        ({"pspReference": "a/b"}, "event.id_malformed"),
        ({"pspReference": "A1:"}, "event.id_malformed"),
        ({"originalReference": "A B"}, "event.id_malformed"),
        ({"eventCode": "AUTH ORISATION"}, "event.type_malformed"),
        ({"eventCode": "X" * 65}, "event.type_malformed"),
        ({"success": "yes"}, "event.success_malformed"),
        ({"eventCode": "CAPTURE"}, "event.original_missing"),
        ({"eventCode": "CANCEL_OR_REFUND", "originalReference": PAYMENT}, "event.action_missing"),
        ({"additionalData": 7}, "event.wrong_shape"),
    ],
)
def test_an_item_that_cannot_be_believed_is_refused(fields: Body, code: str) -> None:
    assert refusal({**item("AUTHORISATION"), **fields}).code == code


def test_a_bad_item_spoils_no_other() -> None:
    bad = item("REFUND", REFUND, PAYMENT, eventDate="yesterday")
    result = reading(item("AUTHORISATION"), bad, item("REPORT_AVAILABLE", "r.csv"), item("CAPTURE", CAPTURE, PAYMENT))
    assert [each.object for each in result.facts] == ["intent", f"charge:{CAPTURE}"]
    assert result.refused is not None
    assert result.refused.code == "event.time_malformed"
    (aimed,) = result.commands
    assert (aimed.category, aimed.key) == ("webhook", "adyen/REPORT_AVAILABLE:r.csv")
    assert isinstance(aimed.command, RecordSighting)
    assert refusal(bad, bad).code == "event.time_malformed"


def test_an_item_that_comes_twice_in_one_body_is_one_fact() -> None:
    result = reading(item("CHARGEBACK", DISPUTE, PAYMENT), item("CHARGEBACK", DISPUTE, PAYMENT))
    assert (len(result.facts), result.links, result.refused) == (1, ((DISPUTE, PAYMENT),), None)


def test_a_duplicate_whose_time_differs_is_a_fact_of_its_own_and_the_latest_counts() -> None:
    refused = at(1, "AUTHORISATION", success="false", reason="Refused")
    later = at(2, "AUTHORISATION")
    for order in ([refused, later], [later, refused], [later, refused, later]):
        found = payment(*order)
        assert (found.status, found.facts, found.certainty) == ("authorized", 2, "certain")


def test_a_capture_that_failed_and_was_tried_again_is_captured() -> None:
    authorised = at(1, "AUTHORISATION")
    captured, failed, again = (
        at(2, "CAPTURE", CAPTURE, PAYMENT),
        at(3, "CAPTURE_FAILED", CAPTURE, PAYMENT),
        at(4, "CAPTURE", CAPTURE, PAYMENT, reason="Transaction Recaptured"),
    )
    assert payment(failed, captured, authorised).status == "authorized"
    assert payment(again, failed, captured, authorised).status == "captured"


def test_of_events_in_one_second_the_legal_end_counts() -> None:
    found = payment(
        at(1, "REFUND_FAILED", REFUND, PAYMENT),
        at(1, "REFUND", REFUND, PAYMENT),
        at(1, "CAPTURE", CAPTURE, PAYMENT),
        at(1, "AUTHORISATION"),
        at(1, "CHARGEBACK_REVERSED", DISPUTE, PAYMENT),
        at(1, "CHARGEBACK", DISPUTE, PAYMENT),
        at(1, "NOTIFICATION_OF_CHARGEBACK", DISPUTE, PAYMENT),
    )
    assert (found.status, found.refunds[0].status, found.disputes[0].status) == ("captured", "failed", "won")
    assert found.certainty == "certain"


def test_partial_captures_add_up_and_what_expires_is_only_the_rest() -> None:
    half = {"amount": {"value": 2000, "currency": "EUR"}}
    found = payment(
        at(1, "AUTHORISATION"),
        at(2, "CAPTURE", CAPTURE, PAYMENT, **half),
        at(3, "CAPTURE", "CAPTURE00000002", PAYMENT, **half),
        at(9, "EXPIRE"),
    )
    assert (found.status, found.captured_minor, found.amount_minor) == ("captured", 4000, 4900)
    assert found.certainty == "certain"
    assert payment(at(1, "AUTHORISATION"), at(9, "EXPIRE")).reason == "expired"


def test_an_event_of_a_dispute_that_names_no_payment_finds_it_through_one_that_does() -> None:
    named, alone = at(1, "CHARGEBACK", DISPUTE, PAYMENT), at(5, "SECOND_CHARGEBACK", DISPUTE)
    for order in ([named, alone, at(1, "AUTHORISATION")], [alone, at(1, "AUTHORISATION"), named]):
        found = views(adyen, order)
        assert found.keys() == {PAYMENT}
        assert [each.status for each in found[PAYMENT].disputes] == ["lost"]


def test_a_cancellation_outranks_an_authorisation_that_comes_late() -> None:
    found = payment(at(5, "CANCELLATION", "C1", PAYMENT), at(9, "AUTHORISATION"))
    assert (found.status, found.authorized_minor) == ("canceled", 0)


def test_an_account_that_captures_at_once_has_the_money_with_the_authorisation() -> None:
    authorised, failed = at(1, "AUTHORISATION"), at(2, "CAPTURE_FAILED", CAPTURE, PAYMENT)
    taken = views(adyen_automatic_capture, [authorised])[PAYMENT]
    assert (taken.status, taken.captured_minor) == ("captured", 4900)
    assert views(adyen_automatic_capture, [failed, authorised])[PAYMENT].status == "failed"
    canceled = views(adyen_automatic_capture, [at(2, "CANCELLATION", "C1", PAYMENT), authorised])[PAYMENT]
    assert (canceled.status, canceled.certainty) == ("canceled", "certain")


def test_every_status_that_is_said_has_its_row_of_legal_moves() -> None:
    for effect in (*EFFECTS.values(), *AUTOMATIC_CAPTURE.values()):
        assert {effect.status, effect.refused or effect.status} <= LIFECYCLES["adyen", effect.kind].moves.keys()


NOT_CLASSIC = ("BalancePlatform", "ACH_", "DIRECT_DEBIT_")
# The event codes of which only that they came is kept, and why the one that is refused is.
SEEN = frozenset(
    "AUTORESCUE CANCEL_AUTORESCUE ISSUER_COMMENTS MANUAL_REVIEW_ACCEPT MANUAL_REVIEW_REJECT NOTIFICATION_OF_FRAUD "
    "ORDER_CLOSED ORDER_OPENED RECURRING_CONTRACT REPORT_AVAILABLE VOID_PENDING_REFUND".split()
)


def test_every_published_notification_is_a_fact_or_a_sighting() -> None:
    files = [path for path in published("openapi-examples/*.json") if not path.name.startswith(NOT_CLASSIC)]
    assert len(files) > 35
    for path in files:
        result = adyen.read(path.read_bytes(), headers={}, ref=path.name)
        assert isinstance(result, Reading), (path.name, result)
        assert result.refused is None
        assert bool(result.facts) != (result.event_type in SEEN), path.name


def test_every_item_of_a_librarys_tests_is_a_fact() -> None:
    for path in published("hmac/*notification.json") + published("hmac/hmac-validation-webhook.json"):
        found = fact(json.loads(path.read_bytes()))
        assert (found.status, found.amount_minor, found.reason) == ("authorized", 1000, ""), path.name


def test_what_is_no_classic_notification_is_refused() -> None:
    for path in published("openapi-examples/*.json"):
        if path.name.startswith(NOT_CLASSIC):
            result = adyen.read(path.read_bytes(), headers={}, ref=path.name)
            assert getattr(result, "code", "") == "body.wrong_shape", path.name


def test_the_reasons_of_a_body_that_is_none() -> None:
    assert getattr(adyen.read(b"\xff", headers={}, ref=""), "code", "") == "body.not_utf8"
    assert getattr(adyen.read(b"live=true", headers={}, ref=""), "code", "") == "body.not_json"
    assert getattr(adyen.read(notification(), headers={}, ref=""), "code", "") == "body.wrong_shape"
    deep = b'{"x":' + b"[" * 100_000
    assert getattr(adyen.read(deep, headers={}, ref=""), "code", "") == "body.too_deep"
