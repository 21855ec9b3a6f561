"""PayPal's activity download: what each row says, and which day it was."""

from datetime import UTC, datetime

import msgspec
import pytest

from domain.fact import Fact
from gateway.sources.csv_rows import UNDECIDED
from tests.gateway.sources.exports import ACTIVITY, fact, reading, refusal, source

PAYPAL = source("paypal-csv", dates="dmy")
CAPTURE = "8AC24602CN914213T"


def test_a_payment_received_is_a_capture_under_its_own_id() -> None:
    assert msgspec.structs.replace(fact(PAYPAL, ACTIVITY), fact_id="") == Fact(
        fact_id="",
        provider="paypal",
        payment_id=CAPTURE,
        object=f"charge:{CAPTURE}",
        status="captured",
        occurred_at=datetime(2026, 2, 27, 21, 57, 10, tzinfo=UTC),
        source="export",
        amount_minor=105_809,
        currency="EUR",
        captured_minor=105_809,
        raw="INGEST:7",
    )


def test_a_refund_is_of_the_capture_that_it_names_and_has_no_sign() -> None:
    given = {"Type": "Payment Refund", "Gross": "-1,058.09", "Transaction ID": "0K71", "Reference Txn ID": CAPTURE}
    found = fact(PAYPAL, ACTIVITY, **given)

    assert (found.object, found.payment_id, found.status) == ("refund:0K71", CAPTURE, "succeeded")
    assert (found.amount_minor, found.refers_to) == (105_809, (f"charge:{CAPTURE}",))
    assert refusal(PAYPAL, ACTIVITY, **given | {"Reference Txn ID": ""}).code == "event.field_missing"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Status": "Pending"}, "pending"),
        ({"Status": "Partially Refunded"}, "captured"),
        ({"Type": "General Authorization", "Status": "Pending"}, "authorized"),
        ({"Type": "Website Payment"}, "captured"),
    ],
)
def test_a_row_says_what_was_so_at_its_time(changed: dict[str, str], status: str) -> None:
    assert fact(PAYPAL, ACTIVITY, **changed).status == status


@pytest.mark.parametrize(
    "changed",
    [
        {"Status": "Denied"},
        {"Type": "General Authorization", "Status": "Expired"},
        {"Type": "Payment Refund", "Gross": "-5.00", "Status": "Canceled"},
        {"Gross": "-5.00"},
        {"Type": "Payment Reversal", "Gross": "-5.00"},
        {"Type": "General Currency Conversion"},
        {"Type": "Hold on Balance for Dispute Investigation", "Gross": "-5.00"},
    ],
)
def test_what_has_no_time_or_is_no_payment_received_is_only_seen(changed: dict[str, str]) -> None:
    assert reading(PAYPAL, ACTIVITY, **changed).sighting is not None


@pytest.mark.parametrize(
    ("dates", "date", "zone", "instant"),
    [
        ("dmy", "03/07/2026", "PDT", "2026-07-03 20:57:10"),
        ("mdy", "03/07/2026", "PST", "2026-03-07 21:57:10"),
        ("", "3/7/2026", "America/Los_Angeles", "2026-03-07 21:57:10"),
        ("", "03.07.2026", "Europe/Berlin", "2026-07-03 11:57:10"),
        ("", "2026-07-03", "PDT", "2026-07-03 20:57:10"),
        ("d.m.y", "3.7.2026", "CEST", "2026-07-03 11:57:10"),
    ],
)
def test_the_order_of_day_and_month_is_the_file_s(dates: str, date: str, zone: str, instant: str) -> None:
    found = fact(source("paypal-csv", dates=dates), ACTIVITY, Date=date, TimeZone=zone)

    assert found.occurred_at == datetime.fromisoformat(instant).replace(tzinfo=UTC)


def test_where_both_orders_are_in_use_nothing_is_guessed() -> None:
    for date in ("03/07/2026", "27/02/2026"):
        refused = refusal(source("paypal-csv"), ACTIVITY, Date=date)
        assert (refused.code, refused.detail[:8]) == (UNDECIDED, "line 2: ")
        assert "`dates`" in refused.detail


def test_a_day_that_does_not_fit_the_order_is_refused() -> None:
    assert refusal(source("paypal-csv", dates="mdy"), ACTIVITY).code == "event.time_malformed"


def test_a_german_account_writes_points_and_commas() -> None:
    german = source("paypal-csv", decimal_separator=",")

    assert fact(german, ACTIVITY, Gross="1.058,09", Date="27.02.2026").amount_minor == 105_809


@pytest.mark.parametrize("column", ["TimeZone", "Time zone", "Time Zone"])
def test_the_zone_s_column_has_had_several_names(column: str) -> None:
    row = {name: text for name, text in ACTIVITY.items() if name != "TimeZone"}

    assert fact(PAYPAL, row, **{column: "PST"}).occurred_at.hour == 21
