"""Examples of Debezium's change records, for the conformance test."""

from base64 import b64encode
from typing import Any

from gateway.sources.debezium import KIND, Debezium
from gateway.sources.port import Trust
from tests.gateway.sources.conformance import NOW, Conformance, Message, Signed
from tests.gateway.sources.mapped import SECRET, encoded, settings, signed

TOML = """\
kind = "debezium"
[mapping]
provider = "shop"
ignored = ["public.customers.*"]

[[mapping.facts]]
kind = "charge"
when = { "source.table" = ["payments"] }
object = "row.id"
payment = "row.order_id"
status = { path = "row.status", table = { "1" = "authorized", "2" = "captured", "9" = "failed" } }
occurred_at = { path = "row.updated_at", format = "us" }
amount = { path = "row.amount", unit = "major" }
currency = "row.currency"

[[mapping.facts]]
kind = "refund"
when = { "source.table" = ["refunds"] }
object = "row.id"
payment = "row.payment_id"
refers_to = { charge = "row.payment_id" }
status = "row.status"
occurred_at = { path = "row.updated_at", format = "us" }
amount = { path = "row.amount", unit = "major" }
currency = "row.currency"

[[mapping.documents]]
when = { "source.table" = ["help_pages"] }
id = "row.slug"
title = "row.title"
text = "row.body"
metadata = { locale = "row.locale" }
"""
SETTINGS = settings(TOML)
NOON_US = 1_772_366_400_000_000  # 2026-03-01 12:00:00 UTC
CENTS = 2


def unscaled(number: int) -> str:
    """A decimal's bytes as Kafka Connect writes them."""
    return b64encode(number.to_bytes(8, signed=True)).decode()


def change(table: str, operation: str, row: dict[str, Any] | None, *, lsn: int, **fields: Any) -> dict[str, Any]:
    """An envelope; `row` is the one before a delete and the one after everything else."""
    source = {"connector": "postgresql", "name": "shop", "schema": "public", "table": table, "lsn": lsn}
    return {
        "op": operation,
        "before": row if operation == "d" else None,
        "after": None if operation == "d" else row,
        "source": {**source, "ts_ms": 1_772_366_400_000 + lsn, "snapshot": "true" if operation == "r" else "false"},
        "ts_ms": 1_772_366_500_000,
        **fields,
    }


def payment(status: int, seconds: int, **columns: Any) -> dict[str, Any]:
    given = {"id": "pay_1", "order_id": "order_1", "status": status, "amount": "49.00", "currency": "EUR"}
    return {**given, "updated_at": NOON_US + seconds * 10**6, "payer": "Ann Smith", **columns}


def refund(status: str, seconds: int) -> dict[str, Any]:
    given = {"id": "ref_1", "payment_id": "pay_1", "status": status, "amount": "19.00", "currency": "EUR"}
    return {**given, "updated_at": NOON_US + seconds * 10**6}


def page(body: str = "Within five days.", **columns: Any) -> dict[str, Any]:
    return {"slug": "refunds", "title": "Refunds", "body": body, "locale": "en", **columns}


COLUMNS = [
    {"field": "id", "type": "string", "optional": False},
    {"field": "amount", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}},
    {"field": "updated_at", "type": "int64", "name": "io.debezium.time.MicroTimestamp"},
]


def with_schema(envelope: dict[str, Any]) -> dict[str, Any]:
    """The envelope as `payload`, with amounts in base64 and the schema that says so."""
    parts = {
        part: {**envelope[part], "amount": unscaled(round(float(envelope[part]["amount"]) * 10**CENTS))}
        for part in ("before", "after")
        if envelope[part] is not None
    }
    fields = [{"field": part, "type": "struct", "fields": COLUMNS} for part in ("before", "after")]
    return {"schema": {"type": "struct", "fields": fields}, "payload": {**envelope, **parts}}


def message(said: Any) -> Message:
    return Message(raw=encoded(said))


_SIGNED = encoded(change("payments", "c", payment(2, 0), lsn=1))
CONFORMANCE = Conformance(
    source=Debezium("warehouse", SETTINGS),
    kind=KIND,
    provider="shop",
    messages=[
        message(change("payments", "c", payment(2, 0), lsn=1)),
        message(with_schema(change("payments", "u", payment(2, 1), lsn=2))),
        message(change("refunds", "r", refund("pending", 3), lsn=3)),
        message(change("help_pages", "u", page(), lsn=4)),
        message(change("help_pages", "d", {"slug": "refunds"}, lsn=5)),
        message(change("payments", "d", payment(2, 1), lsn=6)),
        message(change("payments", "t", None, lsn=7)),
        message(change("customers", "u", {"id": 1, "name": "Ann Smith"}, lsn=8)),
        message({"schema": None, "payload": None}),
    ],
    story=[
        message(change("payments", "c", payment(1, 0), lsn=1)),
        message(with_schema(change("payments", "u", payment(2, 1), lsn=2))),
        message(change("payments", "r", payment(2, 1), lsn=90)),
        message(change("refunds", "c", refund("pending", 3), lsn=3)),
        message(change("refunds", "u", refund("succeeded", 4), lsn=4)),
        message(change("refunds", "u", refund("failed", 5), lsn=5)),
        message(change("help_pages", "c", page(), lsn=6)),
    ],
    signed=Signed(message=Message(raw=_SIGNED, headers=signed(_SIGNED, NOW)), trust=Trust(secrets=(SECRET,))),
    personal=("Ann Smith",),
)
