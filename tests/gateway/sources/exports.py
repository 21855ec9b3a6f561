"""Short ways to write rows of exports, with the columns that the providers document, and what they say."""

import json
from typing import Any

from domain.fact import Fact
from domain.tenant_settings import SourceSettings
from gateway.sources import MADE
from gateway.sources.port import Reading, SourceModule, Unreadable

# A row has more columns than are read; these must never be seen again.
PERSONAL = ("Ada Lovelace", "ada@example.org")

BALANCE = {
    "balance_transaction_id": "txn_1",
    "created_utc": "2026-03-01 12:00:00",
    "available_on_utc": "2026-03-03 00:00:00",
    "currency": "eur",
    "gross": "49.00",
    "fee": "1.67",
    "net": "47.33",
    "reporting_category": "charge",
    "source_id": "ch_1",
    "description": "Order of Ada Lovelace",
    "customer_facing_amount": "49.00",
    "customer_facing_currency": "eur",
    "customer_id": "cus_1",
    "customer_email": "ada@example.org",
    "charge_id": "ch_1",
    "payment_intent_id": "pi_1",
    "dispute_reason": "",
}
PAYOUT = {
    "payout_id": "po_1",
    "effective_at_utc": "2026-03-04 00:00:00",
    "currency": "eur",
    "gross": "-900.00",
    "fee": "0.00",
    "net": "-900.00",
    "reporting_category": "payout",
    "balance_transaction_id": "txn_7",
    "description": "STRIPE PAYOUT",
    "payout_expected_arrival_date": "2026-03-04",
    "payout_status": "paid",
    "payout_reversed_at_utc": "",
}
PAYMENT = {
    "id": "ch_1",
    "Description": "Order of Ada Lovelace",
    "Created date (UTC)": "2026-03-01 12:00:00",
    "Amount": "49.00",
    "Amount Refunded": "0.00",
    "Currency": "eur",
    "Status": "Paid",
    "Customer ID": "cus_1",
    "Customer Email": "ada@example.org",
    "Captured": "true",
    "PaymentIntent ID": "pi_1",
}
SETTLEMENT = {
    "Company Account": "TestCompany",
    "Merchant Account": "TestMerchant",
    "Psp Reference": "1813702551707653",
    "Merchant Reference": "3vpzf7",
    "Payment Method": "visa",
    "Creation Date": "2026-06-03 11:26:49",
    "TimeZone": "CEST",
    "Type": "Settled",
    "Modification Reference": "1713702551795048",
    "Gross Currency": "GBP",
    "Gross Debit (GC)": "",
    "Gross Credit (GC)": "5.00",
    "Exchange Rate": "1",
    "Net Currency": "GBP",
    "Net Debit (NC)": "",
    "Net Credit (NC)": "4.88",
    "Batch Number": "4",
}
ACTIVITY = {
    "Date": "27/02/2026",
    "Time": "13:57:10",
    "TimeZone": "PST",
    "Name": "Ada Lovelace",
    "Type": "Express Checkout Payment",
    "Status": "Completed",
    "Currency": "EUR",
    "Gross": "1,058.09",
    "Fee": "-36.42",
    "Net": "1,021.67",
    "From Email Address": "ada@example.org",
    "Transaction ID": "8AC24602CN914213T",
    "Reference Txn ID": "",
    "Balance Impact": "Credit",
}


def source(kind: str, **options: str) -> SourceModule:
    """A source of that kind with options."""
    return MADE[kind](kind, SourceSettings(options=options))


def message(row: dict[str, str] | None, line: int = 2, **fields: Any) -> bytes:
    """A row on its way."""
    return json.dumps({"file": "export.csv", "line": line, "row": row, **fields}).encode()


def reading(of: SourceModule, row: dict[str, str], **changed: str) -> Reading:
    """What a row says, with other texts in some of its columns."""
    result = of.read(message(row | changed), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def fact(of: SourceModule, row: dict[str, str], **changed: str) -> Fact:
    """The one fact of a row."""
    [found] = reading(of, row, **changed).facts
    return found


def refusal(of: SourceModule, row: dict[str, str], **changed: str) -> Unreadable:
    """Why a row cannot be read."""
    result = of.read(message(row | changed), headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result
