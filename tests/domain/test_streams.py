"""Recorded histories of real payments, delivered in any order and more than once, end in the same state."""

import itertools
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from domain.fact import Fact
from domain.message import Trace
from domain.payment import PaymentView, fold, registers
from domain.payment_saga import LinkPayment, Payment, PaymentDecider, RecordFact
from gateway.sources.port import Reading, submissions
from tests.gateway.sources.examples import (
    CREATED,
    Body,
    charge,
    dispute,
    event,
    intent,
    payout,
    reading,
    recorded,
    refund,
)

ORDERS = 200
AGAIN = 0.3  # of the messages come twice
DECIDER = PaymentDecider()


def delivered(readings: Sequence[Reading], random: Random) -> list[Reading]:
    """The messages in some order, some of them twice."""
    again = random.sample(readings, round(len(readings) * AGAIN))
    return random.sample([*readings, *again], len(readings) + len(again))


def folded(readings: Sequence[Reading]) -> dict[str, dict[str, Fact]]:
    """The facts of each payment by fact id, in the order in which they came; references count as their payment."""
    belongs_to = dict(link for each in readings for link in each.links)
    payments: dict[str, dict[str, Fact]] = {}
    for each in readings:
        for fact in each.facts:
            payments.setdefault(belongs_to.get(fact.payment_id, fact.payment_id), {})[fact.fact_id] = fact
    return payments


def decided(readings: Sequence[Reading]) -> dict[str, dict[str, Fact]]:
    """The same through the saga: each command is decided by what its own stream knows at that time."""
    streams: dict[str, Payment] = {}
    for each in readings:
        for submission in submissions("acme", each, source="stripe", trace=Trace()):
            command = submission.command
            if isinstance(command, RecordFact | LinkPayment):
                state = streams.get(submission.stream, DECIDER.initial())
                for happened in DECIDER.decide(state, command, at=each.facts[0].occurred_at):
                    state = DECIDER.evolve(state, happened)
                streams[submission.stream] = state
    payments: dict[str, dict[str, Fact]] = {}
    for stream, state in streams.items():
        if state.facts:
            payments.setdefault(state.linked_to or stream.removeprefix("payment:acme/"), {}).update(state.facts)
    return payments


def views(payments: dict[str, dict[str, Fact]]) -> dict[str, PaymentView]:
    return {payment_id: fold(payment_id, list(facts.values())) for payment_id, facts in payments.items()}


def streams() -> dict[str, list[bytes]]:
    """The recorded streams, oldest message first."""
    return {path.stem: path.read_bytes().splitlines() for path in recorded("streams/*.jsonl")}


def last_states(lines: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """The intents and charges as the last line that shows them does, in Stripe's own words."""
    states: dict[str, dict[str, Any]] = {}
    for line in lines:
        body = json.loads(line)["data"]["object"]
        for shown in (body, *body.get("charges", {}).get("data", ())):
            if shown["object"] in {"payment_intent", "charge"}:
                states[shown["id"]] = shown
    return states


@pytest.mark.long
def test_a_recorded_stream_ends_the_same_in_any_order_with_any_repeats() -> None:
    for name, lines in streams().items():
        readings = [reading(line) for line in lines]
        payments = folded(readings)
        expected = views(payments)
        for seed in range(ORDERS):
            order = delivered(readings, Random(f"{name} {seed}"))
            assert views(folded(order)) == expected, f"{name}, seed {seed}"
            assert decided(order) == payments, f"{name}, seed {seed}"
            assert views(decided(order)) == expected, f"{name}, seed {seed}"


def test_a_recorded_stream_ends_in_the_last_state_of_each_object() -> None:
    seen = set()
    for name, lines in streams().items():
        payments = folded([reading(line) for line in lines])
        ended = views(payments)
        charges = {
            register.winner.object_id: register.winner
            for facts in payments.values()
            for register in registers(facts.values()).values()
            if register.winner.kind == "charge"
        }
        for object_id, last in last_states(lines).items():
            seen.add((last["object"], last["status"]))
            if last["object"] == "payment_intent":
                assert intent_state(ended[object_id]) == intent_in_words(last), f"{name} {object_id}"
            else:
                assert charge_state(charges[object_id]) == charge_in_words(last), f"{name} {object_id}"
    assert seen == {
        ("payment_intent", "succeeded"),
        ("payment_intent", "requires_payment_method"),
        ("charge", "succeeded"),
        ("charge", "failed"),
    }


def intent_state(view: PaymentView) -> tuple[object, ...]:
    return view.status, view.amount_minor, view.captured_minor, view.currency, view.customer_id, view.certainty


def intent_in_words(last: dict[str, Any]) -> tuple[object, ...]:
    status = "captured" if last["status"] == "succeeded" else "failed"
    assert (last["last_payment_error"] is not None) == (status == "failed")
    return status, last["amount"], last["amount_received"], last["currency"].upper(), last["customer"], "certain"


def charge_state(winner: Fact) -> tuple[object, ...]:
    return winner.status, winner.amount_minor, winner.captured_minor, winner.refunded_minor, winner.payment_id


def charge_in_words(last: dict[str, Any]) -> tuple[object, ...]:
    status = {("succeeded", True): "captured", ("failed", False): "failed"}[last["status"], last["captured"]]
    return status, last["amount"], last["amount_captured"], last["amount_refunded"], last["payment_intent"]


@pytest.mark.parametrize("seconds_before", [86_400, 0, -86_400])
def test_the_recorded_refund_that_fails_after_success_is_failed(seconds_before: int) -> None:
    (path,) = recorded("events-zulip-webhook/refund_event.json")
    failed = json.loads(path.read_bytes())
    body = {**failed["data"]["object"], **failed["data"]["previous_attributes"]}
    assert (body["status"], body["failure_reason"]) == ("succeeded", None)
    succeeded = event("refund.created", body, created=failed["created"] - seconds_before, id="evt_zzz")
    both = [reading(json.dumps(failed).encode()), reading(succeeded)]
    for order in itertools.permutations([*both, *both]):
        (ended,) = views(decided(order)).values()
        assert [(each.status, each.amount_minor) for each in ended.refunds] == [("failed", body["amount"])]
        assert ended.refunded_minor == 0
    (before,) = views(folded([both[1]])).values()
    assert before.refunded_minor == body["amount"]


@pytest.mark.parametrize(
    ("kind", "earlier", "later", "status"),
    [
        ("refund", refund("pending"), refund(), "succeeded"),
        ("refund", refund("requires_action"), refund("pending"), "pending"),
        ("payout", payout("pending"), payout("in_transit"), "in_transit"),
        ("charge.dispute", dispute(), dispute("under_review"), "under_review"),
    ],
)
def test_steps_within_one_second_are_taken_in_their_usual_order(
    kind: str, earlier: Body, later: Body, status: str
) -> None:
    # The earlier step has the greater event id, so that it is not the id that decides.
    steps = [event(f"{kind}.updated", earlier, id="evt_9"), event(f"{kind}.updated", later, id="evt_1")]
    for order in itertools.permutations([reading(each) for each in steps]):
        (facts,) = decided(order).values()
        (register,) = registers(facts.values()).values()
        assert (register.winner.status, register.conflicting) == (status, False)


def test_a_dispute_that_was_won_and_is_reviewed_again_later_is_under_review() -> None:
    steps = [
        event("charge.dispute.closed", dispute("won"), id="evt_9"),
        event("charge.dispute.updated", dispute("under_review"), id="evt_1", created=CREATED + 60),
    ]
    for order in itertools.permutations([reading(each) for each in steps]):
        assert [each.status for each in views(decided(order))["pi_1"].disputes] == ["under_review"]


def test_a_payment_that_needs_the_customer_and_then_waits_is_processing_within_one_second() -> None:
    readings = [
        reading(event("payment_intent.created", intent("requires_payment_method"), id="evt_9")),
        reading(event("payment_intent.requires_action", intent("requires_action"), id="evt_8")),
        reading(event("payment_intent.processing", intent("processing"), id="evt_7")),
    ]
    assert {views(decided(order))["pi_1"].status for order in itertools.permutations(readings)} == {"processing"}


def test_what_came_under_a_charge_joins_its_payment_whatever_comes_first() -> None:
    readings = [
        reading(event("refund.created", refund(payment_intent=None), id="evt_1", created=CREATED + 9)),
        reading(event("charge.dispute.created", dispute(payment_intent=None), id="evt_2", created=CREATED + 8)),
        reading(event("charge.succeeded", charge(), id="evt_3")),
        reading(event("payment_intent.succeeded", intent(latest_charge="ch_1"), id="evt_4")),
    ]
    ended = [views(decided(order)) for order in itertools.permutations(readings)]
    assert all(each == ended[0] for each in ended)
    assert ended[0].keys() == {"pi_1"}
    view = ended[0]["pi_1"]
    assert (view.status, view.refunded_minor, view.certainty) == ("captured", 1900, "certain")
    assert [each.status for each in view.disputes] == ["open"]


def test_the_two_recorded_events_of_one_dispute_end_lost_in_either_order() -> None:
    names = ("created", "closed")
    paths = [path for each in names for path in recorded(f"events-zulip-webhook/charge_dispute_{each}_with_pi.json")]
    readings = [reading(path.read_bytes()) for path in paths]
    for order in (readings, readings[::-1]):
        (view,) = views(decided(order)).values()
        assert [(each.status, each.amount_minor) for each in view.disputes] == [("lost", 2200)]
        assert view.certainty == "incomplete"
