"""The pipelines to contrast with are right where their rule suffices, and wrong for the reason that is said of them."""

from datetime import timedelta

import pytest

from simulations.disorder import Delivery, deliveries, hold_back
from simulations.naive import arrival_order, created_after, created_not_before, wrong
from simulations.stripe_traffic import ProviderEvent, Traffic, generate
from tests.spec import NOON

SEEDS = range(4)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return generate(seed=7, payments=300, start=NOON)


@pytest.fixture(scope="module")
def tied(traffic: Traffic) -> tuple[ProviderEvent, ProviderEvent]:
    """A payment's `created` and `succeeded`, which happened in one second."""
    created = {event.payment_id: event for event in traffic.events if event.event_type == "payment_intent.created"}
    return next(
        (created[event.payment_id], event)
        for event in traffic.events
        if event.event_type == "payment_intent.succeeded"
        and event.emitted_at.replace(microsecond=0) == created[event.payment_id].emitted_at.replace(microsecond=0)
    )


def undisturbed(traffic: Traffic, *, duplicate_share: float = 0.0) -> list[Delivery]:
    return deliveries(traffic, seed=1, duplicate_share=duplicate_share, late_share=0, jitter_s=0)


def arriving(*events: ProviderEvent) -> list[Delivery]:
    return [
        Delivery(
            event=event,
            deliver_at=NOON + timedelta(seconds=place),
            attempt=1,
            is_duplicate=event in events[:place],
            is_late=False,
        )
        for place, event in enumerate(events)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_arrival_order_without_disorder_gets_none_wrong(seed: int) -> None:
    traffic = generate(seed=seed, payments=300, start=NOON)
    counts = wrong(traffic, undisturbed(traffic))
    assert counts["arrival_order"] == 0
    assert counts["created_not_before"] == 0


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_every_pipeline_gets_payments_wrong_under_disorder(seed: int) -> None:
    traffic = generate(seed=seed, payments=300, start=NOON)
    counts = wrong(traffic, deliveries(traffic, seed=seed))
    assert counts.keys() == {"arrival_order", "created_after", "created_not_before"}
    assert all(30 < count < len(traffic.truth) / 2 for count in counts.values()), counts


def test_created_after_gets_payments_wrong_even_without_disorder(traffic: Traffic) -> None:
    assert wrong(traffic, undisturbed(traffic))["created_after"] > 30


def test_duplicates_alone_change_nothing(traffic: Traffic) -> None:
    assert wrong(traffic, undisturbed(traffic, duplicate_share=1.0)) == wrong(traffic, undisturbed(traffic))


def test_whatever_arrives_last_wins_in_arrival_order(tied: tuple[ProviderEvent, ProviderEvent]) -> None:
    created, succeeded = tied
    payment_id = created.payment_id
    assert arrival_order(arriving(created, succeeded)).payments == {payment_id: "captured"}
    assert arrival_order(arriving(succeeded, created)).payments == {payment_id: "pending"}
    assert arrival_order(arriving(created, succeeded, created)).payments == {payment_id: "captured"}


def test_of_two_events_in_one_second_created_after_keeps_the_first_to_arrive(
    tied: tuple[ProviderEvent, ProviderEvent],
) -> None:
    created, succeeded = tied
    assert created_after(arriving(created, succeeded)).payments == {created.payment_id: "pending"}
    assert created_after(arriving(succeeded, created)).payments == {created.payment_id: "captured"}


def test_of_two_events_in_one_second_created_not_before_keeps_the_last_to_arrive(
    tied: tuple[ProviderEvent, ProviderEvent],
) -> None:
    created, succeeded = tied
    assert created_not_before(arriving(created, succeeded)).payments == {created.payment_id: "captured"}
    assert created_not_before(arriving(succeeded, created)).payments == {created.payment_id: "pending"}


def test_an_older_event_that_arrives_later_is_kept_out_by_both_guards(traffic: Traffic) -> None:
    failed = next(event for event in traffic.events if event.event_type == "refund.failed")
    (created,) = [
        event
        for event in traffic.events
        if event.payment_id == failed.payment_id and event.event_type == "refund.created"
    ][:1]
    (refund_id,) = arrival_order(arriving(failed)).refunds
    arrivals = arriving(failed, created)
    assert arrival_order(arrivals).refunds == {refund_id: "succeeded"}
    assert created_after(arrivals).refunds == {refund_id: "failed"}
    assert created_not_before(arrivals).refunds == {refund_id: "failed"}


def test_a_payment_counts_as_wrong_for_a_refund_a_dispute_or_its_own_status(traffic: Traffic) -> None:
    arrivals = undisturbed(traffic)
    for event_type in ("refund.created", "charge.dispute.closed", "payment_intent.canceled", "payout.failed"):
        event = next(each for each in traffic.events if each.event_type == event_type)
        of_the_fact = [
            each.event_id
            for each in traffic.events
            if each.payment_id == event.payment_id and each.order >= event.order
        ]
        rest, held = hold_back(arrivals, *of_the_fact)
        assert held
        assert wrong(traffic, rest)["arrival_order"] == 1, event_type
