"""PayPal's activity download as facts (Activity > Download, comma separated, English).

A payment received is a capture under its transaction id, and a refund names the capture in `Reference Txn ID`; PayPal's
notifications speak of the same ids, and link them to their order. A row has one time, the transaction's: a status that
may have come later (denied, expired, reversed) states nothing but what was so at that time. Everything else (transfers,
holds, conversions, disputes, which have no case id here) is a sighting.
"""

from datetime import datetime

from domain.errors import Rejection
from domain.fact import Fact
from domain.tenant_settings import SourceSettings
from gateway.sources.csv_rows import UNDECIDED, CsvSource, Layout, Row
from gateway.sources.csv_times import LABELS, at_offset, wall_clock
from gateway.sources.mapping_values import code
from gateway.sources.port import Reading

KIND = "paypal-csv"
PROVIDER = "paypal"

_COLUMNS = ("Date", "Time", "TimeZone", "Type", "Status", "Currency", "Gross", "Transaction ID", "Reference Txn ID")
_PATTERNS = {"dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y", "d.m.y": "%d.%m.%Y", "ymd": "%Y-%m-%d"}
_REFUNDS = frozenset({"Payment Refund", "Refund"})
_AUTHORIZATIONS = frozenset({"General Authorization", "Authorization", "Account Hold for Open Authorization"})
# What the payment was when it was made, by what the row says it is now.
_CAPTURES = {
    "completed": "captured",
    "refunded": "captured",
    "partially refunded": "captured",
    "reversed": "captured",
    "pending": "pending",
}
_REFUND_STATUSES = {"completed": "succeeded", "pending": "pending"}


def make(name: str, settings: SourceSettings) -> CsvSource:
    """The source by its settings.

    Options:
        dates: `dmy`, `mdy`, `d.m.y` or `ymd`, the order in the account's language. Needed where dates have slashes and
            the zone is an abbreviation: American and European accounts then look the same until the 13th.
        decimal_separator: `.` or `,`.
    """
    dates, point = settings.options.get("dates", ""), settings.options.get("decimal_separator", ".")
    layout = Layout(
        title="activity download of PayPal",
        required=_COLUMNS,
        read=lambda row: _read(row, dates, point),
        aliases={"Time Zone": "TimeZone", "Time zone": "TimeZone"},
    )
    return CsvSource(name, [layout])


def _read(row: Row, dates: str, point: str) -> Reading:
    at = _at(row, dates)
    transaction_id, row_type = row.object_id("Transaction ID"), row.needed("Type")
    told, is_received = row.needed("Status").lower(), not row.text("Gross").startswith(("-", "\N{MINUS SIGN}"))
    reference = ""
    if row_type in _REFUNDS and not is_received:
        object_kind, status = "refund", _REFUND_STATUSES.get(told, "")
        reference = row.object_id("Reference Txn ID") if status else ""
    elif row_type in _AUTHORIZATIONS and is_received:
        object_kind, status = "charge", "authorized" if told in {"pending", "active"} else ""
    elif row_type.endswith(" Payment") and is_received:
        object_kind, status = "charge", _CAPTURES.get(told, "")
    else:
        object_kind, status = "", ""
    if not status:
        return row.sighting(KIND, transaction_id, _word(row_type), at)
    currency = row.currency("Currency")
    amount_minor = row.needed_minor("Gross", currency, point=point)
    fact = Fact(
        fact_id="",
        provider=PROVIDER,
        payment_id=reference or transaction_id,
        object=f"{object_kind}:{transaction_id}",
        status=status,
        occurred_at=at,
        amount_minor=amount_minor,
        currency=currency,
        authorized_minor=amount_minor if status == "authorized" else 0,
        captured_minor=amount_minor if status == "captured" else 0,
        refers_to=(f"charge:{reference}",) if reference else (),
    )
    return row.reading(fact, f"{transaction_id}:{status}:{amount_minor}", _word(row_type))


def _word(row_type: str) -> str:
    """The type as a word; it is PayPal's own, never the customer's."""
    return code({"type": row_type.replace(" ", "_")}, "type", "type") or "row"


def _at(row: Row, dates: str) -> datetime:
    date, label = row.needed("Date"), row.needed("TimeZone")
    pattern = _PATTERNS.get(dates) or _order_of(date, label)
    wall = wall_clock(f"{date} {row.needed('Time')}", f"{pattern} %H:%M:%S", "Date")
    return at_offset(wall, label, "TimeZone")


def _order_of(date: str, label: str) -> str:
    """The order of a file whose settings do not say, where its columns do.

    Raises `Rejection` for slashes beside an abbreviation: both orders are in use there.
    """
    if "." in date:
        return _PATTERNS["d.m.y"]
    if "-" in date:
        return _PATTERNS["ymd"]
    if label not in LABELS:
        return _PATTERNS["mdy"]
    raise Rejection(UNDECIDED, "Date: day first or month first? set the option `dates` to `dmy` or `mdy`")
