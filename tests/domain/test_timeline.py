"""What each fact did to its object at the moment when it was learnt."""

from domain.fact import Fact
from domain.timeline import TimelineEntry, timeline
from tests.domain.examples import at, fact, recorded


def effects(*facts: Fact) -> list[str]:
    return [entry.effect for entry in timeline(recorded(*facts))]


def test_facts_in_the_order_in_which_they_occurred_are_applied() -> None:
    assert effects(
        fact("e1", "intent", "pending", 1),
        fact("e2", "intent", "processing", 2),
        fact("e3", "charge:ch_1", "captured", 3),
        fact("e4", "intent", "captured", 3),
    ) == ["applied", "applied", "applied", "applied"]


def test_a_fact_that_says_what_an_earlier_one_said_is_a_duplicate() -> None:
    """Two events of the provider, one and the same assertion."""
    assert effects(fact("e1", "intent", "captured", 1), fact("e2", "intent", "captured", 1)) == ["applied", "duplicate"]


def test_the_same_status_at_another_time_or_with_another_amount_is_no_duplicate() -> None:
    assert effects(
        fact("e1", "charge:ch_1", "captured", 1, captured_minor=4900),
        fact("e2", "charge:ch_1", "captured", 2, captured_minor=4900),
        fact("e3", "charge:ch_1", "captured", 2, captured_minor=4900, refunded_minor=500),
    ) == ["applied", "applied", "applied"]


def test_a_fact_that_its_object_has_moved_past_is_superseded() -> None:
    assert effects(fact("e1", "intent", "captured", 2), fact("e2", "intent", "processing", 1)) == [
        "applied",
        "superseded",
    ]


def test_a_late_fact_changed_its_object_although_something_known_occurred_after_it() -> None:
    assert effects(
        fact("e1", "intent", "captured", 1),
        fact("e2", "dispute:dp_1", "open", 500),
        fact("e3", "refund:re_1", "succeeded", 100),
    ) == ["applied", "applied", "late"]


def test_a_payment_that_succeeded_before_it_was_created_is_late_not_superseded() -> None:
    assert effects(fact("e1", "intent", "pending", 5), fact("e2", "intent", "captured", 3)) == ["applied", "late"]


def test_a_fact_that_leaves_its_object_undecided_is_conflicting() -> None:
    assert effects(fact("e1", "intent", "captured", 1), fact("e2", "intent", "canceled", 2)) == [
        "applied",
        "conflicting",
    ]


def test_a_reading_that_settles_a_conflict_is_applied() -> None:
    assert effects(
        fact("e1", "intent", "captured", 1),
        fact("e2", "intent", "canceled", 2),
        fact("e3", "intent", "captured", 9, source="pull"),
    ) == ["applied", "conflicting", "applied"]


def test_a_conflict_is_told_once() -> None:
    """A third fact that changes nothing about the conflict is not blamed for it."""
    assert effects(
        fact("e1", "intent", "captured", 1),
        fact("e2", "intent", "canceled", 2),
        fact("e3", "intent", "processing", 3),
    ) == ["applied", "conflicting", "superseded"]


def test_an_entry_bears_both_clocks_and_what_ties_it_to_its_message() -> None:
    [known] = recorded(fact("e1", "refund:re_1", "succeeded", 1, amount_minor=1900), first=7)
    [entry] = timeline([known])

    assert (entry.occurred_at, entry.recorded_at, entry.position) == (at(1), at(420), 7)
    assert (entry.fact_id, entry.object, entry.status, entry.amount_minor) == ("e1", "refund:re_1", "succeeded", 1900)
    assert (entry.source, entry.correlation_id) == ("webhook", known.correlation_id)


def changed(entry: TimelineEntry) -> dict[str, tuple[object, object]]:
    return {each.field: (each.before, each.after) for each in entry.changed}


def test_each_fact_tells_field_by_field_what_it_changed() -> None:
    first, captured, pending, refunded, failed = timeline(
        recorded(
            fact("e1", "intent", "processing", 1, amount_minor=4900, customer_id="cus_1"),
            fact("e2", "charge:ch_1", "captured", 2, amount_minor=4900, captured_minor=4900),
            fact("e3", "refund:re_1", "pending", 3, amount_minor=1900),
            fact("e4", "refund:re_1", "succeeded", 4, amount_minor=1900),
            fact("e5", "refund:re_1", "failed", 5, amount_minor=1900, reason="lost_or_stolen_card"),
        )
    )

    assert changed(first) == {
        "status": (None, "processing"),
        "certainty": (None, "certain"),
        "customer_id": (None, "cus_1"),
        "currency": (None, "EUR"),
        "amount_minor": (None, 4900),
    }
    assert changed(captured) == {
        "status": ("processing", "captured"),
        "authorized_minor": (0, 4900),
        "captured_minor": (0, 4900),
    }
    assert changed(pending) == {"refunds.re_1.status": (None, "pending"), "refunds.re_1.amount_minor": (None, 1900)}
    assert changed(refunded) == {"refunded_minor": (0, 1900), "refunds.re_1.status": ("pending", "succeeded")}
    assert changed(failed) == {
        "refunded_minor": (1900, 0),
        "refunds.re_1.status": ("succeeded", "failed"),
        "refunds.re_1.reason": ("", "lost_or_stolen_card"),
    }


def test_a_fact_that_says_nothing_new_changed_nothing() -> None:
    facts = recorded(
        fact("e1", "intent", "captured", 2, amount_minor=4900),
        fact("e2", "intent", "processing", 1, amount_minor=4900),
        fact("e3", "intent", "captured", 2, amount_minor=4900),
    )

    assert [(entry.effect, entry.changed) for entry in timeline(facts)[1:]] == [("superseded", ()), ("duplicate", ())]


def test_a_conflict_shows_as_a_change_of_certainty() -> None:
    _, conflict = timeline(recorded(fact("e1", "intent", "captured", 1), fact("e2", "intent", "canceled", 1)))

    assert changed(conflict)["certainty"] == ("certain", "conflicting")


def test_what_a_link_brought_changed_the_payment_when_the_link_came() -> None:
    """The refund came first, and that it belongs to this payment was known only after the intent had come."""
    facts = recorded(
        fact("e1", "refund:re_1", "succeeded", 5, payment_id="ch_1", amount_minor=1900),
        fact("e2", "intent", "captured", 1, amount_minor=4900),
    )

    refunded, paid = timeline(facts, {"e1": 3})

    assert (refunded.position, refunded.joined_position, paid.joined_position) == (1, 3, 2)
    assert changed(paid)["status"] == (None, "captured")
    assert changed(refunded) == {
        "refunded_minor": (0, 1900),
        "refunds.re_1.status": (None, "succeeded"),
        "refunds.re_1.amount_minor": (None, 1900),
    }


def test_no_facts_no_entries() -> None:
    assert timeline([]) == []
