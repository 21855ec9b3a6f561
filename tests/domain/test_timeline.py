"""What each fact did to its object at the moment when it was learnt."""

from domain.fact import Fact
from domain.timeline import timeline
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


def test_no_facts_no_entries() -> None:
    assert timeline([]) == []
