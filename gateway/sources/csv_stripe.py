"""Stripe's exports as facts.

Three families of files (https://docs.stripe.com/reports/report-types/balance, /payout-reconciliation):

- itemized balance reports: `balance_change_from_activity.itemized.*`, `payout_reconciliation.itemized.*` and
  `ending_balance_reconciliation.itemized.*`, with the columns `charge_id`, `payment_intent_id`, `customer_id` and
  `dispute_reason` added. A balance transaction says when money moved, and names the assertion: `stripe:txn_...`.
- payouts: `payouts.itemized.*`.
- the Dashboard's payments export (Payments > Export, all columns).

A row that does not say when its status was reached states nothing (a sighting), because a wrong time would make
answers of the past look wrong.
"""

from datetime import UTC, datetime, timedelta

from domain.errors import Rejection
from domain.fact import Fact
from domain.tenant_settings import SourceSettings
from gateway.sources.csv_rows import CsvSource, Layout, Row
from gateway.sources.mapping_values import code
from gateway.sources.port import Reading
from gateway.sources.stripe_statuses import PAYOUT, status_of

KIND = "stripe-csv"
PROVIDER = "stripe"

_BALANCE = (
    "balance_transaction_id",
    "created_utc",
    "currency",
    "gross",
    "reporting_category",
    "source_id",
    "customer_facing_amount",
    "customer_facing_currency",
    "charge_id",
    "payment_intent_id",
    "customer_id",
    "dispute_reason",
)
_PAYOUTS = (
    "payout_id",
    "effective_at_utc",
    "currency",
    "gross",
    "balance_transaction_id",
    "payout_expected_arrival_date",
    "payout_status",
    "payout_reversed_at_utc",
)
_PAYMENTS = ("id", "Created (UTC)", "Amount", "Currency", "Status", "Captured", "Customer ID", "PaymentIntent ID")
_PAYMENT_NAMES = {"Created date (UTC)": "Created (UTC)", "Payment Intent ID": "PaymentIntent ID"}

# https://docs.stripe.com/reports/reporting-categories. A charge by another method than a card (`py_`) is booked when it
# is begun and may still fail for days, and so may a refund of it; the report does not say when they succeed.
_CATEGORIES = frozenset(
    "charge charge_failure partial_capture_reversal refund refund_failure dispute dispute_reversal".split()
)
# What the payments export calls a payment whose money was taken, whatever became of it later.
_TAKEN = frozenset({"paid", "refunded", "partial refund", "partially refunded", "disputed"})
_TRUE = frozenset({"true", "yes", "1"})
_TICK = timedelta(microseconds=1)


def make(name: str, settings: SourceSettings) -> CsvSource:
    """The source by its settings.

    Options:
        decimal_separator: `.` or `,`, as the report was run with.
        capture: `manual` if payments are captured later than authorized: the payments export does not say when, so its
            captured rows then state nothing; `automatic` (the default) dates them to the payment's creation.
    """
    options = settings.options
    reader = _Reader(
        point=options.get("decimal_separator", "."), is_manual=options.get("capture", "automatic") == "manual"
    )
    return CsvSource(
        name,
        [
            Layout(title="itemized balance report of Stripe", required=_BALANCE, read=reader.balance),
            Layout(
                title="itemized payouts report of Stripe",
                required=_PAYOUTS,
                read=reader.payout,
                aliases={"payout_reversed_at": "payout_reversed_at_utc"},
            ),
            Layout(
                title="payments export of Stripe",
                required=_PAYMENTS,
                read=reader.payment,
                aliases=_PAYMENT_NAMES,
            ),
        ],
    )


class _Reader:
    """Rows of one source's files."""

    def __init__(self, *, point: str, is_manual: bool) -> None:
        self._point = point
        self._is_manual = is_manual

    def balance(self, row: Row) -> Reading:
        """A balance transaction."""
        transaction_id = row.object_id("balance_transaction_id")
        category = row.needed("reporting_category")
        at = _utc(row, "created_utc")
        if category not in _CATEGORIES:
            return row.sighting(KIND, transaction_id, code({"row": category}, "row", "row") or "row", at)
        settled_in = row.currency("currency")
        currency = row.currency("customer_facing_currency")
        amount_minor = row.needed_minor("customer_facing_amount", currency, point=self._point)
        charge_id = row.object_id("charge_id", optional=category in {"charge", "charge_failure"})
        source_id = row.object_id("source_id")
        if category.startswith("charge"):
            charge_id = charge_id or source_id
        # What was taken or given back, if it is told in the customer's currency.
        moved_minor = amount_minor
        if settled_in == currency:
            moved_minor = min(row.needed_minor("gross", currency, point=self._point), amount_minor)
        of_charge = category in {"charge", "charge_failure", "partial_capture_reversal"}
        is_card = charge_id.startswith("ch_")
        taken_minor = amount_minor - moved_minor if category == "partial_capture_reversal" else moved_minor
        status = {
            "charge": "captured" if is_card else "pending",
            "charge_failure": "failed",
            "partial_capture_reversal": "captured",
            "refund": "succeeded" if is_card else "pending",
            "refund_failure": "failed",
            "dispute": "open",
            "dispute_reversal": "won",
        }[category]
        is_captured = status == "captured"
        fact = Fact(
            fact_id="",
            provider=PROVIDER,
            payment_id=row.object_id("payment_intent_id", optional=True) or charge_id,
            object=f"charge:{charge_id}" if of_charge else f"{category.partition('_')[0]}:{source_id}",
            status=status,
            # A reversal follows the charge that it reverses; both are booked in the same second.
            occurred_at=at + _TICK if category == "partial_capture_reversal" else at,
            amount_minor=amount_minor,
            currency=currency,
            authorized_minor=amount_minor if is_captured else 0,
            captured_minor=taken_minor if is_captured else 0,
            customer_id=row.object_id("customer_id", optional=True) if of_charge else "",
            reason=code(row.fields, "dispute_reason", "dispute_reason") if category.startswith("dispute") else "",
            refers_to=() if of_charge else (f"charge:{charge_id}",),
        )
        return row.reading(fact, transaction_id, category)

    def payout(self, row: Row) -> Reading:
        """A payout and how it stands; a failed one is in two rows that say the same."""
        payout_id = row.object_id("payout_id")
        status = status_of(PAYOUT, row.needed("payout_status").lower(), "payout")
        column = {
            "paid": "payout_expected_arrival_date",
            "failed": "payout_reversed_at_utc",
            "canceled": "payout_reversed_at_utc",
        }.get(status, "effective_at_utc")
        at = _utc(row, column)
        currency = row.currency("currency")
        amount_minor = row.needed_minor("gross", currency, point=self._point)
        fact = Fact(
            fact_id="",
            provider=PROVIDER,
            payment_id=payout_id,
            object=f"payout:{payout_id}",
            status=status,
            occurred_at=at,
            amount_minor=amount_minor,
            currency=currency,
        )
        return row.reading(fact, f"{payout_id}:{status}:{amount_minor}", "payout")

    def payment(self, row: Row) -> Reading:
        """A payment as it stands when it is exported, as far as the row says since when."""
        payment_id = row.object_id("id")
        created_at = _utc(row, "Created (UTC)")
        status = self._payment_status(row, payment_id)
        if not status:
            return row.sighting(KIND, payment_id, "payment", created_at)
        currency = row.currency("Currency")
        amount_minor = row.needed_minor("Amount", currency, point=self._point)
        fact = Fact(
            fact_id="",
            provider=PROVIDER,
            payment_id=row.object_id("PaymentIntent ID", optional=True) or payment_id,
            object=f"charge:{payment_id}",
            status=status,
            occurred_at=created_at,
            amount_minor=amount_minor,
            currency=currency,
            authorized_minor=0 if status == "failed" else amount_minor,
            captured_minor=amount_minor if status == "captured" else 0,
            customer_id=row.object_id("Customer ID", optional=True),
        )
        return row.reading(fact, f"{payment_id}:{status}:{amount_minor}", "payment")

    def _payment_status(self, row: Row, payment_id: str) -> str:
        """The status that a card charge has had since it was created; empty if that cannot be told."""
        if not payment_id.startswith("ch_"):
            return ""
        told, is_captured = row.needed("Status").lower(), row.text("Captured").lower() in _TRUE
        if told in {"failed", "blocked"}:
            return "failed"
        if told == "uncaptured" or (told == "paid" and not is_captured):
            return "authorized"
        if told in _TAKEN and is_captured:
            return "" if self._is_manual else "captured"
        return ""


def _utc(row: Row, column: str) -> datetime:
    """A time in UTC, with or without its time of day."""
    try:
        at = datetime.fromisoformat(row.needed(column)).replace(tzinfo=UTC)
    except ValueError as error:
        raise Rejection("event.time_malformed", f"{column}: that is no time such as 2026-03-01 12:00:00") from error
    if at.year < 1970:  # noqa: PLR2004 - no provider is older than Unix time
        raise Rejection("event.time_out_of_range", f"{column}: the time is before 1970")
    return at
