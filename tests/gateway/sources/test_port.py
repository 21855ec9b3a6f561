"""From a reading to commands."""

from datetime import UTC, datetime

from domain.codec import Submission, decode_submissions, encode_submissions
from domain.ids import stream_id
from domain.message import Trace
from domain.payment_saga import LinkPayment, RecordFact
from gateway.sources.port import submissions
from tests.gateway.sources.examples import charge, event, reading, refund

TRACE = Trace(correlation_id="c-1", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def commands(raw: bytes) -> list[Submission]:
    return submissions("acme", reading(raw), source="stripe", trace=TRACE)


def test_each_fact_goes_to_its_payment_and_each_link_to_its_reference() -> None:
    raw = event("charge.refunded", charge(amount_refunded=1900, refunds={"data": [refund()]}))
    first, second, link = commands(raw)
    facts = reading(raw).facts
    assert [first.command, second.command] == [RecordFact(fact=facts[0]), RecordFact(fact=facts[1])]
    assert {first.stream, second.stream} == {"payment:acme/pi_1"}
    assert [first.command_id, second.command_id] == ["stripe:evt_1", "stripe:evt_1#re_1"]
    assert (link.stream, link.command, link.command_id) == (
        stream_id("payment", "acme", "ch_1"),
        LinkPayment(payment_id="pi_1"),
        "link:ch_1",
    )
    assert {each.trace for each in (first, second, link)} == {TRACE}


def test_a_sighting_goes_to_a_stream_of_its_own() -> None:
    (seen,) = commands(event("customer.updated", {"id": "cus_1", "object": "customer"}))
    assert (seen.stream, seen.command_id) == ("webhook:acme/stripe/evt_1", "evt_1")
    assert seen.command == reading(event("customer.updated", {})).sighting


def test_an_orphan_waits_under_the_reference_that_it_carries() -> None:
    (alone,) = commands(event("refund.created", refund(payment_intent=None)))
    assert alone.stream == "payment:acme/ch_1"


def test_the_same_message_leads_to_the_same_commands_again() -> None:
    raw = event("charge.succeeded", charge())
    assert commands(raw) == commands(raw)


def test_the_commands_of_a_message_cross_a_process_border_whole() -> None:
    raw = event("charge.refunded", charge(amount_refunded=1900, refunds={"data": [refund()]}))
    assert decode_submissions(encode_submissions(commands(raw))) == commands(raw)


def test_a_sighting_occurred_when_the_provider_says() -> None:
    sighting = reading(event("customer.updated", {})).sighting
    assert sighting is not None
    assert sighting.occurred_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (sighting.source, sighting.event_type, sighting.raw) == ("stripe", "customer.updated", "INGEST:7")
