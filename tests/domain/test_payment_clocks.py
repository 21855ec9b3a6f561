"""A payment as of a time in the world, as known at a position of the log."""

import pytest

from domain.payment import view
from tests.domain.examples import PAYMENT, at, fact, recorded

STORY = recorded(
    fact("e1", "intent", "captured", 10, amount_minor=4900),
    fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900),
    fact("e3", "intent", "pending", 0, amount_minor=4900),
    fact("e4", "refund:re_1", "failed", 200, amount_minor=1900),
)


def test_before_the_first_fact_there_is_no_payment() -> None:
    assert view(PAYMENT, STORY, as_of=at(-1)) is None
    assert view(PAYMENT, STORY, known_at=0) is None
    assert view(PAYMENT, []) is None


@pytest.mark.parametrize(
    ("seconds", "status", "refunds", "facts", "position"),
    [
        (0, "pending", [], 1, 3),
        (9.9, "pending", [], 1, 3),
        (10, "captured", [], 2, 3),
        (100, "captured", ["succeeded"], 3, 3),
        (200, "captured", ["failed"], 4, 4),
    ],
)
def test_as_of_a_time_only_what_had_occurred_counts(
    seconds: float, status: str, refunds: list[str], facts: int, position: int
) -> None:
    payment = view(PAYMENT, STORY, as_of=at(seconds))

    assert payment is not None
    assert (payment.status, [each.status for each in payment.refunds]) == (status, refunds)
    assert (payment.facts, payment.position) == (facts, position)


@pytest.mark.parametrize(
    ("known_at", "status", "refunds"),
    [(1, "captured", []), (2, "captured", ["succeeded"]), (3, "captured", ["succeeded"]), (4, "captured", ["failed"])],
)
def test_known_at_a_position_only_what_had_been_recorded_counts(known_at: int, status: str, refunds: list[str]) -> None:
    payment = view(PAYMENT, STORY, known_at=known_at)

    assert payment is not None
    assert (payment.status, [each.status for each in payment.refunds]) == (status, refunds)
    assert (payment.facts, payment.position) == (known_at, known_at)


def test_both_clocks_cut_together() -> None:
    """As of second 200, as known before the failure was recorded."""
    payment = view(PAYMENT, STORY, as_of=at(200), known_at=3)

    assert payment is not None
    assert payment.refunded_minor == 1900
