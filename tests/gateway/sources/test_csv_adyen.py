"""Adyen's settlement details: what each row says, when it was, and that notifications say the same."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import msgspec
import pytest

from domain.fact import Fact
from gateway.sources import adyen
from tests.gateway.sources.conformance import Message, views
from tests.gateway.sources.exports import SETTLEMENT, fact, message, reading, refusal, source

ADYEN = source("adyen-csv")
PAYMENT, CAPTURE, REFUND, DISPUTE = "1813702551707653", "1713702551795048", "1813702551700001", "2313642467170922"
DEBIT = {"Gross Debit (GC)": "5.00", "Gross Credit (GC)": ""}


def test_a_settled_row_is_a_capture_received_in_local_time() -> None:
    told = reading(ADYEN, SETTLEMENT)

    assert told.links == ((CAPTURE, PAYMENT),)
    assert msgspec.structs.replace(told.facts[0], fact_id="") == Fact(
        fact_id="",
        provider="adyen",
        payment_id=PAYMENT,
        object=f"charge:{CAPTURE}",
        status="captured",
        occurred_at=datetime(2026, 6, 3, 9, 26, 49, tzinfo=UTC),
        source="export",
        amount_minor=500,
        currency="GBP",
        authorized_minor=500,
        captured_minor=500,
        raw="INGEST:7",
    )


@pytest.mark.parametrize(
    ("row_type", "of_object", "status"),
    [
        ("SettledExternallyWithInfo", f"charge:{CAPTURE}", "captured"),
        ("Refunded", f"refund:{CAPTURE}", "succeeded"),
        ("RefundedReversed", f"refund:{CAPTURE}", "failed"),
        ("Chargeback", f"dispute:{CAPTURE}", "open"),
        ("ChargebackReversed", f"dispute:{CAPTURE}", "won"),
        ("SecondChargeback", f"dispute:{CAPTURE}", "lost"),
    ],
)
def test_a_record_type_says_what_became_of_which_object(row_type: str, of_object: str, status: str) -> None:
    found = fact(ADYEN, SETTLEMENT, Type=row_type, **DEBIT)

    assert (found.object, found.status, found.amount_minor) == (of_object, status, 500)


@pytest.mark.parametrize("row_type", ["Fee", "MerchantPayout", "Balancetransfer", "DepositCorrection", "NewType"])
def test_what_is_of_no_payment_is_only_seen(row_type: str) -> None:
    told = reading(ADYEN, SETTLEMENT, **{"Type": row_type, "Psp Reference": "", "Modification Reference": "Fees, June"})

    assert told.sighting is not None
    assert told.sighting.event_type == row_type


@pytest.mark.parametrize(
    ("label", "hour"), [("CEST", 0), ("CET", 1)], ids=["the first 02:30", "the second 02:30, an hour later"]
)
def test_the_hour_that_comes_twice_is_told_apart_by_the_label(label: str, hour: int) -> None:
    found = fact(ADYEN, SETTLEMENT, **{"Creation Date": "2026-10-25 02:30:00", "TimeZone": label})

    assert found.occurred_at == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


def test_the_account_s_zone_may_be_set() -> None:
    found = fact(source("adyen-csv", zone="America/Sao_Paulo"), SETTLEMENT, TimeZone="BRT")

    assert found.occurred_at == datetime(2026, 6, 3, 14, 26, 49, tzinfo=UTC)
    assert refusal(ADYEN, SETTLEMENT, TimeZone="BRT").code == "event.time_malformed"


def test_a_step_back_is_dated_by_its_booking_where_that_is_told() -> None:
    booked = {"Booking Date": "2026-06-09 08:00:00", "Booking Date TimeZone": "CEST"}

    assert fact(ADYEN, SETTLEMENT, Type="RefundedReversed", **booked).occurred_at.day == 9
    assert fact(ADYEN, SETTLEMENT, **booked).occurred_at.day == 3


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Gross Credit (GC)": ""}, "event.field_missing"),
        ({"Gross Credit (GC)": "5.001"}, "event.amount_malformed"),
        ({"Creation Date": "03/06/2026 11:26"}, "event.time_malformed"),
        ({"Psp Reference": ""}, "event.field_missing"),
        ({"Modification Reference": "two words"}, "event.id_malformed"),
        ({"Type": ""}, "event.field_missing"),
    ],
)
def test_a_row_that_cannot_be_read_says_its_line(changed: dict[str, str], code: str) -> None:
    refused = refusal(ADYEN, SETTLEMENT, **changed)

    assert (refused.code, refused.detail[:8]) == (code, "line 2: ")


def notified(code: str, own: str, at: str, value: int, **fields: Any) -> Message:
    """A notification of one item."""
    item = {
        "pspReference": own,
        "eventCode": code,
        "success": "true",
        "eventDate": at,
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "3vpzf7",
        "amount": {"value": value, "currency": "GBP"},
        **({} if own == PAYMENT else {"originalReference": PAYMENT}),
        **fields,
    }
    return Message(raw=msgspec.json.encode({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}))


class Both:
    """Notifications and reports of one account."""

    name = "adyen"

    def read(self, raw: bytes, *, headers: Any, ref: str) -> Any:
        return (ADYEN if headers else adyen).read(raw, headers={}, ref=ref)


NOTIFIED = (
    notified("AUTHORISATION", PAYMENT, "2026-06-03T11:20:00+02:00", 500),
    notified("CAPTURE", CAPTURE, "2026-06-03T11:26:49+02:00", 500),
    notified("REFUND", REFUND, "2026-06-05T09:00:01+02:00", 200),
    notified("CHARGEBACK", DISPUTE, "2026-07-01T09:00:00+02:00", 500),
)
ROWS = (
    SETTLEMENT,
    SETTLEMENT
    | DEBIT
    | {"Creation Date": "2026-06-05 09:00:00", "Type": "Refunded", "Modification Reference": REFUND}
    | {"Gross Debit (GC)": "2.00"},
    SETTLEMENT
    | DEBIT
    | {"Creation Date": "2026-07-01 09:00:00", "Type": "Chargeback", "Modification Reference": DISPUTE},
)


def test_a_report_beside_notifications_changes_no_payment_in_any_order() -> None:
    rows = [Message(raw=message(row), headers={"of": "export"}) for row in ROWS]
    [alone] = views(adyen, NOTIFIED).values()
    assert (alone.certainty, alone.captured_minor, alone.refunded_minor) == ("certain", 500, 200)

    for order in permutations((*NOTIFIED[1:3], *rows), 5):
        [found] = views(Both(), [NOTIFIED[0], *order, NOTIFIED[3]]).values()  # type: ignore[arg-type]  # only read is needed
        assert msgspec.structs.replace(found, facts=alone.facts) == alone
