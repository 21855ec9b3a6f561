"""CloudEvents in each of their modes, and every example of the specification where these are present."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.webhook import RecordSighting
from gateway.intake import provider_headers
from gateway.sources.cloudevents import CloudEvents, identity
from gateway.sources.port import Reading, Trust, Unreadable
from tests.gateway.sources.cloudevents_examples import (
    BATCHED,
    SETTINGS,
    STRUCTURED,
    binary,
    event,
    payment,
    structured,
    with_bytes,
)
from tests.gateway.sources.conformance import NOW, Message
from tests.gateway.sources.mapped import encoded, recorded, settings

SOURCE = CloudEvents("acquirer", SETTINGS)


def read(message: Message, source: CloudEvents = SOURCE) -> Reading:
    result = source.read(message.raw, headers=message.headers, ref="INGEST:7")
    assert isinstance(result, Reading), result
    return result


def refusal(message: Message) -> Unreadable:
    result = SOURCE.read(message.raw, headers=message.headers, ref="INGEST:7")
    assert isinstance(result, Unreadable), result
    return result


def test_an_event_says_the_same_in_every_mode() -> None:
    said = payment(1, "taken")
    modes = [
        structured(said),
        Message(raw=encoded(said)),
        structured(with_bytes(said)),
        binary(said),
        Message(raw=encoded([said]), headers=BATCHED),
        Message(raw=encoded([said])),
    ]
    first, *others = map(read, modes)
    assert first.facts[0].fact_id == f"acquirer:{identity('https://acquirer.example/eu', 'event 1')}"
    assert (first.facts[0].occurred_at, first.facts[0].payment_id) == (
        datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC),
        "order_1",
    )
    assert others == [first] * len(others)


def test_binary_attributes_reach_the_source_over_http_and_over_nats() -> None:
    message = binary(payment(1, "taken"))
    over_nats = {name.title(): value for name, value in message.headers.items()}
    over_http = {f"Recount-Header-{name}": value for name, value in message.headers.items()}
    for headers in (over_nats, over_http):
        assert read(Message(raw=message.raw, headers=provider_headers(headers))) == read(message)


def test_binary_attributes_are_percent_encoded() -> None:
    message = binary(payment(1, "taken"))
    encoded_id = Message(raw=message.raw, headers={**message.headers, "ce-id": "event%201"})
    assert read(encoded_id) == read(message)


def test_source_and_id_name_an_event_together() -> None:
    facts = {
        read(structured(payment(1, "taken", **change))).facts[0].fact_id
        for change in (
            {},
            {"id": "event 2"},
            {"source": "/other"},
            {"id": "1", "source": "https://acquirer.example/euevent "},
        )
    }
    assert len(facts) == 4


@pytest.mark.parametrize(
    ("sequence", "kept"),
    [("0041", 41), ("5", 5), ("a5", None), ("-1", None), ("1.5", None), ("9" * 40, None), (7, None)],
)
def test_a_sequence_orders_where_it_is_a_number(sequence: object, kept: int | None) -> None:
    assert read(structured(payment(1, "taken", sequence=sequence))).facts[0].sequence == kept


def test_a_batch_is_the_sum_of_its_events_and_one_that_cannot_be_read_keeps_out_no_other() -> None:
    events = [payment(1, "held"), event(2, "login.failed", None), {"id": "x"}, payment(3, "taken"), payment(3, "taken")]
    found = read(Message(raw=encoded(events), headers=BATCHED))
    assert [fact.status for fact in found.facts] == ["authorized", "captured"]
    assert [type(aimed.command) for aimed in found.commands] == [RecordSighting]
    assert found.refused is not None
    assert found.refused.code == "body.wrong_shape"


def test_a_batch_of_which_nothing_can_be_read_is_refused() -> None:
    assert refusal(Message(raw=encoded([1, {}]), headers=BATCHED)).code == "body.wrong_shape"


def test_a_batch_has_a_size_at_most() -> None:
    assert refusal(Message(raw=encoded([payment(1, "held")] * 201), headers=BATCHED)).code == "body.too_many"


def test_an_empty_batch_is_seen() -> None:
    sighting = read(Message(raw=b"[]", headers=BATCHED)).sighting
    assert sighting is not None
    assert sighting.event_type == "batch"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": ""}, "body.wrong_shape"),
        ({"source": None}, "body.wrong_shape"),
        ({"type": 5}, "body.wrong_shape"),
        ({"specversion": "0.3"}, "event.version_unknown"),
        ({"type": "com.other"}, "event.unmapped"),
        ({"data": None}, "event.field_missing"),
        ({"time": None}, "event.field_missing"),
    ],
)
def test_an_event_that_says_too_little_is_refused(change: dict[str, Any], code: str) -> None:
    assert refusal(structured({**payment(1, "taken"), **change})).code == code


def test_data_that_is_no_json_is_no_data() -> None:
    said = {**with_bytes(payment(1, "taken")), "datacontenttype": "application/vnd.apache.thrift.binary"}
    assert refusal(structured(said)).code == "event.field_missing"


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        ("Bearer token-1", None),
        ("bearer  token-1", None),
        ("Bearer token-2", "signature.mismatch"),
        ("Basic token-1", "signature.missing"),
        ("Bearer ", "signature.missing"),
        ("", "signature.missing"),
    ],
)
def test_a_bearer_token_is_enough(header: str, refused: str | None) -> None:
    trust = Trust(secrets=("", "token-0", "token-1"))
    assert SOURCE.verify({"authorization": header}, b"{}", trust=trust, now=NOW) == refused


def test_without_a_secret_no_token_is_enough() -> None:
    trust = Trust(secrets=("",))
    assert SOURCE.verify({"authorization": "Bearer x"}, b"{}", trust=trust, now=NOW) == "signature.no_secret"


EXAMPLES = settings(
    """
    [mapping]
    event_id = "id"
    ignored = ["com.example.someotherevent", "com.example.shipping.*", "com.example.notification.*"]
    [[mapping.facts]]
    kind = "charge"
    when = { type = ["com.example.payment.*"] }
    object = "id"
    payment = "correlationid"
    occurred_at = "time"
    amount = { path = "data.amount", unit = "major" }
    currency = "data.currency"
    [mapping.facts.status]
    path = "type"
    table = { "com.example.payment.processed" = "captured", "com.example.payment.failed" = "failed" }
    [[mapping.documents]]
    when = { type = ["com.example.someevent", "com.github.*"] }
    id = "id"
    text = { path = ["data.appinfoA", "data.xyz", "data"] }
    """
)


def test_every_example_of_the_specification_ends_as_something() -> None:
    source = CloudEvents("spec", EXAMPLES)
    ends: Counter[str] = Counter()
    for path in recorded("cloudevents", "spec-examples/*.json"):
        told = json.loads(path.read_text())
        result = source.read(path.read_bytes(), headers={}, ref=path.name)
        for part in told if isinstance(told, list) else [told]:
            alone = source.read(encoded(part), headers=STRUCTURED, ref=path.name)
            ends[_end(alone)] += 1
        assert _end(result), path.name
    assert ends == {
        "documents": 5,
        "sighting": 4,
        "event.field_missing": 7,
        "event.unmapped": 7,
    }


def _end(result: Reading | Unreadable) -> str:
    if isinstance(result, Unreadable):
        return result.code
    return "facts" if result.facts else "documents" if result.commands else "sighting" if result.sighting else ""
