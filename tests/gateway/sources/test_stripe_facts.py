"""What Stripe's objects mean in our words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.fact import Fact
from domain.lifecycle import lifecycle_of
from gateway.sources import stripe_statuses
from tests.gateway.sources.examples import (
    Body,
    charge,
    dispute,
    event,
    fact,
    intent,
    payout,
    reading,
    refund,
)

DECLINED = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Ann's card has no money"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_intent_is_read_whole() -> None:
    assert fact(event("payment_intent.succeeded", intent(latest_charge="ch_1"))) == Fact(
        fact_id="stripe:evt_1",
        provider="stripe",
        payment_id="pi_1",
        object="intent",
        status="captured",
        occurred_at=NOON,
        amount_minor=4900,
        currency="EUR",
        authorized_minor=4900,
        captured_minor=4900,
        customer_id="cus_1",
        refers_to=("charge:ch_1",),
        raw="INGEST:7",
    )


def test_a_charge_is_read_whole() -> None:
    assert fact(event("charge.updated", charge(amount_captured=3000, amount_refunded=2400))) == Fact(
        fact_id="stripe:evt_1",
        provider="stripe",
        payment_id="pi_1",
        object="charge:ch_1",
        status="captured",
        occurred_at=NOON,
        amount_minor=4900,
        currency="EUR",
        authorized_minor=4900,
        captured_minor=3000,
        refunded_minor=500,
        customer_id="cus_1",
        refers_to=("intent",),
        raw="INGEST:7",
    )


def test_a_refund_is_read_whole() -> None:
    raw = event("refund.failed", refund("failed", failure_reason="expired_or_canceled_card"))
    assert fact(raw) == Fact(
        fact_id="stripe:evt_1",
        provider="stripe",
        payment_id="pi_1",
        object="refund:re_1",
        status="failed",
        occurred_at=NOON,
        amount_minor=1900,
        currency="EUR",
        reason="expired_or_canceled_card",
        refers_to=("charge:ch_1", "intent"),
        raw="INGEST:7",
    )


def test_a_dispute_is_read_whole() -> None:
    assert fact(event("charge.dispute.created", dispute())) == Fact(
        fact_id="stripe:evt_1",
        provider="stripe",
        payment_id="pi_1",
        object="dispute:dp_1",
        status="open",
        occurred_at=NOON,
        amount_minor=4900,
        currency="EUR",
        reason="fraudulent",
        refers_to=("charge:ch_1", "intent"),
        raw="INGEST:7",
    )


def test_a_payout_is_a_payment_of_its_own() -> None:
    raw = event("payout.failed", payout("failed", failure_code="account_closed"))
    assert fact(raw) == Fact(
        fact_id="stripe:evt_1",
        provider="stripe",
        payment_id="po_1",
        object="payout:po_1",
        status="failed",
        occurred_at=NOON,
        amount_minor=90_000,
        currency="EUR",
        reason="account_closed",
        raw="INGEST:7",
    )
    assert reading(raw).links == ()


@pytest.mark.parametrize(
    ("body", "status", "authorized_minor", "captured_minor"),
    [
        (intent("requires_payment_method"), "pending", 0, 0),
        (intent("requires_payment_method", last_payment_error=None), "pending", 0, 0),
        (intent("requires_payment_method", last_payment_error=DECLINED), "failed", 0, 0),
        (intent("requires_confirmation"), "pending", 0, 0),
        (intent("requires_action", amount_capturable=1), "requires_action", 0, 0),
        (intent("processing", amount_received=1), "processing", 0, 0),
        (intent("requires_capture"), "authorized", 4900, 0),
        (intent("requires_capture", amount_capturable=1900, amount_received=3000), "authorized", 4900, 3000),
        (intent("succeeded", amount_received=3000), "captured", 3000, 3000),
        (intent("succeeded", amount_received=None), "captured", 4900, 4900),
        (intent("requires_capture", amount_received=None), "authorized", 4900, 0),
        (intent("canceled"), "canceled", 0, 0),
    ],
)
def test_an_intent_in_each_status(body: Body, status: str, authorized_minor: int, captured_minor: int) -> None:
    found = fact(event("payment_intent.created", body))
    assert (found.status, found.authorized_minor, found.captured_minor) == (status, authorized_minor, captured_minor)


@pytest.mark.parametrize(
    ("body", "status", "authorized_minor", "captured_minor"),
    [
        (charge("pending"), "pending", 0, 0),
        (charge("pending", captured=True, amount_captured=4900), "pending", 0, 0),
        (charge("failed"), "failed", 0, 0),
        (charge("failed", amount_captured=4900), "failed", 0, 0),
        (charge(), "captured", 4900, 4900),
        (charge(amount_captured=3000), "captured", 4900, 3000),
        (charge(amount_captured=None), "captured", 4900, 4900),
        (charge(captured=None, amount_captured=3000), "captured", 4900, 3000),
        (charge(captured=False), "authorized", 4900, 0),
        (charge(captured=False, amount_captured=None), "authorized", 4900, 0),
        (charge(captured=False, amount_refunded=1900), "authorized", 4900, 0),
        (charge(captured=False, amount_refunded=4900, refunded=True), "canceled", 0, 0),
        (charge(captured=False, amount_refunded=4900), "canceled", 0, 0),
        (charge(captured=False, refunded=True), "canceled", 0, 0),
        (charge(amount_captured=0, amount_refunded=4900), "canceled", 0, 0),
        (charge(amount_refunded=4900, refunded=True), "captured", 4900, 4900),
        (charge(None, paid=True, captured=True), "captured", 4900, 4900),
        (charge(None, paid=True, captured=False), "authorized", 4900, 0),
        (charge(None, paid=False), "failed", 0, 0),
    ],
)
def test_a_charge_in_each_status(body: Body, status: str, authorized_minor: int, captured_minor: int) -> None:
    if body["status"] is None:
        body = {**body, "amount_captured": None}
    found = fact(event("charge.updated", body))
    assert (found.status, found.authorized_minor, found.captured_minor) == (status, authorized_minor, captured_minor)


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_an_expired_charge_is_canceled_whatever_it_was(status: str) -> None:
    assert fact(event("charge.expired", charge(status, captured=False))).status == "canceled"


@pytest.mark.parametrize("event_type", ["refund.created", "refund.updated", "charge.refund.updated"])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("pending", "pending"),
        ("requires_action", "requires_action"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("canceled", "canceled"),
        (None, "succeeded"),
    ],
)
def test_a_refund_in_each_status(event_type: str, given: str | None, status: str) -> None:
    assert fact(event(event_type, refund(given))).status == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("warning_needs_response", "inquiry"),
        ("warning_under_review", "inquiry"),
        ("warning_closed", "won"),
        ("prevented", "won"),
        ("needs_response", "open"),
        ("under_review", "under_review"),
        ("won", "won"),
        ("lost", "lost"),
    ],
)
def test_a_dispute_in_each_status(given: str, status: str) -> None:
    assert fact(event("charge.dispute.updated", dispute(given))).status == status


@pytest.mark.parametrize("status", ["pending", "in_transit", "paid", "failed", "canceled"])
def test_a_payout_in_each_status(status: str) -> None:
    assert fact(event("payout.updated", payout(status))).status == status


def test_every_status_of_ours_has_a_place_in_its_lifecycle() -> None:
    words = {
        "intent": {*stripe_statuses._INTENT.values(), "failed"},
        "charge": {*stripe_statuses._CHARGE.values(), "authorized", "canceled"},
        "refund": {*stripe_statuses.REFUND.values()},
        "dispute": {*stripe_statuses.DISPUTE.values()},
        "payout": {*stripe_statuses.PAYOUT.values()},
    }
    for kind, statuses in words.items():
        assert statuses == lifecycle_of("stripe", kind).moves.keys()


def declined(**error: str) -> Body:
    return intent("requires_payment_method", last_payment_error=error)


@pytest.mark.parametrize(
    ("event_type", "body", "reason"),
    [
        ("payment_intent.payment_failed", declined(**DECLINED), "insufficient_funds"),
        ("payment_intent.payment_failed", declined(code="expired_card"), "expired_card"),
        ("payment_intent.payment_failed", declined(), ""),
        ("payment_intent.canceled", intent("canceled", cancellation_reason="abandoned"), "abandoned"),
        ("payment_intent.canceled", intent("canceled", last_payment_error=DECLINED), ""),
        ("charge.failed", charge("failed", failure_code="card_declined"), "card_declined"),
        ("refund.updated", refund("failed", failure_reason="unknown"), "unknown"),
        ("refund.updated", refund(reason="requested_by_customer"), ""),
        ("charge.dispute.created", dispute(reason=None), ""),
        ("payout.failed", payout("failed", failure_code="R03"), "R03"),
    ],
)
def test_a_reason_is_the_most_exact_code(event_type: str, body: Body, reason: str) -> None:
    assert fact(event(event_type, body)).reason == reason


@pytest.mark.parametrize("prose", ["Ann Smith changed her mind", "ann@example.com", "a" * 101, "\x00"])
def test_a_reason_that_is_no_code_is_left_out_and_the_fact_is_not(prose: str) -> None:
    found = fact(event("charge.failed", charge("failed", failure_code=prose)))
    assert (found.status, found.reason) == ("failed", "")


@pytest.mark.parametrize(
    ("event_type", "body", "payment_id", "refers_to", "links"),
    [
        ("charge.succeeded", charge(), "pi_1", ("intent",), (("ch_1", "pi_1"),)),
        ("charge.succeeded", charge(payment_intent=None), "ch_1", (), ()),
        ("refund.created", refund(), "pi_1", ("charge:ch_1", "intent"), (("ch_1", "pi_1"),)),
        ("refund.created", refund(payment_intent=None), "ch_1", ("charge:ch_1",), ()),
        ("refund.created", refund(charge=None), "pi_1", ("intent",), ()),
        ("refund.created", refund(charge=None, payment_intent=None), "re_1", (), ()),
        ("charge.dispute.created", dispute(), "pi_1", ("charge:ch_1", "intent"), (("ch_1", "pi_1"),)),
        ("charge.dispute.created", dispute(payment_intent=None), "ch_1", ("charge:ch_1",), ()),
        ("payment_intent.created", intent("processing", latest_charge="ch_1"), "pi_1", (), ()),
        ("payment_intent.created", intent("requires_capture", latest_charge="ch_1"), "pi_1", ("charge:ch_1",), ()),
        ("payment_intent.created", intent(), "pi_1", (), ()),
    ],
)
def test_a_fact_stands_under_what_it_names_and_says_what_it_needs(
    event_type: str, body: Body, payment_id: str, refers_to: tuple[str, ...], links: tuple[tuple[str, str], ...]
) -> None:
    found = reading(event(event_type, body))
    assert found.facts[0].payment_id == payment_id
    assert found.facts[0].refers_to == refers_to
    assert found.links == links


@pytest.mark.parametrize("given", ["cus_1", {"id": "cus_1", "object": "customer", "deleted": True}])
def test_an_expanded_object_stands_for_its_id(given: Any) -> None:
    assert fact(event("charge.succeeded", charge(customer=given))).customer_id == "cus_1"


def test_expanded_links_link() -> None:
    raw = event("refund.updated", refund(charge=charge(), payment_intent=intent()))
    assert reading(raw).links == (("ch_1", "pi_1"),)


def test_nobody_is_a_customer_too() -> None:
    assert fact(event("charge.succeeded", charge(customer=None))).customer_id == ""


def test_the_charges_that_an_intent_embeds_are_facts_of_their_own() -> None:
    attempts = [charge(), charge("failed", id="ch_0", failure_code="expired_card")]
    found = reading(event("payment_intent.succeeded", intent(charges={"object": "list", "data": attempts})))
    assert [(each.fact_id, each.object, each.status) for each in found.facts] == [
        ("stripe:evt_1", "intent", "captured"),
        ("stripe:evt_1#ch_1", "charge:ch_1", "captured"),
        ("stripe:evt_1#ch_0", "charge:ch_0", "failed"),
    ]
    assert found.facts[0].refers_to == ("charge:ch_1", "charge:ch_0")
    assert found.links == (("ch_1", "pi_1"), ("ch_0", "pi_1"))
    assert {each.occurred_at for each in found.facts} == {NOON}


def test_the_refunds_that_a_charge_embeds_are_facts_of_their_own() -> None:
    returned = [refund(id="re_2", charge=None, payment_intent=None), refund()]
    found = reading(event("charge.refunded", charge(amount_refunded=3800, refunds={"data": returned})))
    assert [(each.fact_id, each.object, each.payment_id, each.refers_to) for each in found.facts] == [
        ("stripe:evt_1", "charge:ch_1", "pi_1", ("intent",)),
        ("stripe:evt_1#re_2", "refund:re_2", "pi_1", ("charge:ch_1", "intent")),
        ("stripe:evt_1#re_1", "refund:re_1", "pi_1", ("charge:ch_1", "intent")),
    ]


def test_what_an_embedded_charge_does_not_name_is_what_it_is_embedded_in() -> None:
    nested = charge(payment_intent=None, refunds={"data": [refund(payment_intent=None)]})
    found = reading(event("payment_intent.succeeded", intent(charges={"data": [nested]})))
    assert [each.payment_id for each in found.facts] == ["pi_1", "pi_1", "pi_1"]


@pytest.mark.parametrize(
    "event_type",
    [
        "customer.updated",
        "invoice.paid",
        "checkout.session.completed",
        "transfer.created",
        "setup_intent.succeeded",
        "charge",
        "payment_intents.succeeded",
        "v1.billing.meter.error_report_triggered",
    ],
)
@pytest.mark.parametrize("body", [{"id": 7, "amount": "many"}, None, [], "text"])
def test_a_type_that_states_nothing_about_money_is_seen(event_type: str, body: Any) -> None:
    found = reading(event(event_type, body))
    assert found.sighting is not None
    assert (found.facts, found.links, found.sighting.event_id) == ((), (), "evt_1")


def test_a_thin_event_has_its_time_in_words_and_no_object() -> None:
    raw = event("v2.core.account.updated", None, created="2026-03-01T13:00:00.000+01:00", data=None)
    sighting = reading(raw).sighting
    assert sighting is not None
    assert (sighting.occurred_at, sighting.occurred_at.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("payment_intent.partially_funded", "payment_intent"),
        ("charge.refunded", "charge"),
        ("charge.refund.updated", "refund"),
        ("charge.dispute.funds_withdrawn", "dispute"),
        ("charge.dispute.evidence.updated", "dispute"),
        ("refund.created", "refund"),
        ("payout.reconciliation_completed", "payout"),
    ],
)
def test_a_type_is_read_by_its_longest_known_prefix(event_type: str, kind: str) -> None:
    bodies = {
        "payment_intent": intent(),
        "charge": charge(amount_refunded=1),
        "refund": refund(),
        "dispute": dispute(),
        "payout": payout(),
    }
    assert fact(event(event_type, bodies[kind])).kind in {kind, "intent"}


def test_what_is_not_needed_is_not_looked_at() -> None:
    odd = charge(billing_details=7, outcome=[None], metadata={"amount": "x"}, balance_transaction={"id": None})
    assert fact(event("charge.succeeded", odd, livemode="yes", previous_attributes=3)).status == "captured"
