"""The fold, rule by rule. Each example ends the same in whatever order it is told."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from domain.fact import Fact
from domain.lifecycle import lifecycle
from domain.payment import PaymentView, fold, register
from tests.domain.examples import PAYMENT, fact


def folded(*facts: Fact) -> PaymentView:
    """The payment that the facts add up to, in every order (of the first few)."""
    views = [fold(PAYMENT, order) for order, _ in zip(permutations(facts), range(24), strict=False)]
    assert all(each == views[0] for each in views)
    return views[0]


def winner(*facts: Fact) -> str:
    """The id of the fact that an object's state rests on."""
    winners = {register(order).winner.fact_id for order in permutations(facts)}
    assert len(winners) == 1
    return winners.pop()


def is_conflicting(*facts: Fact) -> bool:
    outcomes = {register(order).conflicting for order in permutations(facts)}
    assert len(outcomes) == 1
    return outcomes.pop()


# Which fact wins.


def test_a_payment_that_succeeded_before_it_was_created_is_captured() -> None:
    """As recorded: `payment_intent.created` bears a later second than its `succeeded`."""
    created = fact("e1", "intent", "pending", 5)
    succeeded = fact("e2", "intent", "captured", 3)

    assert winner(created, succeeded) == "e2"
    assert folded(created, succeeded).status == "captured"
    assert folded(created, succeeded).certainty == "certain"


@pytest.mark.parametrize(
    ("object_key", "final", "other"),
    [
        ("intent", "canceled", "processing"),
        ("intent", "captured", "failed"),
        ("charge:ch_1", "failed", "authorized"),
        ("refund:re_1", "failed", "succeeded"),
        ("dispute:dp_1", "lost", "won"),
        ("payout:po_1", "failed", "paid"),
    ],
)
def test_a_status_without_a_way_out_stands_above_any_clock(object_key: str, final: str, other: str) -> None:
    assert winner(fact("e1", object_key, final, 1), fact("e2", object_key, other, 900)) == "e1"


def test_a_status_that_nothing_leads_to_gives_way_to_any_other() -> None:
    assert winner(fact("e1", "intent", "pending", 900), fact("e2", "intent", "requires_action", 1)) == "e2"


def test_among_the_others_the_later_clock_wins_whatever_their_rank() -> None:
    """A hold that is being captured goes back to processing."""
    assert winner(fact("e1", "intent", "authorized", 1), fact("e2", "intent", "processing", 2)) == "e2"


@pytest.mark.parametrize(
    ("object_key", "earlier", "later"),
    [
        ("intent", "requires_action", "authorized"),
        ("intent", "processing", "authorized"),
        ("intent", "failed", "authorized"),
        ("charge:ch_1", "pending", "authorized"),
        ("refund:re_1", "pending", "succeeded"),
        ("refund:re_1", "requires_action", "pending"),
        ("dispute:dp_1", "inquiry", "open"),
        ("dispute:dp_1", "open", "under_review"),
        ("payout:po_1", "in_transit", "paid"),
    ],
)
def test_inside_one_second_the_usual_course_decides(object_key: str, earlier: str, later: str) -> None:
    assert winner(fact("e9", object_key, earlier, 7), fact("e1", object_key, later, 7)) == "e1"


def test_snapshots_of_a_charge_in_one_second_are_ordered_by_what_was_returned() -> None:
    snapshots = [
        fact("e3", "charge:ch_1", "captured", 7, captured_minor=4900),
        fact("e2", "charge:ch_1", "captured", 7, captured_minor=4900, refunded_minor=500),
        fact("e1", "charge:ch_1", "captured", 7, captured_minor=4900, refunded_minor=1900),
    ]

    assert winner(*snapshots) == "e1"


def test_snapshots_of_a_charge_in_one_second_are_ordered_by_what_was_captured() -> None:
    first = fact("e2", "charge:ch_1", "captured", 7, captured_minor=100)

    assert winner(first, fact("e1", "charge:ch_1", "captured", 7, captured_minor=4900)) == "e1"


def test_the_id_decides_between_facts_that_nothing_else_tells_apart() -> None:
    assert winner(fact("e1", "intent", "failed", 7), fact("e2", "intent", "failed", 7)) == "e2"


def test_a_providers_sequence_stands_above_legality_and_clocks() -> None:
    booked = fact("e1", "intent", "captured", 9, sequence=2)
    reversed_ = fact("e2", "intent", "failed", 1, sequence=3)

    assert winner(booked, reversed_) == "e2"


@pytest.mark.parametrize(("one", "other"), [("captured", "canceled"), ("failed", "requires_action")])
def test_a_providers_sequence_leaves_nothing_undecided(one: str, other: str) -> None:
    assert not is_conflicting(fact("e1", "intent", one, 7, sequence=2), fact("e2", "intent", other, 7, sequence=3))


def test_without_a_table_time_alone_orders() -> None:
    first = fact("e1", "intent", "captured", 1, provider="otherpay")
    second = fact("e2", "intent", "pending", 2, provider="otherpay")

    assert winner(first, second) == "e2"


def test_a_table_may_not_lead_to_a_status_that_it_does_not_have() -> None:
    with pytest.raises(AssertionError, match="without a row"):
        lifecycle({"pending": "captured"})


# What a reading of the provider outweighs.


def test_a_reading_outweighs_whatever_occurred_before_it() -> None:
    captured = fact("e1", "intent", "captured", 5)
    reading = fact("e2", "intent", "processing", 10, source="pull")

    assert winner(captured, reading) == "e2"
    assert not is_conflicting(captured, fact("e3", "intent", "canceled", 5), reading)


def test_a_reading_outweighs_what_occurred_in_its_own_second() -> None:
    assert winner(fact("e9", "intent", "captured", 10), fact("e1", "intent", "failed", 10, source="pull")) == "e1"


def test_what_occurred_after_a_reading_counts_again() -> None:
    reading = fact("e1", "intent", "processing", 10, source="pull")

    assert winner(fact("e0", "intent", "canceled", 9), reading, fact("e2", "intent", "captured", 11)) == "e2"


def test_the_latest_reading_has_the_authority() -> None:
    readings = [
        fact("e1", "intent", "captured", 10, source="pull"),
        fact("e2", "intent", "processing", 20, source="pull"),
        fact("e3", "intent", "failed", 15),
    ]

    assert winner(*readings) == "e2"


@pytest.mark.parametrize("ids", [("e1", "e2"), ("e2", "e1")])
def test_of_two_readings_in_one_second_legality_says_which_came_last(ids: tuple[str, str]) -> None:
    """A payment that is read, canceled and read again within a second is canceled, whatever the facts' ids."""
    readings = [
        fact(ids[0], "intent", "captured", 10, source="pull"),
        fact(ids[1], "intent", "processing", 10, source="pull"),
    ]

    assert winner(*readings) == ids[0]


# When the facts contradict each other.


def test_two_statuses_without_a_way_out_are_a_conflict() -> None:
    captured = fact("e1", "intent", "captured", 1)
    canceled = fact("e2", "intent", "canceled", 900)

    assert is_conflicting(captured, canceled)
    assert folded(captured, canceled).certainty == "conflicting"


@pytest.mark.parametrize(
    ("object_key", "one", "other"),
    [("intent", "failed", "requires_action"), ("intent", "processing", "failed"), ("dispute:dp_1", "won", "open")],
)
def test_two_statuses_of_one_second_that_may_each_follow_the_other_are_a_conflict(
    object_key: str, one: str, other: str
) -> None:
    assert is_conflicting(fact("e1", object_key, one, 7), fact("e2", object_key, other, 7))
    assert not is_conflicting(fact("e1", object_key, one, 7), fact("e2", object_key, other, 8))


@pytest.mark.parametrize(
    ("object_key", "earlier", "later"),
    [
        ("intent", "requires_action", "authorized"),
        ("dispute:dp_1", "open", "under_review"),
        ("refund:re_1", "succeeded", "failed"),
    ],
)
def test_a_second_in_which_one_order_only_is_legal_is_no_conflict(object_key: str, earlier: str, later: str) -> None:
    assert not is_conflicting(fact("e1", object_key, earlier, 7), fact("e2", object_key, later, 7))


def test_a_conflict_that_something_later_settled_is_none() -> None:
    tie = [fact("e1", "intent", "failed", 7), fact("e2", "intent", "requires_action", 7)]

    assert not is_conflicting(*tie, fact("e3", "intent", "captured", 9))


def test_the_same_status_twice_is_no_conflict() -> None:
    assert not is_conflicting(fact("e1", "intent", "captured", 7), fact("e2", "intent", "captured", 7))


def test_a_canceled_payment_whose_charge_took_the_money_is_a_conflict() -> None:
    payment = folded(fact("e1", "intent", "canceled", 1), fact("e2", "charge:ch_1", "captured", 2, captured_minor=4900))

    assert payment.certainty == "conflicting"


# The payment around its objects.


def test_a_charge_that_took_the_money_outruns_its_intent() -> None:
    payment = folded(
        fact("e1", "intent", "processing", 1, amount_minor=4900),
        fact("e2", "charge:ch_1", "captured", 2, amount_minor=4900, captured_minor=4900, authorized_minor=4900),
    )

    assert (payment.status, payment.captured_minor, payment.authorized_minor) == ("captured", 4900, 4900)


def test_an_intent_that_knows_more_than_its_charge_decides() -> None:
    payment = folded(fact("e1", "intent", "captured", 2, captured_minor=4900), fact("e2", "charge:ch_1", "pending", 1))

    assert (payment.status, payment.captured_minor) == ("captured", 4900)


def test_a_payment_whose_last_attempt_holds_the_money_is_authorized() -> None:
    """The first card was declined. The intent has heard of that, or of nothing yet."""
    attempts = [
        fact("e1", "charge:ch_1", "failed", 1, amount_minor=4900, reason="card_declined"),
        fact("e2", "charge:ch_2", "authorized", 5, amount_minor=4900, authorized_minor=4900),
    ]

    assert folded(*attempts).status == "authorized"
    assert folded(*attempts).reason == ""
    assert folded(*attempts, fact("e3", "intent", "failed", 2, amount_minor=4900)).status == "authorized"


def test_a_hold_stays_although_a_later_attempt_failed() -> None:
    attempts = [
        fact("e1", "charge:ch_1", "authorized", 1, authorized_minor=4900),
        fact("e2", "charge:ch_2", "failed", 5, reason="card_declined"),
    ]

    assert folded(*attempts).status == "authorized"


def test_a_payment_whose_last_attempt_is_pending_is_processing() -> None:
    attempts = [fact("e1", "charge:ch_1", "failed", 1), fact("e2", "charge:ch_2", "pending", 5)]

    assert folded(*attempts).status == "processing"


@pytest.mark.parametrize(
    ("charge", "status"),
    [("pending", "processing"), ("failed", "failed"), ("canceled", "canceled"), ("captured", "captured")],
)
def test_without_an_intent_the_charge_speaks_for_the_payment(charge: str, status: str) -> None:
    payment = folded(fact("e1", "charge:ch_1", charge, 1, amount_minor=4900))

    assert (payment.status, payment.amount_minor, payment.currency) == (status, 4900, "EUR")


def test_declined_attempts_are_not_counted_as_money() -> None:
    payment = folded(
        fact("e1", "intent", "captured", 5, amount_minor=4900),
        fact("e2", "charge:ch_1", "failed", 1, captured_minor=0, authorized_minor=4900),
        fact("e3", "charge:ch_2", "captured", 5, captured_minor=4900, authorized_minor=4900),
    )

    assert (payment.captured_minor, payment.authorized_minor) == (4900, 4900)


def test_a_canceled_payment_holds_nothing() -> None:
    payment = folded(
        fact("e1", "intent", "canceled", 5, amount_minor=4900, authorized_minor=4900),
        fact("e2", "charge:ch_1", "authorized", 1, authorized_minor=4900),
    )

    assert (payment.status, payment.authorized_minor, payment.certainty) == ("canceled", 0, "certain")


def test_a_refund_that_fails_after_success_is_failed() -> None:
    payment = folded(
        fact("e1", "intent", "captured", 1, amount_minor=4900, captured_minor=4900),
        fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900),
        fact("e3", "refund:re_1", "failed", 90_000, amount_minor=1900, reason="expired_or_canceled_card"),
    )

    assert payment.refunded_minor == 0
    assert [(each.id, each.status, each.reason) for each in payment.refunds] == [
        ("re_1", "failed", "expired_or_canceled_card")
    ]


def test_only_refunds_that_succeeded_are_counted() -> None:
    payment = folded(
        fact("e1", "refund:re_1", "succeeded", 1, amount_minor=1000),
        fact("e2", "refund:re_2", "succeeded", 1, amount_minor=200),
        fact("e3", "refund:re_3", "pending", 1, amount_minor=30),
        fact("e4", "refund:re_4", "failed", 1, amount_minor=4),
    )

    assert payment.refunded_minor == 1200


def test_a_dispute_stands_beside_the_payment() -> None:
    payment = folded(
        fact("e1", "intent", "captured", 1, amount_minor=4900),
        fact("e2", "dispute:dp_1", "open", 100, amount_minor=4900, reason="fraudulent"),
        fact("e3", "dispute:dp_1", "lost", 200, amount_minor=4900, reason="fraudulent"),
    )

    assert payment.status == "captured"
    assert [(each.id, each.status, each.amount_minor, each.reason) for each in payment.disputes] == [
        ("dp_1", "lost", 4900, "fraudulent")
    ]


@pytest.mark.parametrize(
    ("payout", "status"), [("in_transit", "processing"), ("paid", "captured"), ("failed", "failed")]
)
def test_a_payout_is_a_payment_of_its_own(payout: str, status: str) -> None:
    payment = folded(fact("e1", "payout:po_1", payout, 1, amount_minor=900))

    assert (payment.status, payment.amount_minor) == (status, 900)
    assert [each.id for each in payment.payouts] == ["po_1"]


@pytest.mark.parametrize("part", ["refund:re_1", "dispute:dp_1"])
def test_money_that_comes_back_was_taken(part: str) -> None:
    """A refund or a dispute that came before everything else."""
    payment = folded(fact("e1", part, "open", 1, amount_minor=900))

    assert (payment.status, payment.amount_minor, payment.currency) == ("captured", 0, "EUR")


def test_what_a_fact_refers_to_and_is_not_there_makes_the_payment_incomplete() -> None:
    refund = fact("e1", "refund:re_1", "succeeded", 9, amount_minor=900, refers_to=("charge:ch_1",))
    charge = fact("e2", "charge:ch_1", "captured", 1, amount_minor=4900, captured_minor=4900)

    assert folded(refund).certainty == "incomplete"
    assert folded(refund, charge).certainty == "certain"


@pytest.mark.parametrize(("refunds", "certainty"), [([], "incomplete"), ([400], "incomplete"), ([400, 500], "certain")])
def test_a_charge_that_returned_more_than_its_refunds_say_is_incomplete(refunds: Sequence[int], certainty: str) -> None:
    payment = folded(
        fact("e0", "charge:ch_1", "captured", 1, captured_minor=4900, refunded_minor=900),
        *(
            fact(f"e{number}", f"refund:re_{number}", "succeeded", 9, amount_minor=amount)
            for number, amount in enumerate(refunds, start=1)
        ),
    )

    assert payment.certainty == certainty


def test_the_customer_is_the_one_that_was_named_last() -> None:
    payment = folded(
        fact("e1", "intent", "pending", 1, customer_id="cus_1"),
        fact("e2", "intent", "captured", 2, customer_id="cus_2"),
        fact("e3", "charge:ch_1", "captured", 3),
    )

    assert payment.customer_id == "cus_2"
