"""What lies in a simulated log from before: events of an earlier schema, and one that nobody can decode."""

from collections.abc import Sequence
from typing import Any

import msgspec

from domain.codec import Envelope, Upcaster, encode_envelope, tag_of
from domain.fact import Fact
from domain.ids import stream_id
from domain.payment_saga import FactRecorded
from gateway.sources import stripe
from gateway.sources.port import Reading
from simulations.stripe_life import ProviderEvent
from simulations.stripe_traffic import Traffic

FACT_RECORDED = tag_of(FactRecorded)
POISONED = "pi_poisoned"
OLD_EVENTS_MAX = 6


def _upcast(event: dict[str, Any]) -> dict[str, Any]:
    """An earlier version called the amount `amount`."""
    fact = dict(event["fact"])
    if "amount" in fact:
        fact["amount_minor"] = fact.pop("amount")
    return {**event, "fact": fact}


# In force in simulated runs alone: what upcasting will have to do when a first event changes its schema.
OLD_SCHEMA: dict[tuple[str, int], Upcaster] = {(FACT_RECORDED, 1): _upcast}


def old_events(tenant: str, traffic: Traffic) -> list[tuple[str, int, str, bytes]]:
    """The first facts of a tenant's traffic as that version kept them. They will be delivered again."""
    versions: dict[str, int] = {}
    stored: list[tuple[str, int, str, bytes]] = []
    for event in traffic.events[:OLD_EVENTS_MAX]:
        for fact in _facts(event):
            stream = stream_id("payment", tenant, fact.payment_id)
            versions[stream] = versions.get(stream, 0) + 1
            topic, state = encode_envelope(
                Envelope(event=FactRecorded(fact=fact), recorded_at=event.emitted_at, commit="earlier")
            )
            stored.append((stream, versions[stream], topic, _older(state)))
    return stored


def _facts(event: ProviderEvent) -> Sequence[Fact]:
    reading = stripe.read(event.body, headers={}, ref="INGEST:old")
    assert isinstance(reading, Reading), "the simulated provider sends what can be read"
    return reading.facts


def _older(state: bytes) -> bytes:
    envelope = msgspec.msgpack.decode(state)
    envelope.pop("schema", None)
    fact = envelope["event"]["fact"]
    if "amount_minor" in fact:
        fact["amount"] = fact.pop("amount_minor")
    return msgspec.msgpack.encode(envelope)


def poison_events(tenant: str, traffic: Traffic) -> list[tuple[str, int, str, bytes]]:
    """An event whose bytes no version ever wrote, and a good one that has to wait behind it."""
    stream = stream_id("payment", tenant, POISONED)
    good = next(fact for event in traffic.events for fact in _facts(event))
    topic, state = encode_envelope(
        Envelope(event=FactRecorded(fact=good), recorded_at=traffic.events[0].emitted_at, commit="earlier")
    )
    return [(stream, 1, FACT_RECORDED, b"\xc1 no event"), (stream, 2, topic, state)]
