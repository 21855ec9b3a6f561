"""Adyen's Settlement details report as facts (https://docs.adyen.com/reporting/settlement-reconciliation/transaction-level).

A row names the payment (`Psp Reference`) and the capture, refund or chargeback (`Modification Reference`) as the
notifications do, so both speak of the same objects. `Creation Date` is when Adyen received the capture or refund, which
is never after its notification. What is no modification of one payment (a fee, a payout, a correction) is a sighting.
"""

import hashlib
from datetime import datetime

import msgspec

from domain.errors import Rejection
from domain.fact import Fact, ObjectKind
from domain.tenant_settings import SourceSettings
from gateway.sources.csv_rows import CsvSource, Layout, Row
from gateway.sources.csv_times import by_label, wall_clock
from gateway.sources.mapping_values import code
from gateway.sources.port import Reading

KIND = "adyen-csv"
PROVIDER = "adyen"

_COLUMNS = (
    "Psp Reference",
    "Creation Date",
    "TimeZone",
    "Type",
    "Modification Reference",
    "Gross Currency",
    "Gross Debit (GC)",
    "Gross Credit (GC)",
)
_BOOKED = ("Booking Date", "Booking Date TimeZone")
_TIME = "%Y-%m-%d %H:%M:%S"
_ID_CHARS = 24


class _Effect(msgspec.Struct, frozen=True):
    """What a record type says of which object. What takes a step back is dated by its booking, if that is told."""

    kind: ObjectKind
    status: str
    reason: str = ""
    is_step_back: bool = False


# https://docs.adyen.com/reporting/journal-types
_EFFECTS = {
    "Settled": _Effect("charge", "captured"),
    "SettledExternallyWithInfo": _Effect("charge", "captured"),
    "Refunded": _Effect("refund", "succeeded"),
    "RefundedExternallyWithInfo": _Effect("refund", "succeeded"),
    "RefundedReversed": _Effect("refund", "failed", "refunded_reversed", is_step_back=True),
    "Chargeback": _Effect("dispute", "open"),
    "ChargebackExternallyWithInfo": _Effect("dispute", "open"),
    "ChargebackReversed": _Effect("dispute", "won", is_step_back=True),
    "ChargebackReversedExternallyWithInfo": _Effect("dispute", "won", is_step_back=True),
    "SecondChargeback": _Effect("dispute", "lost", is_step_back=True),
}


def make(name: str, settings: SourceSettings) -> CsvSource:
    """The source by its settings.

    Options:
        zone: the time zone of the account, e.g. `Europe/Amsterdam`; without it, the region of the row's own label.
        decimal_separator: `.` or `,`.
    """
    zone, point = settings.options.get("zone", ""), settings.options.get("decimal_separator", ".")
    layout = Layout(
        title="Settlement details report of Adyen",
        required=_COLUMNS,
        optional=_BOOKED,
        read=lambda row: _read(row, zone, point),
        aliases={"Time Zone": "TimeZone", "PSP Reference": "Psp Reference"},
    )
    return CsvSource(name, [layout])


def _read(row: Row, zone: str, point: str) -> Reading:
    row_type = row.needed("Type")
    effect = _EFFECTS.get(row_type)
    created_at = _at(row, "Creation Date", "TimeZone", zone)
    if effect is None:
        # A fee has no reference of its own.
        row_id = hashlib.sha256(msgspec.json.encode(row.fields)).hexdigest()[:_ID_CHARS]
        return row.sighting(KIND, row_id, code(row.fields, "Type", "Type") or "row", created_at)
    payment_id, own = row.object_id("Psp Reference"), row.object_id("Modification Reference")
    currency = row.currency("Gross Currency")
    sides = [row.amount_minor(f"Gross {side} (GC)", currency, point=point) for side in ("Debit", "Credit")]
    amount_minor = max((side for side in sides if side), default=0)
    if not amount_minor:
        raise Rejection("event.field_missing", f"{row_type} has neither a gross debit nor a gross credit")
    is_captured = effect.status == "captured"
    is_dated_by_booking = effect.is_step_back and row.text("Booking Date")
    fact = Fact(
        fact_id="",
        provider=PROVIDER,
        payment_id=payment_id,
        object=f"{effect.kind}:{own}",
        status=effect.status,
        occurred_at=_at(row, *_BOOKED, zone) if is_dated_by_booking else created_at,
        amount_minor=amount_minor,
        currency=currency,
        authorized_minor=amount_minor if is_captured else 0,
        captured_minor=amount_minor if is_captured else 0,
        reason=effect.reason,
    )
    return row.reading(fact, f"{row_type}:{own}", row_type)


def _at(row: Row, column: str, zone_column: str, zone: str) -> datetime:
    label = row.text(zone_column) or row.text("TimeZone")
    return by_label(wall_clock(row.needed(column), _TIME, column), label, column, region=zone)
