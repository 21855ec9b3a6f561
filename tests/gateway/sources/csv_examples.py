"""Rows of exports for the conformance test."""

from domain.tenant_settings import SourceSettings
from gateway.sources import csv_mapped
from tests.gateway.sources.conformance import Conformance, Message
from tests.gateway.sources.exports import (
    ACTIVITY,
    BALANCE,
    PAYMENT,
    PAYOUT,
    PERSONAL,
    SETTLEMENT,
    message,
    source,
)
from tests.gateway.sources.mapped import mapping

_REFUND = BALANCE | {
    "balance_transaction_id": "txn_2",
    "created_utc": "2026-03-02 09:00:00",
    "reporting_category": "refund",
    "source_id": "re_1",
    "gross": "-19.00",
    "customer_facing_amount": "-19.00",
}
_STRIPE = (
    BALANCE,
    _REFUND,
    _REFUND
    | {"balance_transaction_id": "txn_3", "created_utc": "2026-03-09 09:00:00", "reporting_category": "refund_failure"},
    BALANCE
    | {
        "balance_transaction_id": "txn_4",
        "created_utc": "2026-03-20 09:00:00",
        "reporting_category": "dispute",
        "source_id": "dp_1",
        "gross": "-49.00",
        "dispute_reason": "fraudulent",
    },
    BALANCE
    | {
        "balance_transaction_id": "txn_5",
        "created_utc": "2026-04-20 09:00:00",
        "reporting_category": "dispute_reversal",
        "source_id": "dp_1",
    },
    PAYOUT,
    PAYMENT,
    BALANCE | {"balance_transaction_id": "txn_6", "reporting_category": "fee", "source_id": ""},
)
_CHARGEBACK = SETTLEMENT | {
    "Creation Date": "2026-07-01 09:00:00",
    "Type": "Chargeback",
    "Modification Reference": "2313642467170922",
    "Gross Debit (GC)": "5.00",
    "Gross Credit (GC)": "",
}
_ADYEN = (
    SETTLEMENT,
    _CHARGEBACK,
    _CHARGEBACK | {"Creation Date": "2026-08-01 09:00:00", "Type": "ChargebackReversed"},
    SETTLEMENT
    | {
        "Creation Date": "2026-06-05 09:00:00",
        "Type": "Refunded",
        "Modification Reference": "1813702551700001",
        "Gross Debit (GC)": "2.00",
        "Gross Credit (GC)": "",
    },
    SETTLEMENT | {"Psp Reference": "", "Type": "Fee", "Modification Reference": "Transaction Fees June 2026"},
)
_PAYPAL = (
    ACTIVITY,
    ACTIVITY
    | {
        "Date": "28/02/2026",
        "Type": "Payment Refund",
        "Gross": "-1,058.09",
        "Transaction ID": "0K7135317J5559737",
        "Reference Txn ID": "8AC24602CN914213T",
    },
    ACTIVITY | {"Type": "General Withdrawal", "Gross": "-400.00", "Transaction ID": "7XJ48602CN914213T"},
)
MAPPING = """
    ignored = ["fee"]
    event_type = "Type"
    [[facts]]
    kind = "charge"
    object = "Charge"
    payment = "Order"
    status = { path = "State", table = { done = "captured", declined = "failed" } }
    amount = { path = "Amount", unit = "major", thousands = "." , point = "," }
    currency = "Currency"
    occurred_at = { path = "Booked", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
"""
MAPPED = {
    "Type": "payment",
    "Charge": "c-1",
    "Order": "o-1",
    "State": "done",
    "Amount": "1.058,09",
    "Currency": "EUR",
    "Booked": "27.02.2026 13:57",
    "Customer": "Ada Lovelace",
    "E-mail": "ada@example.org",
}
_MAPPED = (MAPPED, MAPPED | {"Charge": "c-2", "State": "declined"}, MAPPED | {"Type": "fee"})


def _conformance(kind: str, rows: tuple[dict[str, str], ...], provider: str, **options: str) -> Conformance:
    messages = tuple(Message(raw=message(row, line)) for line, row in enumerate(rows, start=2))
    return Conformance(
        source=source(kind, **options),
        kind=kind,
        provider=provider,
        messages=messages,
        story=messages,
        personal=PERSONAL if kind != "adyen-csv" else (),
    )


CONFORMANCE = (
    _conformance("stripe-csv", _STRIPE, "stripe"),
    _conformance("adyen-csv", _ADYEN, "adyen"),
    _conformance("paypal-csv", _PAYPAL, "paypal", dates="dmy"),
    Conformance(
        source=csv_mapped.MappedCsv("acquirer", SourceSettings(kind="csv", mapping=mapping(MAPPING))),
        kind="csv",
        messages=tuple(Message(raw=message(row)) for row in _MAPPED),
        story=tuple(Message(raw=message(row)) for row in _MAPPED),
        personal=PERSONAL,
    ),
)
