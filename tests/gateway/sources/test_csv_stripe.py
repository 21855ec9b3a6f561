"""Stripe's exports: what each row says, and that it says nothing else than the webhooks."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import msgspec
import pytest

from domain.fact import Fact
from domain.payment import PaymentView
from gateway.sources import stripe
from tests.gateway.sources.conformance import Message, views
from tests.gateway.sources.examples import CREATED, charge, dispute, event, intent, refund
from tests.gateway.sources.exports import BALANCE, PAYMENT, PAYOUT, fact, message, reading, refusal, source

STRIPE = source("stripe-csv")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_charge_was_captured_when_it_was_booked() -> None:
    told = reading(STRIPE, BALANCE)

    assert told.links == (("ch_1", "pi_1"),)
    [found] = told.facts
    assert found.fact_id.startswith("stripe:txn_1:")
    assert msgspec.structs.replace(found, fact_id="") == Fact(
        fact_id="",
        provider="stripe",
        payment_id="pi_1",
        object="charge:ch_1",
        status="captured",
        occurred_at=NOON,
        source="export",
        amount_minor=4900,
        currency="EUR",
        authorized_minor=4900,
        captured_minor=4900,
        customer_id="cus_1",
        raw="INGEST:7",
    )


def test_a_charge_in_another_currency_than_the_account_s_is_what_the_customer_paid() -> None:
    found = fact(STRIPE, BALANCE, gross="53.10", currency="usd")

    assert (found.amount_minor, found.captured_minor, found.currency) == (4900, 4900, "EUR")


def test_a_charge_in_a_currency_without_decimals_is_counted_in_its_units() -> None:
    yen = {"currency": "jpy", "customer_facing_currency": "jpy", "gross": "4,900", "customer_facing_amount": "4900.00"}

    assert fact(STRIPE, BALANCE, **yen).captured_minor == 4900


def test_a_capture_in_part_is_told_by_either_way_to_book_it() -> None:
    at_once = fact(STRIPE, BALANCE, gross="30.00")
    reversal = fact(STRIPE, BALANCE, reporting_category="partial_capture_reversal", gross="-19.00", source_id="ch_1")

    assert (at_once.amount_minor, at_once.captured_minor) == (4900, 3000)
    assert (reversal.amount_minor, reversal.captured_minor, reversal.status) == (4900, 3000, "captured")
    assert reversal.occurred_at > fact(STRIPE, BALANCE).occurred_at


@pytest.mark.parametrize(
    ("category", "source_id", "of_object", "status"),
    [
        ("charge_failure", "ch_1", "charge:ch_1", "failed"),
        ("refund", "re_1", "refund:re_1", "succeeded"),
        ("refund_failure", "re_1", "refund:re_1", "failed"),
        ("dispute", "dp_1", "dispute:dp_1", "open"),
        ("dispute_reversal", "dp_1", "dispute:dp_1", "won"),
    ],
)
def test_a_category_says_what_became_of_which_object(
    category: str, source_id: str, of_object: str, status: str
) -> None:
    found = fact(STRIPE, BALANCE, reporting_category=category, source_id=source_id, gross="-49.00")

    assert (found.object, found.status, found.payment_id, found.amount_minor) == (of_object, status, "pi_1", 4900)


def test_what_is_no_card_may_still_fail_and_is_pending() -> None:
    bank = {"source_id": "py_1", "charge_id": "py_1"}

    assert fact(STRIPE, BALANCE, **bank).status == "pending"
    assert fact(STRIPE, BALANCE, reporting_category="refund", **bank | {"source_id": "pyr_1"}).status == "pending"


def test_a_fee_is_only_seen() -> None:
    told = reading(STRIPE, BALANCE, reporting_category="fee", customer_facing_amount="", source_id="")

    assert told.sighting is not None
    assert (told.facts, told.sighting.event_type) == ((), "fee")


@pytest.mark.parametrize(
    ("status", "changed", "at"),
    [
        ("paid", {}, datetime(2026, 3, 4, tzinfo=UTC)),
        ("in_transit", {"effective_at_utc": "2026-03-03 00:00:00"}, datetime(2026, 3, 3, tzinfo=UTC)),
        ("failed", {"payout_reversed_at_utc": "2026-03-06 10:00:00"}, datetime(2026, 3, 6, 10, tzinfo=UTC)),
    ],
)
def test_a_payout_is_dated_by_what_became_of_it(status: str, changed: dict[str, str], at: datetime) -> None:
    found = fact(STRIPE, PAYOUT, payout_status=status, **changed)

    assert (found.object, found.status, found.occurred_at, found.amount_minor) == ("payout:po_1", status, at, 90_000)


def test_the_two_rows_of_a_failed_payout_are_one_fact() -> None:
    failed = {"payout_status": "failed", "payout_reversed_at_utc": "2026-03-06 10:00:00"}
    back = failed | {"reporting_category": "payout_reversal", "balance_transaction_id": "txn_8", "gross": "900.00"}

    assert fact(STRIPE, PAYOUT, **failed).fact_id == fact(STRIPE, PAYOUT, **back).fact_id


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, "captured"),
        ({"Status": "Refunded"}, "captured"),
        ({"Status": "Failed", "Captured": "false"}, "failed"),
        ({"Status": "Uncaptured", "Captured": "false"}, "authorized"),
    ],
)
def test_a_payment_of_the_dashboard_has_its_status_since_it_was_created(changed: dict[str, str], status: str) -> None:
    found = fact(STRIPE, PAYMENT, **changed)

    assert (found.status, found.occurred_at, found.customer_id) == (status, NOON, "cus_1")


@pytest.mark.parametrize(
    "changed", [{"id": "py_1"}, {"id": "pi_1", "Status": "Canceled"}, {"Status": "Pending"}, {"Status": "Nonsense"}]
)
def test_a_payment_whose_status_has_no_time_is_only_seen(changed: dict[str, str]) -> None:
    assert reading(STRIPE, PAYMENT, **changed).sighting is not None


def test_captures_of_an_account_that_captures_later_have_no_time() -> None:
    manual = source("stripe-csv", capture="manual")

    assert reading(manual, PAYMENT).sighting is not None
    assert fact(manual, PAYMENT, Captured="false").status == "authorized"


def test_amounts_may_be_written_with_a_comma() -> None:
    assert fact(source("stripe-csv", decimal_separator=","), PAYMENT, Amount="1.049,00").amount_minor == 104_900


@pytest.mark.parametrize(
    ("row", "changed", "code"),
    [
        (BALANCE, {"customer_facing_amount": ""}, "event.field_missing"),
        (BALANCE, {"customer_facing_amount": "49.001"}, "event.amount_malformed"),
        (BALANCE, {"customer_facing_amount": "1,04"}, "event.amount_malformed"),
        (BALANCE, {"created_utc": "01/03/2026"}, "event.time_malformed"),
        (BALANCE, {"created_utc": "1066-03-01 00:00:00"}, "event.time_out_of_range"),
        (BALANCE, {"balance_transaction_id": "txn 1"}, "event.id_malformed"),
        (BALANCE, {"reporting_category": "refund", "charge_id": ""}, "event.field_missing"),
        (BALANCE, {"customer_facing_currency": "euro"}, "event.currency_malformed"),
        (PAYOUT, {"payout_status": "lost"}, "event.unknown_status"),
        (PAYOUT, {"payout_status": "failed"}, "event.field_missing"),
    ],
)
def test_a_row_that_cannot_be_read_says_its_line_and_its_column(
    row: dict[str, str], changed: dict[str, str], code: str
) -> None:
    refused = refusal(STRIPE, row, **changed)

    assert refused.code == code
    assert refused.detail.startswith("line 2: ")


def webhook(event_type: str, body: Any, event_id: str, seconds: int = 0) -> Message:
    return Message(raw=event(event_type, body, id=event_id, created=CREATED + seconds))


def row(fields: dict[str, str], **changed: str) -> Message:
    return Message(raw=message(fields | changed), headers={"of": "export"})


class Both:
    """Webhooks and exports of one account."""

    name = "stripe"

    def read(self, raw: bytes, *, headers: Any, ref: str) -> Any:
        return (STRIPE if headers else stripe).read(raw, headers={}, ref=ref)


def without_count(found: dict[str, PaymentView]) -> dict[str, PaymentView]:
    """An export adds to what is known of a payment, if not to what it is."""
    return {name: msgspec.structs.replace(each, facts=0) for name, each in found.items()}


WEBHOOKS = (
    webhook("payment_intent.succeeded", intent(latest_charge="ch_1"), "evt_1"),
    webhook("charge.succeeded", charge(), "evt_2"),
    webhook("refund.created", refund(), "evt_3", 75_600),
    webhook("charge.dispute.created", dispute(), "evt_4", 90_000),
)
EXPORTS = (
    row(BALANCE),
    row(PAYMENT),
    row(
        BALANCE,
        balance_transaction_id="txn_2",
        reporting_category="refund",
        source_id="re_1",
        created_utc="2026-03-02 09:00:00",
        gross="-19.00",
        customer_facing_amount="-19.00",
    ),
    row(
        BALANCE,
        balance_transaction_id="txn_4",
        reporting_category="dispute",
        source_id="dp_1",
        created_utc="2026-03-02 13:00:00",
        dispute_reason="fraudulent",
    ),
)


def test_exports_beside_webhooks_change_no_payment_in_any_order() -> None:
    alone = without_count(views(stripe, WEBHOOKS))
    assert {each.certainty for each in alone.values()} == {"certain"}

    for order in permutations((WEBHOOKS[1], *EXPORTS), 5):
        found = views(Both(), [WEBHOOKS[0], *order, *WEBHOOKS[2:]])  # type: ignore[arg-type]  # only read is needed
        assert without_count(found) == alone


def test_exports_alone_tell_the_same_money() -> None:
    [by_webhook] = views(stripe, WEBHOOKS).values()
    [by_export] = views(STRIPE, EXPORTS).values()

    for field in ("status", "amount_minor", "captured_minor", "refunded_minor", "refunds", "disputes", "certainty"):
        assert getattr(by_export, field) == getattr(by_webhook, field), field


def test_an_export_never_undoes_what_came_later() -> None:
    later = webhook(
        "charge.refund.updated", refund("failed", failure_reason="expired_or_canceled_card"), "evt_9", 99_999
    )
    alone = without_count(views(stripe, [*WEBHOOKS, later]))

    assert without_count(views(Both(), [*WEBHOOKS, later, *EXPORTS])) == alone  # type: ignore[arg-type]  # as above
    [found] = alone.values()
    assert [each.status for each in found.refunds] == ["failed"]


def test_the_same_charge_in_two_reports_is_one_fact_and_a_corrected_one_is_another() -> None:
    same = fact(STRIPE, BALANCE, available_on_utc="2026-03-09 00:00:00")

    assert same == fact(STRIPE, BALANCE)
    assert fact(STRIPE, BALANCE, customer_id="cus_2").fact_id != same.fact_id


def test_at_the_same_second_the_object_itself_is_believed_and_not_the_report() -> None:
    in_part = webhook("charge.captured", charge(amount_captured=3000, payment_intent=None), "evt_2")

    [found] = views(Both(), [in_part, row(BALANCE, payment_intent_id="")]).values()  # type: ignore[arg-type]  # as above
    assert found.captured_minor == 3000
