"""What is recorded of a payment, and what is awaited."""

from datetime import datetime

import msgspec
import pytest

from domain.effects import EffectRequested
from domain.payment_saga import (
    DeadlinePassed,
    FactRecorded,
    LinkPayment,
    PassDeadline,
    PaymentDecider,
    PaymentLinked,
    PaymentSettled,
    PaymentStarted,
    RecordFact,
    StartPayment,
)
from tests.domain.examples import at, fact
from tests.domain.sagas import effect
from tests.spec import given

DECIDER = PaymentDecider()
CAPTURED = fact("stripe:evt_1", "intent", "captured", 1, amount_minor=4900, raw="INGEST/7")
START = StartPayment(payment_id="pi_1", amount_minor=4900, currency="EUR", deadline_at=at(600), customer_id="cus_1")
STARTED = PaymentStarted(payment_id="pi_1", amount_minor=4900, currency="EUR", deadline_at=at(600), customer_id="cus_1")


def test_a_fact_is_recorded() -> None:
    given(DECIDER).when(RecordFact(fact=CAPTURED)).then(FactRecorded(fact=CAPTURED))


def test_the_same_fact_again_changes_nothing() -> None:
    given(DECIDER, FactRecorded(fact=CAPTURED)).when(RecordFact(fact=CAPTURED)).then_nothing()


def test_the_same_fact_by_another_way_changes_nothing() -> None:
    """A redelivery lies elsewhere in the stream, and an export may say what a webhook said."""
    again = msgspec.structs.replace(CAPTURED, raw="INGEST/8", source="export")

    given(DECIDER, FactRecorded(fact=CAPTURED)).when(RecordFact(fact=again)).then_nothing()


def test_a_second_fact_about_the_same_object_is_recorded() -> None:
    other = fact("stripe:evt_2", "intent", "captured", 1, amount_minor=4900)

    given(DECIDER, FactRecorded(fact=CAPTURED)).when(RecordFact(fact=other)).then(FactRecorded(fact=other))


@pytest.mark.parametrize(
    "change",
    [
        {"status": "canceled"},
        {"object": "charge:ch_1"},
        {"occurred_at": at(2)},
        {"amount_minor": 4901},
        {"captured_minor": 1},
        {"authorized_minor": 1},
        {"refunded_minor": 1},
        {"currency": "USD"},
        {"customer_id": "cus_2"},
        {"provider": "paypal"},
        {"sequence": 1},
        {"reason": "fraudulent"},
    ],
)
def test_an_id_that_comes_back_with_another_content_is_refused(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(CAPTURED, **change)

    given(DECIDER, FactRecorded(fact=CAPTURED)).when(RecordFact(fact=changed)).then_rejected("fact.id_reused")


def test_a_reference_is_linked_to_its_payment_once() -> None:
    link = LinkPayment(payment_id="pi_1")

    given(DECIDER).when(link).then(PaymentLinked(payment_id="pi_1")).when(link).then_nothing()


def test_a_reference_that_was_linked_stays_with_its_payment() -> None:
    given(DECIDER, PaymentLinked(payment_id="pi_1")).when(LinkPayment(payment_id="pi_2")).then_rejected(
        "payment.linked_elsewhere"
    )


def test_facts_are_recorded_before_and_after_the_link() -> None:
    given(DECIDER, PaymentLinked(payment_id="pi_1")).when(RecordFact(fact=CAPTURED)).then(FactRecorded(fact=CAPTURED))


def test_a_payment_is_started_once() -> None:
    given(DECIDER).when(START).then(STARTED).when(START).then_nothing()


def test_a_payment_may_be_started_after_its_first_fact_came() -> None:
    given(DECIDER, FactRecorded(fact=CAPTURED)).when(START).then(STARTED, PaymentSettled(result="confirmed"))


def test_a_payment_is_not_started_again_on_other_terms() -> None:
    other = msgspec.structs.replace(START, amount_minor=5000)

    given(DECIDER, STARTED).when(other).then_rejected("payment.started_differently")


@pytest.mark.parametrize("amount_minor", [0, -1])
def test_a_payment_needs_an_amount(amount_minor: int) -> None:
    nothing = msgspec.structs.replace(START, amount_minor=amount_minor)

    given(DECIDER).when(nothing).then_rejected("payment.amount_not_positive")


@pytest.mark.parametrize("now", [at(600), at(601)])
def test_the_deadline_passes_once_when_its_time_has_come(now: datetime) -> None:
    passed = DeadlinePassed(deadline_at=at(600))
    pulled = EffectRequested(effect=effect("pull-1", now, provider="", reason="deadline"))

    after = given(DECIDER, STARTED).when(PassDeadline(), at=now).then(passed, pulled)
    after.when(PassDeadline(), at=now).then_nothing()


def test_no_deadline_passes_before_its_time() -> None:
    given(DECIDER, STARTED).when(PassDeadline(), at=at(599.999999)).then_nothing()


def test_nothing_is_awaited_of_a_payment_that_nobody_started() -> None:
    given(DECIDER, FactRecorded(fact=CAPTURED)).when(PassDeadline(), at=at(9999)).then_nothing()


def test_deciding_leaves_the_state_as_it_was() -> None:
    history = given(DECIDER, STARTED, FactRecorded(fact=CAPTURED))
    before = msgspec.msgpack.encode(history.state)
    history.when(RecordFact(fact=fact("stripe:evt_2", "intent", "canceled", 2)))

    assert msgspec.msgpack.encode(history.state) == before
