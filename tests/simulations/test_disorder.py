"""The way to the webhook: everything arrives, some of it twice, late and turned around, and it is signed."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.sources import stripe
from gateway.sources.port import Trust
from simulations.disorder import Delivery, deliveries, hold_back, stripe_headers
from simulations.stripe_traffic import Traffic, generate
from tests.gateway.sources.examples import recorded
from tests.spec import NOON


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return generate(seed=7, payments=300, start=NOON)


@pytest.fixture(scope="module")
def arrivals(traffic: Traffic) -> list[Delivery]:
    return deliveries(traffic, seed=11)


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others(
    traffic: Traffic, arrivals: list[Delivery]
) -> None:
    assert deliveries(traffic, seed=11) == arrivals
    assert deliveries(traffic, seed=12) != arrivals


def test_every_event_arrives_once_as_new_and_never_before_it_was_sent(
    traffic: Traffic, arrivals: list[Delivery]
) -> None:
    assert [each.deliver_at for each in arrivals] == sorted(each.deliver_at for each in arrivals)
    new = [each.event.event_id for each in arrivals if not each.is_duplicate]
    assert sorted(new) == sorted(event.event_id for event in traffic.events)
    assert all(each.deliver_at >= each.event.emitted_at for each in arrivals)
    seen: set[str] = set()
    for each in arrivals:
        assert each.is_duplicate == (each.event.event_id in seen)
        seen.add(each.event.event_id)


def test_the_shares_of_duplicates_and_of_late_events_are_as_asked_for(
    traffic: Traffic, arrivals: list[Delivery]
) -> None:
    events = len(traffic.events)
    assert len(arrivals) - events == pytest.approx(0.3 * events, rel=0.15)
    late = [each for each in arrivals if each.is_late and not each.is_duplicate]
    assert len(late) == pytest.approx(0.1 * events, rel=0.3)
    hours = [each for each in late if each.deliver_at - each.event.emitted_at > timedelta(hours=1)]
    assert hours
    assert all(each.attempt > 1 for each in hours)


def test_events_of_one_second_are_turned_around(arrivals: list[Delivery]) -> None:
    first = [each for each in arrivals if not each.is_duplicate and each.event.payment_id]
    latest: dict[tuple[str, int], int] = {}
    turned = 0
    for each in first:
        second = (each.event.payment_id, int(each.event.emitted_at.timestamp()))
        turned += each.event.order < latest.get(second, 0)
        latest[second] = max(latest.get(second, 0), each.event.order)
    assert turned > 100


def test_without_disorder_arrival_is_the_true_order(traffic: Traffic) -> None:
    arrivals = deliveries(traffic, seed=11, duplicate_share=0, late_share=0, jitter_s=0)
    assert tuple(each.event for each in arrivals) == traffic.events
    assert not any(each.is_duplicate or each.is_late or each.attempt > 1 for each in arrivals)


def test_an_event_that_is_held_back_is_held_back_with_its_duplicates(arrivals: list[Delivery]) -> None:
    twice = next(each.event.event_id for each in arrivals if each.is_duplicate)
    rest, held = hold_back(arrivals, twice)
    assert [each.event.event_id for each in held] == [twice, twice]
    assert len(rest) == len(arrivals) - 2
    assert twice not in {each.event.event_id for each in rest}


def test_a_signature_is_what_our_source_expects_of_stripe() -> None:
    body = b'{"id":"evt_1"}'
    headers = {key.lower(): value for key, value in stripe_headers(body, "whsec_1", NOON).items()}
    assert stripe.verify(headers, body, trust=Trust(secrets=["whsec_1"]), now=NOON) is None
    other = stripe.verify(headers, body + b" ", trust=Trust(secrets=["whsec_1"]), now=NOON)
    assert other == "signature.mismatch"


def test_a_signature_is_the_recorded_one() -> None:
    (path,) = recorded("signature/async-stripe-vector.json")
    vector = json.loads(path.read_bytes())
    at = datetime.fromtimestamp(vector["timestamp"], UTC)
    headers = stripe_headers(vector["payload"].encode(), vector["secret"], at)
    assert vector["header"].startswith(headers["Stripe-Signature"])
