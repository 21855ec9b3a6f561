"""Records become facts and documents by settings alone."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.document import PutDocument, WithdrawDocument
from domain.errors import TerminalError
from domain.fact import Fact
from domain.settings import NodeSettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.sources import MADE, Sources
from gateway.sources.mapping import faults, map_record
from gateway.sources.port import Unreadable
from tests.gateway.sources.mapped import mapped, mapping, refused, settings

CHARGES = """
event_id = "id"
event_type = "type"
ignored = ["customer.*", "ping"]
[[facts]]
kind = "charge"
when = { type = ["payment.*"] }
object = "data.0.id"
payment = "order"
links = ["invoice"]
refers_to = { intent = "intent" }
status = { path = "state", table = { PAID = "captured", HELD = "authorized", "" = "pending" } }
occurred_at = "at"
sequence = "version"
amount = { path = "amount", unit = "major" }
currency = "currency"
customer = "buyer"
reason = "why"
"""
RECORD: dict[str, Any] = {
    "id": "e_1",
    "type": "payment.changed",
    "data": [{"id": "ch_1"}],
    "order": 1001,
    "invoice": "in_1",
    "intent": "int_1",
    "state": "PAID",
    "at": "2026-03-01T13:00:00+01:00",
    "version": "7",
    "amount": "49.00",
    "currency": "eur",
    "buyer": "cus_1",
    "why": "insufficient_funds",
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

PAGES = """
[[documents]]
id = "slug"
title = "title"
text = "body"
metadata = { locale = "locale", kind = { constant = "help" } }
withdrawn = { deleted = ["true"], state = ["draft", "hidden"] }
changed_at = "at"
sequence = "version"
"""
PAGE: dict[str, Any] = {"slug": "refunds", "title": "Refunds", "body": "Five days.", "locale": "en"}
WRITTEN = {**PAGE, "at": "2026-03-01T12:00:00Z", "version": 3}


def test_a_fact_is_read_whole() -> None:
    found = mapped(CHARGES, RECORD)
    assert found.facts == (
        Fact(
            fact_id="acquirer:e_1",
            provider="acquirer",
            payment_id="1001",
            object="charge:ch_1",
            status="captured",
            occurred_at=NOON,
            sequence=7,
            amount_minor=4900,
            currency="EUR",
            authorized_minor=4900,
            captured_minor=4900,
            customer_id="cus_1",
            reason="insufficient_funds",
            refers_to=("intent",),
            raw="INGEST:7",
        ),
    )
    assert found.links == (("in_1", "1001"), ("ch_1", "1001"))
    assert (found.event_id, found.event_type, found.sighting, found.commands) == ("e_1", "payment.changed", None, ())


@pytest.mark.parametrize(
    ("state", "status", "authorized_minor", "captured_minor"),
    [("PAID", "captured", 4900, 4900), ("HELD", "authorized", 4900, 0), (None, "pending", 0, 0)],
)
def test_what_is_held_and_taken_follows_from_the_status(
    state: str | None, status: str, authorized_minor: int, captured_minor: int
) -> None:
    (fact,) = mapped(CHARGES, {**RECORD, "state": state}).facts
    assert (fact.status, fact.authorized_minor, fact.captured_minor) == (status, authorized_minor, captured_minor)


def test_what_is_held_and_taken_is_what_the_record_says_where_it_says_so() -> None:
    toml = CHARGES + 'captured = "taken_minor"\nrefunded = "returned_minor"\n'
    (fact,) = mapped(toml, {**RECORD, "taken_minor": 3000, "returned_minor": "500"}).facts
    assert (fact.authorized_minor, fact.captured_minor, fact.refunded_minor) == (4900, 3000, 500)


@pytest.mark.parametrize("event_type", ["customer.updated", "ping"])
def test_an_ignored_type_is_seen(event_type: str) -> None:
    found = mapped(CHARGES, {"id": "e_2", "type": event_type, "at": "2026-03-01T12:00:00Z"})
    assert found.sighting is not None
    assert (found.facts, found.sighting.source, found.sighting.event_id) == ((), "acquirer", "e_2")
    assert found.sighting.occurred_at == NOON


def test_a_type_that_is_neither_mapped_nor_ignored_is_refused() -> None:
    assert refused(CHARGES, {**RECORD, "type": "pings"}).code == "event.unmapped"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"id": None}, "event.field_missing", "event_id"),
        ({"id": "no id at all"}, "event.id_malformed", "event_id"),
        ({"data": []}, "event.field_missing", "object"),
        ({"order": ""}, "event.field_missing", "payment"),
        ({"order": ["o"]}, "event.field_malformed", "payment"),
        ({"order": "Ann Smith"}, "event.id_malformed", "payment"),
        ({"invoice": "Ann Smith"}, "event.id_malformed", "links"),
        ({"state": "LOST"}, "event.unknown_word", "status"),
        ({"at": None}, "event.field_missing", "occurred_at"),
        ({"at": "Ann Smith"}, "event.time_malformed", "occurred_at"),
        ({"version": "7b"}, "event.sequence_malformed", "sequence"),
        ({"amount": None}, "event.field_missing", "amount"),
        ({"amount": "Ann Smith"}, "event.amount_malformed", "amount"),
        ({"amount": -1}, "event.amount_out_of_range", "amount"),
        ({"currency": "Ann Smith"}, "event.currency_malformed", "currency"),
        ({"buyer": "ann@example.com"}, "event.id_malformed", "customer"),
    ],
)
def test_a_refusal_names_the_field_and_shows_nothing_of_it(change: dict[str, Any], code: str, field: str) -> None:
    reason = refused(CHARGES, {**RECORD, **change})
    assert reason.code == code
    assert reason.detail.startswith(f"{field}:")
    assert "Ann" not in reason.detail
    assert "ann@" not in reason.detail


def test_a_status_that_the_kind_does_not_have_is_refused() -> None:
    toml = CHARGES.replace(
        '{ path = "state", table = { PAID = "captured", HELD = "authorized", "" = "pending" } }', '"state"'
    )
    assert refused(toml, {**RECORD, "state": "won"}).code == "event.unknown_status"


def test_a_reason_that_is_no_code_is_left_out_and_the_fact_is_not() -> None:
    assert mapped(CHARGES, {**RECORD, "why": "Ann Smith changed her mind"}).facts[0].reason == ""


def test_the_first_path_where_anything_stands_counts() -> None:
    toml = CHARGES.replace('payment = "order"', 'payment = { path = ["order", "data.0.id"] }')
    assert mapped(toml, RECORD).facts[0].payment_id == "1001"
    assert mapped(toml, {**RECORD, "order": None}).facts[0].payment_id == "ch_1"


def test_a_key_with_dots_in_it_is_found() -> None:
    toml = CHARGES.replace('payment = "order"', 'payment = "Order No. (ours)"')
    assert mapped(toml, {**RECORD, "Order No. (ours)": "o_1"}).facts[0].payment_id == "o_1"


def test_several_rules_make_several_facts_of_one_record() -> None:
    toml = CHARGES + (
        '[[facts]]\nkind = "refund"\nobject = "refund"\npayment = "order"\nrefers_to = { charge = "data.0.id" }\n'
        'status = { constant = "succeeded" }\noccurred_at = "at"\namount = "refund_minor"\ncurrency = "currency"\n'
        "when = { state = ['PAID'] }\n"
    )
    charge, refund = mapped(toml, {**RECORD, "refund": "re_1", "refund_minor": 900}).facts
    assert (charge.fact_id, refund.fact_id) == ("acquirer:e_1", "acquirer:e_1#refund:re_1")
    assert (refund.object, refund.amount_minor, refund.refers_to) == ("refund:re_1", 900, ("charge:ch_1",))


def test_without_an_event_id_the_same_assertion_is_the_same_fact() -> None:
    toml = CHARGES.replace('event_id = "id"', "")
    (first,) = mapped(toml, RECORD).facts
    (again,) = mapped(toml, {**RECORD, "id": "e_9", "unmapped": 1, "at": "2026-03-01T12:00:00Z"}).facts
    assert again == first
    for change in ({"amount": "48.00"}, {"at": "2026-03-01T12:00:01Z"}, {"version": 8}, {"buyer": "cus_2"}):
        (other,) = mapped(toml, {**RECORD, **change}).facts
        assert other.fact_id != first.fact_id


def test_the_mapping_may_name_the_provider() -> None:
    (fact,) = mapped('provider = "stripe"\n' + CHARGES, RECORD).facts
    assert (fact.provider, fact.fact_id) == ("stripe", "stripe:e_1")


def test_how_a_record_came_is_told() -> None:
    found = map_record(mapping(CHARGES), RECORD, provider="acquirer", source="export", ref="x")
    assert not isinstance(found, Unreadable)
    assert found.facts[0].source == "export"


def test_a_document_is_read_whole() -> None:
    (aimed,) = mapped(PAGES, WRITTEN).commands
    assert (aimed.category, aimed.key) == ("document", "refunds")
    assert aimed.command == PutDocument(
        document_id="refunds",
        title="Refunds",
        text="Five days.",
        metadata={"locale": "en", "kind": "help"},
        changed_at=NOON,
        sequence=3,
    )


@pytest.mark.parametrize("change", [{"deleted": True}, {"state": "draft"}, {"deleted": "true", "body": None}])
def test_a_document_is_taken_back_by_any_of_the_signs(change: dict[str, Any]) -> None:
    (aimed,) = mapped(PAGES, {**WRITTEN, **change}).commands
    assert aimed.command == WithdrawDocument(document_id="refunds", changed_at=NOON, sequence=3)


def test_the_same_change_of_a_document_leads_to_the_same_command() -> None:
    first, again, other = (
        mapped(PAGES, each).commands[0] for each in (WRITTEN, dict(WRITTEN), {**WRITTEN, "body": "x"})
    )
    assert first.command_id == again.command_id != other.command_id


def test_a_document_without_text_is_refused() -> None:
    assert refused(PAGES, {**WRITTEN, "body": ""}).detail == "text: nothing stands at body"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('occurred_at = "at"', ""), "facts[0].occurred_at"),
        (
            ('occurred_at = "at"', 'occurred_at = { path = "at", zone = "Europe/Atlantis" }'),
            "facts[0].occurred_at.zone",
        ),
        (
            ('occurred_at = "at"', 'occurred_at = { path = "at", zone_path = "z", zones = { PST = "-8" } }'),
            "facts[0].occurred_at.zones.PST",
        ),
        (('occurred_at = "at"', 'occurred_at = { path = "at", format = "%Y %Y" }'), "facts[0].occurred_at.format"),
        (('occurred_at = "at"', 'occurred_at = { path = "at", format = "%d/%Q" }'), "facts[0].occurred_at.format"),
    ],
)
def test_what_can_never_work_is_found_before_any_record(change: tuple[str, str], fault: str) -> None:
    (found,) = faults(mapping(CHARGES.replace(*change)))
    assert found.startswith(f"{fault}:")


def test_a_mapping_that_can_work_has_no_faults() -> None:
    assert faults(mapping(CHARGES)) == []
    assert faults(mapping(PAGES)) == []


@pytest.mark.parametrize("kind", ["standard-webhooks", "cloudevents", "debezium"])
def test_a_source_without_its_mapping_stops_the_start_and_names_the_key(kind: str) -> None:
    tenants = {"acme": TenantSettings(sources={"acquirer": SourceSettings(kind=kind)})}
    with pytest.raises(TerminalError, match=r"tenants\.acme\.sources\.acquirer\.mapping"):
        Sources(tenants)


def test_a_mapping_that_cannot_work_stops_the_start_and_names_the_key() -> None:
    unzoned = "occurred_at = { path = 'at', zone = 'Mars' }"
    toml = f"kind = 'debezium'\n[mapping]\n[[mapping.facts]]\nkind = 'intent'\npayment = 'row.id'\n{unzoned}\n"
    tenants = {"acme": TenantSettings(sources={"shop": settings(toml + "status = 'row.status'\n")})}
    with pytest.raises(TerminalError, match=r"tenants\.acme\.sources\.shop\.mapping\.facts\[0\]\.occurred_at\.zone"):
        Sources(tenants)


@pytest.mark.parametrize("kind", ["standard-webhooks", "cloudevents", "debezium"])
def test_a_message_for_a_source_that_was_never_set_is_refused(kind: str) -> None:
    assert kind in MADE
    found = Sources({"acme": TenantSettings()}).of("acme", kind)
    assert isinstance(found, Unreadable)
    assert found.code == "source.unset"


@pytest.mark.parametrize("page", ["mapping", "standard-webhooks", "cloudevents", "debezium"])
def test_every_example_in_the_documents_can_be_set(page: str) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "sources" / f"{page}.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert examples
    for toml in examples:
        tenants = msgspec.toml.decode(toml, type=NodeSettings).tenants
        Sources(tenants)
        assert all(source.mapping is not None for source in tenants["acme"].sources.values())


def test_a_made_source_is_made_once() -> None:
    sources = Sources({"acme": TenantSettings(sources={"shop": settings(f"kind = 'debezium'\n{_under_mapping()}")})})
    assert sources.of("acme", "shop") is sources.of("acme", "shop")


def _under_mapping() -> str:
    return "[mapping]\n" + CHARGES.replace("[[facts]]", "[[mapping.facts]]")
