"""How each status is put into words, and which fact is cited for it."""

import pytest

from domain.evidence import PaymentEvidence
from gateway.answering.statements import (
    Statement,
    caveat,
    checking,
    no_dispute,
    no_refund,
    of_disputes,
    of_payouts,
    of_refunds,
    of_status,
)
from tests.domain.examples import fact
from tests.gateway.answering.examples import DAY_S, dispute, intent, known_as, payout, refund

CAPTURED = intent("pi_1", "captured")
NOT_RETURNED = "the money has not been returned to the customer."


def cited(statement: Statement) -> list[str]:
    return [each.fact_id for each in statement.facts]


def with_refund(status: str, reason: str = "") -> PaymentEvidence:
    return known_as("pi_1", CAPTURED, refund("pi_1", "re_1", status, 3, reason=reason))


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("pending", "", "has been requested and is not finished."),
        ("requires_action", "", "is waiting since 4 March 2026 for an action that it requires of the customer."),
        ("failed", "expired_or_canceled_card", f"failed on 4 March 2026 (expired or canceled card); {NOT_RETURNED}"),
        ("failed", "lost_or_stolen_card", f"failed on 4 March 2026 (lost or stolen card); {NOT_RETURNED}"),
        ("failed", "R99", f"failed on 4 March 2026 (R99); {NOT_RETURNED}"),
        ("failed", "Call Mr Smith on 555-0100", f"failed on 4 March 2026; {NOT_RETURNED}"),
        ("failed", "", f"failed on 4 March 2026; {NOT_RETURNED}"),
        ("canceled", "", f"was canceled on 4 March 2026; {NOT_RETURNED}"),
        ("of_tomorrow", "", "is reported as of_tomorrow since 4 March 2026."),
    ],
)
def test_a_refund_is_told_as_it_stands(status: str, reason: str, expected: str) -> None:
    (statement,) = of_refunds(with_refund(status, reason))

    assert statement.text == f"The refund re_1 of 19.00 EUR for payment pi_1 {expected}"
    assert cited(statement) == [f"stripe:evt_re_1_{status}"]
    assert statement.about == ("pi_1",)


def test_a_refund_that_succeeded_is_told_with_its_day() -> None:
    (statement,) = of_refunds(with_refund("succeeded"))

    assert statement.text == "19.00 EUR of payment pi_1 was refunded on 4 March 2026 (refund re_1)."
    assert cited(statement) == ["stripe:evt_re_1_succeeded"]


def test_a_refund_that_failed_does_not_deny_another_that_succeeded() -> None:
    evidence = known_as("pi_1", CAPTURED, refund("pi_1", "re_2", "succeeded", 5), refund("pi_1", "re_1", "failed", 3))

    failed, succeeded = of_refunds(evidence)

    assert failed.text.endswith("; the money of this refund has not been returned to the customer.")
    assert succeeded.text == "19.00 EUR of payment pi_1 was refunded on 6 March 2026 (refund re_2)."


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("pending", "", "is pending since 1 March 2026: it has not been paid."),
        (
            "requires_action",
            "",
            "is waiting since 1 March 2026 for an action that it requires of the customer; no money was taken.",
        ),
        ("processing", "", "is processing since 1 March 2026: its outcome is not known yet."),
        ("authorized", "", "is authorized since 1 March 2026: the money is reserved and has not been taken."),
        ("captured", "", "was captured on 1 March 2026."),
        ("failed", "insufficient_funds", "failed on 1 March 2026 (insufficient funds); no money was taken."),
        ("failed", "code_of_tomorrow", "failed on 1 March 2026 (code_of_tomorrow); no money was taken."),
        ("failed", "", "failed on 1 March 2026; no money was taken."),
        ("canceled", "abandoned", "was canceled on 1 March 2026 (abandoned)."),
    ],
)
def test_a_payment_is_told_as_it_stands(status: str, reason: str, expected: str) -> None:
    statement = of_status(known_as("pi_1", intent("pi_1", status, reason=reason)))

    assert statement.text == f"Payment pi_1 of 49.00 EUR {expected}"
    assert cited(statement) == [f"stripe:evt_pi_1_{status}"]


def test_a_capture_of_a_part_is_told_with_both_amounts() -> None:
    statement = of_status(known_as("pi_1", intent("pi_1", "captured", captured_minor=3000)))

    assert statement.text == "30.00 EUR of payment pi_1 of 49.00 EUR was captured on 1 March 2026."


def test_the_charge_is_cited_where_it_proves_more_than_the_intent() -> None:
    charge = fact("stripe:charge", "charge:ch_1", "captured", 2 * DAY_S, amount_minor=4900, captured_minor=4900)

    statement = of_status(known_as("pi_1", intent("pi_1", "pending"), charge))

    assert statement.text == "Payment pi_1 of 49.00 EUR was captured on 3 March 2026."
    assert cited(statement) == ["stripe:charge"]


def test_a_charge_that_is_not_decided_is_cited_for_the_payment_that_it_makes() -> None:
    statement = of_status(known_as("ch_1", fact("stripe:charge", "charge:ch_1", "pending", 0, amount_minor=4900)))

    assert statement.text == "Payment ch_1 of 49.00 EUR is processing since 1 March 2026: its outcome is not known yet."
    assert cited(statement) == ["stripe:charge"]


def test_a_capture_that_only_a_refund_proves_has_no_date_and_no_amount() -> None:
    statement = of_status(known_as("ch_1", refund("ch_1", "re_1", "succeeded", 3)))

    assert statement.text == "Payment ch_1 was captured."
    assert cited(statement) == ["stripe:evt_re_1_succeeded"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("inquiry", "is an inquiry since 3 March 2026."),
        ("open", "is open since 3 March 2026."),
        ("under_review", "is under review since 3 March 2026."),
        ("won", "was won on 3 March 2026: the decision is in the merchant's favour."),
        ("lost", "was lost on 3 March 2026: the decision is in the customer's favour."),
        ("of_tomorrow", "is reported as of_tomorrow since 3 March 2026."),
    ],
)
def test_a_dispute_is_told_as_it_stands(status: str, expected: str) -> None:
    disputed = known_as("pi_1", CAPTURED, dispute("pi_1", "dp_1", status, 2, reason="product_not_received"))

    (statement,) = of_disputes(disputed)

    subject = "The dispute dp_1 about 49.00 EUR of payment pi_1 (the product was not received)"
    assert statement.text == f"{subject} {expected}"
    assert cited(statement) == [f"stripe:evt_dp_1_{status}"]


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("pending", "", "is pending since 3 March 2026."),
        ("in_transit", "", "is in transit to the bank since 3 March 2026."),
        ("paid", "", "was paid on 3 March 2026."),
        ("failed", "account_closed", "failed on 3 March 2026 (the bank account is closed)."),
        ("canceled", "", "was canceled on 3 March 2026."),
        ("of_tomorrow", "", "is reported as of_tomorrow since 3 March 2026."),
    ],
)
def test_a_payout_is_told_as_it_stands(status: str, reason: str, expected: str) -> None:
    (statement,) = of_payouts(known_as("po_1", payout("po_1", status, 2, reason=reason)))

    assert statement.text == f"The payout po_1 of 1,000.00 EUR {expected}"
    assert cited(statement) == [f"stripe:evt_po_1_{status}"]


def test_that_there_is_none_is_told_with_how_the_payment_stands() -> None:
    evidence = known_as("pi_1", CAPTURED)
    stands = "Payment pi_1 of 49.00 EUR was captured on 1 March 2026."

    assert no_refund(evidence).text == f"There is no refund for payment pi_1. {stands}"
    assert no_dispute(evidence).text == f"There is no dispute about payment pi_1. {stands}"
    assert cited(no_refund(evidence)) == cited(no_dispute(evidence)) == ["stripe:evt_pi_1_captured"]


def test_while_something_is_missing_that_there_is_none_is_not_claimed() -> None:
    evidence = known_as("pi_1", intent("pi_1", "captured", refers_to=("charge:ch_1",)))

    assert no_refund(evidence).text.startswith("I have not heard of a refund for payment pi_1 so far. ")
    assert no_dispute(evidence).text.startswith("I have not heard of a dispute about payment pi_1. ")
    assert [each.text for each in caveat(evidence)] == [
        "Something that payment pi_1 refers to has not arrived yet; it may change this answer."
    ]
    assert caveat(known_as("pi_1", CAPTURED)) == []


def test_what_is_being_checked_is_not_settled() -> None:
    statement = checking(known_as("pi_3", intent("pi_3", "captured"), intent("pi_3", "canceled", 5)))

    assert not statement.is_settled
    assert statement.about == ("pi_3",)
