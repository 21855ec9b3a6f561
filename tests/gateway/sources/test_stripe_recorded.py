"""Every recorded Stripe message, and the traps among them, end as facts, a sighting or a reason."""

import json
from collections import Counter
from pathlib import Path

import pytest

from gateway.sources import stripe
from gateway.sources.port import Reading, Unreadable
from tests.gateway.sources.examples import recorded

MONEY = ("payment_intent.", "charge.", "refund.", "payout.")

# What the recordings hold that contradicts itself or lacks an id (SOURCES.md beside them says which and why).
REFUSED = {
    "charge.dispute.closed.json": "body.wrong_shape",
    "charge.dispute.updated.json": "body.wrong_shape",
    "charge_failed.json": "event.type_contradicts_object",
    "payout_canceled.json": "event.type_contradicts_object",
}


def read(path: Path) -> Reading | Unreadable:
    return stripe.read(path.read_bytes(), headers={}, ref=path.name)


def test_every_recorded_event_is_read_or_refused_for_a_known_reason() -> None:
    found = {path: read(path) for path in recorded("events-*/*.json")}
    refused = {path.name: result.code for path, result in found.items() if isinstance(result, Unreadable)}
    assert refused == REFUSED
    for path, result in found.items():
        if isinstance(result, Reading):
            assert bool(result.facts) == json.loads(path.read_bytes())["type"].startswith(MONEY), path.name


def test_every_line_of_every_recorded_stream_is_read() -> None:
    kinds: Counter[str] = Counter()
    for path in recorded("streams/*.jsonl"):
        for line in path.read_bytes().splitlines():
            result = stripe.read(line, headers={}, ref=path.name)
            assert isinstance(result, Reading), (path.name, result)
            kinds.update(fact.kind for fact in result.facts)
            kinds["sighting"] += result.sighting is not None
    assert kinds.keys() == {"intent", "charge", "sighting"}


def test_the_recorded_refund_failed_after_it_had_succeeded() -> None:
    (path,) = recorded("events-zulip-webhook/refund_event.json")
    result = read(path)
    assert isinstance(result, Reading)
    (fact,) = result.facts
    assert (fact.status, fact.reason) == ("failed", "expired_or_canceled_card")
    assert result.links == (("ch_1Gib61HLwdCOCoR71rnkccye", "pi_1Gib60HLwdCOCoR7KJbTO3U7"),)


@pytest.mark.parametrize(
    ("pattern", "status"),
    [
        ("events-stripe-ruby-mock/payout.created.json", "paid"),
        ("events-stripe-ruby-mock/charge.updated.json", "captured"),
        ("events-zulip-webhook/charge_succeeded__invoice.json", "captured"),
        ("events-zulip-webhook/charge_dispute_closed_with_pi.json", "lost"),
    ],
)
def test_the_object_is_believed_where_the_type_says_nothing_of_it(pattern: str, status: str) -> None:
    (path,) = recorded(pattern)
    result = read(path)
    assert isinstance(result, Reading)
    assert result.facts[0].status == status


def test_other_objects_under_one_event_id_are_other_facts() -> None:
    facts = [
        fact
        for path in recorded("events-stripe-ruby-mock/*.json")
        if isinstance(result := read(path), Reading)
        for fact in result.facts
        if fact.fact_id == "stripe:evt_000000000000000000000000"
    ]
    assert len(facts) > 10
    assert any(not facts[0].asserts_same_as(fact) for fact in facts)
