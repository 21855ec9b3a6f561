"""Simulated traffic for a stack, what is expected of it, and whether the stack did it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from domain.codec import Envelope
from domain.payment_saga import FactRecorded
from domain.webhook import WebhookSeen
from gateway.sources import stripe
from gateway.sources.port import Reading
from simulations.disorder import deliveries
from simulations.stripe_traffic import Truth, generate
from simulations.truth import differences
from tests.stack.stack import Stack

START = datetime(2026, 3, 1, tzinfo=UTC)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """The webhooks in their order of arrival, many of them twice, and what they must come to.

    `facts` are the ids of the facts by payment, `seen` those of the events that state nothing about money.
    """

    webhooks: list[bytes]
    truth: Mapping[str, Truth]
    facts: Mapping[str, set[str]]
    seen: set[str]


def traffic(*, seed: int, payments: int) -> Expected:
    """Stripe's traffic of so many payments, disordered."""
    generated = generate(seed=seed, payments=payments, start=START)
    readings = [stripe.read(each.body, headers={}, ref="") for each in generated.events]
    facts: defaultdict[str, set[str]] = defaultdict(set)
    seen = set()
    for reading in readings:
        assert isinstance(reading, Reading), reading
        belongs_to = dict(reading.links)
        for fact in reading.facts:
            facts[belongs_to.get(fact.payment_id, fact.payment_id)].add(fact.fact_id)
        if reading.sighting is not None:
            seen.add(reading.event_id)
    return Expected(
        webhooks=[delivery.event.body for delivery in deliveries(generated, seed=seed + 1)],
        truth=generated.truth,
        facts=facts,
        seen=seen,
    )


def assert_nothing_lost_and_nothing_twice(stack: Stack, tenant: str, expected: Expected) -> None:
    """Every accepted webhook is in the log, once; every view is the truth and rests on exactly its facts."""
    stack.drained()
    recorded = _recorded(stack.log(), tenant)
    assert {key: times for key, times in recorded.items() if times > 1} == {}, "recorded twice"
    wanted = {fact_id for ids in expected.facts.values() for fact_id in ids} | expected.seen
    assert {key for _, key in recorded} == wanted, "lost, or never sent"
    views = stack.payments(tenant)
    assert views.keys() == expected.truth.keys()
    assert [each for name, truth in expected.truth.items() for each in differences(truth, views[name])] == []
    assert {view["certainty"] for view in views.values()} == {"certain"}
    assert {name: view["facts"] for name, view in views.items()} == {
        name: len(ids) for name, ids in expected.facts.items()
    }
    assert stack.get(f"/v1/{tenant}/quarantine", tenant, state="all")["entries"] == []


def _recorded(log: list[tuple[int, str, Envelope]], tenant: str) -> Counter[tuple[str, str]]:
    """How often each fact or sighting is in the tenant's streams."""
    found: Counter[tuple[str, str]] = Counter()
    for _, stream, envelope in log:
        if stream.partition(":")[2].partition("/")[0] != tenant:
            continue
        match envelope.event:
            case FactRecorded(fact=fact):
                found[stream, fact.fact_id] += 1
            case WebhookSeen(event_id=event_id):
                found[stream, event_id] += 1
            case _:
                pass
    return found
