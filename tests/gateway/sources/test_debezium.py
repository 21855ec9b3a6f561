"""Change records: what each operation says, by either envelope, and every recorded one where these are present."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from domain.document import DocumentDecider, PutDocument, WithdrawDocument
from gateway.sources.debezium import Debezium, position
from gateway.sources.debezium_rows import UNAVAILABLE
from gateway.sources.port import Reading, Unreadable
from tests.gateway.sources.debezium_examples import NOON_US, SETTINGS, change, page, payment, unscaled, with_schema
from tests.gateway.sources.mapped import encoded, recorded, settings

SOURCE = Debezium("warehouse", SETTINGS)
COMMITTED_AT = datetime(2026, 3, 1, 12, 0, 0, 4000, tzinfo=UTC)


def read(said: Any, source: Debezium = SOURCE) -> Reading:
    result = source.read(said if isinstance(said, bytes) else encoded(said), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def refusal(said: Any, source: Debezium = SOURCE) -> Unreadable:
    result = source.read(said if isinstance(said, bytes) else encoded(said), headers={}, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


def seen(said: Any) -> str:
    """The type under which a record is seen that states nothing that is kept."""
    sighting = read(said).sighting
    assert sighting is not None
    return sighting.event_type


@pytest.mark.parametrize("operation", ["c", "u", "r"])
def test_a_row_is_the_same_fact_whether_it_was_written_or_read(operation: str) -> None:
    (created,) = read(change("payments", "c", payment(2, 0), lsn=1)).facts
    (fact,) = read(change("payments", operation, payment(2, 0), lsn=77)).facts
    assert fact == created
    assert (fact.provider, fact.payment_id, fact.object, fact.status) == ("shop", "order_1", "charge:pay_1", "captured")
    assert (fact.amount_minor, fact.sequence, fact.occurred_at) == (4900, None, datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_a_row_says_the_same_with_its_schema_and_without() -> None:
    plain = change("payments", "u", payment(2, 1), lsn=2)
    assert with_schema(plain)["payload"]["after"]["amount"] == unscaled(4900)
    assert read(with_schema(plain)) == read(plain) == read({"payload": plain})


def test_another_state_of_a_row_is_another_fact() -> None:
    states = [payment(1, 0), payment(2, 0), payment(2, 1), payment(2, 1, amount="48.00")]
    assert len({read(change("payments", "u", each, lsn=5)).facts[0].fact_id for each in states}) == 4


def test_where_the_settings_say_so_the_position_orders_the_states_of_one_moment() -> None:
    toml = """
        [mapping]
        [[mapping.facts]]
        kind = "charge"
        object = "row.id"
        payment = "row.order_id"
        status = { path = "row.status", table = { "1" = "authorized", "2" = "captured" } }
        sequence = "position"
    """
    (fact,) = read(change("payments", "u", payment(2, 0), lsn=24_023_128), Debezium("shop", settings(toml))).facts
    assert fact.sequence == 24_023_128
    assert fact.occurred_at.timestamp() * 1000 == 1_772_366_400_000 + 24_023_128


@pytest.mark.parametrize(
    ("type_name", "value", "zone", "iso"),
    [
        ("io.debezium.time.Timestamp", NOON_US // 1000, "", "2026-03-01T12:00:00"),
        ("org.apache.kafka.connect.data.Timestamp", NOON_US // 1000, "", "2026-03-01T12:00:00"),
        ("io.debezium.time.MicroTimestamp", NOON_US + 1, "", "2026-03-01T12:00:00.000001"),
        ("io.debezium.time.NanoTimestamp", NOON_US * 1000 + 1999, "", "2026-03-01T12:00:00.000001"),
        ("io.debezium.time.MicroTimestamp", NOON_US, "Asia/Ho_Chi_Minh", "2026-03-01T05:00:00"),
        ("io.debezium.time.ZonedTimestamp", "2026-03-01T12:00:00.5Z", "", "2026-03-01T12:00:00.500000"),
        ("io.debezium.time.Date", 20_513, "", "2026-03-01T00:00:00"),
        ("org.apache.kafka.connect.data.Date", 20_513, "", "2026-03-01T00:00:00"),
    ],
)
def test_the_schema_says_how_a_time_is_written(type_name: str, value: Any, zone: str, iso: str) -> None:
    toml = f"""
        [mapping]
        [[mapping.facts]]
        kind = "intent"
        payment = "row.id"
        status = {{ constant = "captured" }}
        occurred_at = {{ path = "row.at", zone = "{zone}" }}
    """
    columns = [{"field": "at", "name": type_name}]
    envelope = change("payments", "c", {"id": "o_1", "at": value}, lsn=1)
    said = {"schema": {"fields": [{"field": "after", "fields": columns}]}, "payload": envelope}
    (fact,) = read(said, Debezium("shop", settings(toml))).facts
    assert fact.occurred_at == datetime.fromisoformat(iso).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_name", "parameters", "value", "minor"),
    [
        ("org.apache.kafka.connect.data.Decimal", {"scale": "2"}, unscaled(4999), 4999),
        ("org.apache.kafka.connect.data.Decimal", {"scale": "4"}, unscaled(499_900), 4999),
        ("org.apache.kafka.connect.data.Decimal", {"scale": "0"}, "MQ==", 4900),
        ("org.apache.kafka.connect.data.Decimal", {"scale": "2"}, 49.99, 4999),
        ("io.debezium.data.VariableScaleDecimal", None, {"scale": 1, "value": "Aeo="}, 4900),
        ("io.debezium.data.VariableScaleDecimal", None, {"scale": -2, "value": "AQ=="}, 10_000),
    ],
)
def test_the_schema_says_how_a_decimal_is_written(type_name: str, parameters: Any, value: Any, minor: int) -> None:
    columns = [{"field": "amount", "name": type_name, "parameters": parameters}]
    envelope = change("payments", "c", payment(2, 0, amount=value), lsn=1)
    said = {"schema": {"fields": [{"field": "after", "fields": columns}]}, "payload": envelope}
    assert read(said).facts[0].amount_minor == minor


def test_a_value_that_is_not_of_its_schemas_type_is_refused_by_its_column() -> None:
    said = with_schema(change("payments", "u", payment(2, 1), lsn=2))
    said["payload"]["after"]["amount"] = "Ann Smith"
    assert refusal(said).detail == "amount: what stands there is no Decimal"


def test_a_page_is_a_document_dated_by_its_commit() -> None:
    (aimed,) = read(change("help_pages", "c", page(), lsn=4)).commands
    assert (aimed.category, aimed.key) == ("document", "refunds")
    assert aimed.command == PutDocument(
        document_id="refunds",
        title="Refunds",
        text="Within five days.",
        metadata={"locale": "en"},
        changed_at=COMMITTED_AT,
        sequence=4,
    )


def test_a_negative_decimal_is_negative() -> None:
    said = with_schema(change("payments", "u", payment(2, 1, amount="-49.00"), lsn=2))
    assert refusal(said).code == "event.amount_out_of_range"


def test_a_page_of_a_format_without_times_counts_as_it_comes() -> None:
    said = change("help_pages", "c", page(), lsn=4, source={"db": "shop", "table": "help_pages"})
    (aimed,) = read(said).commands
    assert isinstance(aimed.command, PutDocument)
    assert (aimed.command.changed_at, aimed.command.sequence) == (None, None)


def test_a_page_that_is_deleted_is_withdrawn_by_its_key_alone() -> None:
    (aimed,) = read(change("help_pages", "d", {"slug": "refunds"}, lsn=4)).commands
    assert aimed.command == WithdrawDocument(document_id="refunds", changed_at=COMMITTED_AT, sequence=4)


def test_a_page_of_which_not_even_the_key_is_told_is_refused() -> None:
    assert refusal(change("help_pages", "d", None, lsn=4)).detail == "id: nothing stands at row.slug"


def test_a_large_value_that_an_update_did_not_touch_is_taken_from_before() -> None:
    said = change("help_pages", "u", page(UNAVAILABLE, title="Money back"), lsn=4, before=page("As it was."))
    (aimed,) = read(said).commands
    assert isinstance(aimed.command, PutDocument)
    assert (aimed.command.title, aimed.command.text) == ("Money back", "As it was.")


def test_a_large_value_that_is_nowhere_is_never_published() -> None:
    assert refusal(change("help_pages", "u", page(UNAVAILABLE), lsn=4)).detail == "text: nothing stands at row.body"


def test_an_emptied_table_of_documents_is_for_a_person_to_look_at() -> None:
    assert refusal(change("help_pages", "t", None, lsn=4)).code == "event.table_truncated"


def test_a_page_ends_the_same_whatever_the_order_of_its_changes() -> None:
    changes = [
        change("help_pages", "c", page("One."), lsn=4),
        change("help_pages", "u", page("Two."), lsn=5),
        change("help_pages", "d", {"slug": "refunds"}, lsn=6),
        change("help_pages", "c", page("Two."), lsn=7),
        change("help_pages", "u", page("Five days."), lsn=8),
    ]
    decider = DocumentDecider()
    for order in permutations(changes):
        state = decider.initial()
        for said in (*order, order[0]):
            (aimed,) = read(said).commands
            assert isinstance(aimed.command, PutDocument | WithdrawDocument)
            for event in decider.decide(state, aimed.command, COMMITTED_AT):
                state = decider.evolve(state, event)
        assert state.published is not None
        assert (state.published.text, state.is_withdrawn) == ("Five days.", False)


@pytest.mark.parametrize(
    ("said", "event_type"),
    [
        (b"", "tombstone"),
        (b"null", "tombstone"),
        ({"schema": None, "payload": None}, "tombstone"),
        (change("payments", "d", payment(2, 1), lsn=1), "public.payments.d"),
        (change("payments", "t", None, lsn=1), "public.payments.t"),
        (change("", "m", None, lsn=1, message={"prefix": "foo", "content": "Ymfy"}), "public.m"),
        (change("customers", "c", {"id": 1}, lsn=1), "public.customers.c"),
        ({"source": {"db": "shop"}, "ddl": "ALTER TABLE payments ADD note TEXT", "tableChanges": []}, "schema_change"),
        ({"status": "BEGIN", "id": "571:53195829", "event_count": None}, "transaction"),
        ({"ts_ms": 1_772_366_400_000}, "heartbeat"),
    ],
)
def test_what_changes_no_row_that_is_mapped_is_seen(said: Any, event_type: str) -> None:
    assert seen(said) == event_type


def test_each_tombstone_is_a_message_of_its_own() -> None:
    first, second = (SOURCE.read(b"", headers={}, ref=f"INGEST:{each}") for each in (7, 8))
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    assert first.event_id != second.event_id


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"{", "body.not_json"),
        ([], "body.wrong_shape"),
        ({"payload": "text"}, "body.wrong_shape"),
        ({"id": 1}, "event.no_change"),
        (change("payments", "x", payment(2, 1), lsn=1), "event.unknown_operation"),
        (change("orders", "c", {"id": 1}, lsn=1), "event.unmapped"),
        (change("payments", "c", {"id": 1}, lsn=1), "event.field_missing"),
        ({**change("payments", "c", None, lsn=1), "after": "text"}, "body.wrong_shape"),
    ],
)
def test_what_is_no_change_that_can_be_read_is_refused(said: Any, code: str) -> None:
    assert refusal(said).code == code


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({"lsn": 24_023_128, "ts_ms": 1}, 24_023_128),
        ({"file": "mysql-bin.000003", "pos": 484}, (3 << 40) + 484),
        ({"file": "", "pos": 0, "gtid": None}, None),
        ({"gtid": "36d1d0ce-1b2c-11ee-be56-0242ac120002:23"}, 23),
        ({"gtid": "36d1d0ce-1b2c-11ee-be56-0242ac120002:1-23"}, 23),
        ({"change_lsn": "00000027:00000758:0003", "commit_lsn": "00000027:00000758:0005"}, 0x0027_00000758_0003),
        ({"commit_lsn": "00000027:00000758:0005"}, 0x0027_00000758_0005),
        ({"change_lsn": "FFFFFFFF:00000758:0005"}, None),
        ({"scn": "1513734"}, 1_513_734),
        ({"ts_ms": 1_558_965_508_000, "ord": 6}, (1_558_965_508 << 24) + 6),
        ({"ts_ms": 1_558_965_508_000}, None),
        ({"lsn": -1}, None),
        ({"lsn": 2**70}, None),
    ],
)
def test_a_position_grows_with_the_log_of_the_database(source: dict[str, Any], found: int | None) -> None:
    assert position(source) == found


def test_a_document_of_mongodb_is_read_from_its_text() -> None:
    toml = """
        [mapping]
        [[mapping.facts]]
        kind = "charge"
        object = "row._id"
        payment = "row.order"
        status = "row.status"
        occurred_at = { path = "row.at", format = "ms" }
        amount = { path = "row.amount", unit = "major" }
        currency = "row.currency"
    """
    after = {
        "_id": {"$oid": "67ab25755c0d5ac87eb8c632"},
        "order": {"$numberLong": "1004"},
        "status": "captured",
        "at": {"$date": {"$numberLong": str(NOON_US // 1000)}},
        "amount": {"$numberDecimal": "49.00"},
        "currency": "EUR",
    }
    said = change("", "c", None, lsn=1, after=json.dumps(after))
    (fact,) = read(said, Debezium("shop", settings(toml))).facts
    assert (fact.object, fact.payment_id, fact.amount_minor) == ("charge:67ab25755c0d5ac87eb8c632", "1004", 4900)
    assert fact.occurred_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


# The recorded tables are of customers and products: as good as any to see that each record comes to an end.
RECORDED = settings(
    """
    [mapping]
    ignored = ["inventory.customers.u"]
    [[mapping.facts]]
    kind = "charge"
    when = { "row.weight" = ["*"], op = ["c", "u", "r"], "source.name" = ["mysql_binlog_source"] }
    object = { path = ["row.id", "row._id"] }
    payment = { path = ["row.id", "row._id"] }
    status = { constant = "captured" }
    occurred_at = { path = "source.ts_ms", format = "ms" }
    amount = { path = "row.weight", unit = "major" }
    currency = { constant = "KWD" }
    [[mapping.documents]]
    when = { "source.table" = ["customers", "products", "a"] }
    id = "row.id"
    text = { path = ["row.name", "row.last_name", "row.address"] }
    """
)


def recordings() -> Iterator[tuple[Path, Any]]:
    """Every recorded message: a file is one, or has one per line, or has several under names."""
    for path in recorded("debezium", "*/*.json*"):
        if path.suffix == ".jsonl":
            yield from ((path, line) for line in path.read_bytes().splitlines() if line.strip())
            continue
        told = json.loads(path.read_text())
        parts = list(told.values()) if path.name.startswith("debezium-data-schema") else [told]
        yield from ((path, encoded(part)) for part in parts)


def test_every_recorded_message_ends_as_something() -> None:
    source = Debezium("recorded", RECORDED)
    ends: Counter[str] = Counter()
    for path, raw in recordings():
        result = source.read(raw, headers={}, ref=path.name)
        assert result == source.read(raw, headers={}, ref=path.name)
        ends[_end(result)] += 1
    assert ends == {
        "facts": 38,
        "documents": 48,
        "sighting": 14,
        "event.no_change": 21,
        "event.table_truncated": 1,
        "event.unmapped": 16,
    }


def _end(result: Reading | Unreadable) -> str:
    if isinstance(result, Unreadable):
        return result.code
    return "facts" if result.facts else "documents" if result.commands else "sighting" if result.sighting else ""
