"""What is answered in each case, and that every claim is cited and nothing else is."""

import re
from collections.abc import Sequence

import msgspec
import pytest

from domain.answer import AnswerRecord, stated, verdict
from domain.evidence import PaymentEvidence
from gateway.answering.compose import Composition, compose
from gateway.answering.evidence import DocumentCited, FactCited, Passage
from gateway.answering.understand import understand
from tests.domain.examples import at, recorded
from tests.gateway.answering.examples import (
    DAY_S,
    REFUND_POLICY,
    dispute,
    intent,
    known_as,
    passage,
    payout,
    refund,
)


def answered(
    question: str, payments: Sequence[PaymentEvidence] = (), passages: Sequence[Passage] = (), min_score: float = 0.35
) -> Composition:
    return compose(question, understand(question), payments, passages, min_score=min_score)


def facts_cited(composition: Composition) -> list[str]:
    return [each.fact_id for each in composition.citations if isinstance(each, FactCited)]


CAPTURED = known_as("pi_1", intent("pi_1", "captured"))
REFUNDED = known_as("pi_1", intent("pi_1", "captured"), refund("pi_1", "re_1", "succeeded", 3))
REFUND_FAILED = known_as(
    "pi_1",
    intent("pi_1", "captured"),
    refund("pi_1", "re_1", "succeeded", 3),
    refund("pi_1", "re_1", "failed", 74, reason="expired_or_canceled_card"),
)
DECLINED = known_as("pi_2", intent("pi_2", "failed", 60, reason="insufficient_funds"))
CONFLICTING = known_as("pi_3", intent("pi_3", "captured"), intent("pi_3", "canceled", 5))


def test_a_refund_is_told_with_the_one_fact_that_decides_it() -> None:
    assert answered("Where is my refund?", [REFUNDED]) == Composition(
        answer="19.00 EUR of payment pi_1 was refunded on 4 March 2026 (refund re_1).",
        abstained=False,
        citations=(FactCited(fact_id="stripe:evt_re_1_succeeded", position=101),),
        stated_payment_ids=("pi_1",),
        payment_ids=("pi_1",),
        intent="refund_status",
    )


def test_a_refund_that_fails_after_success_changes_the_answer_and_its_citation() -> None:
    before = answered("Where is my refund?", [REFUNDED])
    after = answered("Where is my refund?", [REFUND_FAILED])

    assert before.answer == "19.00 EUR of payment pi_1 was refunded on 4 March 2026 (refund re_1)."
    assert facts_cited(before) == ["stripe:evt_re_1_succeeded"]
    assert after.answer == (
        "The refund re_1 of 19.00 EUR for payment pi_1 failed on 14 May 2026 (expired or canceled card); the money has "
        "not been returned to the customer."
    )
    assert facts_cited(after) == ["stripe:evt_re_1_failed"]


@pytest.mark.parametrize(
    "question", ["Where is my refund?", "Did my payment go through?", "my dispute?", "Why was my card declined?"]
)
def test_a_conflicting_payment_is_said_to_be_contradictory_and_nothing_of_it_is_stated(question: str) -> None:
    composition = answered(question, [CONFLICTING])

    assert composition.answer == (
        "The provider's reports about payment pi_3 contradict each other. Until that is cleared up with the provider, "
        "nothing about this payment is settled."
    )
    assert composition.stated_payment_ids == ()
    assert composition.payment_ids == ("pi_3",)
    assert len(facts_cited(composition)) == 1


def test_what_is_missing_is_said_after_what_is_known() -> None:
    incomplete = known_as("pi_1", intent("pi_1", "captured", refers_to=("charge:ch_1",)))

    assert answered("Did my payment go through?", [incomplete]).answer == (
        "Payment pi_1 of 49.00 EUR was captured on 1 March 2026. "
        "Something that payment pi_1 refers to has not arrived yet; it may change this answer."
    )


def test_the_only_payment_with_a_refund_is_the_one_that_a_refund_question_is_about() -> None:
    composition = answered("Where is my refund?", [DECLINED, REFUNDED, CONFLICTING])

    assert composition.stated_payment_ids == ("pi_1",)
    assert facts_cited(composition) == ["stripe:evt_re_1_succeeded"]


def test_several_payments_with_refunds_are_listed() -> None:
    other = known_as("pi_2", intent("pi_2", "captured"), refund("pi_2", "re_2", "pending", 1, amount_minor=4900))

    composition = answered("Where is my refund?", [other, REFUNDED])

    assert composition.answer == (
        "I see 2 payments with refunds: pi_1 and pi_2. "
        "19.00 EUR of payment pi_1 was refunded on 4 March 2026 (refund re_1). "
        "The refund re_2 of 49.00 EUR for payment pi_2 has been requested and is not finished."
    )


def test_several_payments_without_refunds_are_listed_with_how_they_stand() -> None:
    composition = answered("Where is my refund?", [CAPTURED, DECLINED])

    assert composition.answer.startswith("I see 2 payments: pi_2 and pi_1. There is no refund for payment pi_2.")
    assert composition.stated_payment_ids == ("pi_2", "pi_1")


def test_of_many_payments_the_latest_are_told() -> None:
    many = [known_as(f"pi_{each}", intent(f"pi_{each}", "captured", 60 * each)) for each in range(10, 17)]

    composition = answered("What is the status of my payments?", many)

    assert composition.answer.startswith("I see 7 payments; the latest 5 are pi_16, pi_15, pi_14, pi_13 and pi_12. ")
    assert composition.stated_payment_ids == ("pi_16", "pi_15", "pi_14", "pi_13", "pi_12")
    assert len(facts_cited(composition)) == 5


@pytest.mark.parametrize("name", ["pi_1", "re_1"])
def test_a_payment_is_found_by_its_own_id_and_by_its_refunds(name: str) -> None:
    composition = answered(f"Where is my refund {name}?", [DECLINED, REFUNDED])

    assert composition.stated_payment_ids == ("pi_1",)


def test_a_named_payment_is_told_although_another_has_the_refund() -> None:
    composition = answered("Where is my refund for pi_2?", [DECLINED, REFUNDED])

    assert composition.answer.startswith("There is no refund for payment pi_2.")
    assert composition.stated_payment_ids == ("pi_2",)


def test_an_amount_tells_which_payment_is_meant() -> None:
    other = known_as("pi_2", intent("pi_2", "captured", amount_minor=1200, captured_minor=1200))

    assert answered("Did my payment of 12.00 EUR go through?", [CAPTURED, other]).stated_payment_ids == ("pi_2",)
    assert answered("Did my payment of 12.00 go through?", [CAPTURED, other]).stated_payment_ids == ("pi_2",)
    # No payment has it: whoever asks may err, so all are told.
    assert len(answered("Did my payment of $12 go through?", [CAPTURED, other]).stated_payment_ids) == 2


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where is my refund?", "I do not know of a payment that this question could be about."),
        ("Where is my refund for pi_9?", "I do not know of a payment pi_9."),
        ("Has re_9 gone through?", "I do not know of a refund re_9."),
        ("Where is my payout?", "I do not know of a payout that this question could be about."),
        ("pi_8, pi_9 and dp_9?", "I do not know of a payment pi_8, a payment pi_9 and a dispute dp_9."),
    ],
)
def test_what_is_not_known_is_said_not_to_be_known(question: str, expected: str) -> None:
    composition = answered(question, [CAPTURED] if "_" in question else [])

    assert composition.answer == expected
    assert composition.abstained
    assert composition.citations == ()
    assert composition.payment_ids == ()


def test_a_known_payment_is_told_beside_an_unknown_one() -> None:
    composition = answered("Did pi_1 and pi_9 go through?", [CAPTURED])

    assert composition.answer == (
        "Payment pi_1 of 49.00 EUR was captured on 1 March 2026. I do not know of a payment pi_9."
    )
    assert not composition.abstained


def test_a_payment_is_told_with_its_refunds_and_disputes() -> None:
    evidence = known_as(
        "pi_1",
        intent("pi_1", "captured"),
        refund("pi_1", "re_1", "pending", 1),
        dispute("pi_1", "dp_1", "lost", 9, reason="product_not_received"),
    )

    composition = answered("What is the status of pi_1?", [evidence])

    assert composition.answer == (
        "Payment pi_1 of 49.00 EUR was captured on 1 March 2026. "
        "The refund re_1 of 19.00 EUR for payment pi_1 has been requested and is not finished. "
        "The dispute dp_1 about 49.00 EUR of payment pi_1 (the product was not received) was lost on 10 March 2026: "
        "the decision is in the customer's favour."
    )
    assert facts_cited(composition) == ["stripe:evt_pi_1_captured", "stripe:evt_re_1_pending", "stripe:evt_dp_1_lost"]


def test_the_only_payment_with_a_dispute_is_the_one_that_a_dispute_question_is_about() -> None:
    disputed = known_as("pi_1", intent("pi_1", "captured"), dispute("pi_1", "dp_1", "open", 2))

    composition = answered("What about my dispute?", [DECLINED, disputed])

    assert composition.answer == "The dispute dp_1 about 49.00 EUR of payment pi_1 is open since 3 March 2026."
    assert facts_cited(composition) == ["stripe:evt_dp_1_open"]


def test_where_there_is_no_dispute_the_payment_is_told() -> None:
    assert answered("What about my dispute?", [CAPTURED]).answer == (
        "There is no dispute about payment pi_1. Payment pi_1 of 49.00 EUR was captured on 1 March 2026."
    )


def test_a_declined_payment_is_told_with_its_reason_and_the_others_are_not() -> None:
    composition = answered("Why was my card declined?", [CAPTURED, DECLINED])

    assert composition.answer == (
        "Payment pi_2 of 49.00 EUR failed on 1 March 2026 (insufficient funds); no money was taken."
    )
    assert facts_cited(composition) == ["stripe:evt_pi_2_failed"]


def test_where_nothing_was_declined_the_payment_is_told() -> None:
    assert answered("Why was my card declined?", [CAPTURED]).answer == (
        "Payment pi_1 of 49.00 EUR was captured on 1 March 2026."
    )


def test_two_captures_of_one_amount_within_ten_minutes_are_both_told_with_their_refunds() -> None:
    twin = known_as("pi_2", intent("pi_2", "captured", 600))

    composition = answered("I was charged twice", [twin, REFUNDED, DECLINED])

    assert composition.answer == (
        "I see 2 payments of 49.00 EUR, each captured within 10 minutes of another: pi_1 on 1 March 2026 and pi_2 on 1 "
        "March 2026. 19.00 EUR of payment pi_1 was refunded on 4 March 2026 (refund re_1)."
    )
    assert composition.stated_payment_ids == ("pi_1", "pi_2")
    assert facts_cited(composition) == [
        "stripe:evt_pi_1_captured",
        "stripe:evt_pi_2_captured",
        "stripe:evt_re_1_succeeded",
    ]


@pytest.mark.parametrize(
    "second",
    [
        known_as("pi_2", intent("pi_2", "captured", 601)),
        known_as("pi_2", intent("pi_2", "captured", 1, amount_minor=4901)),
        known_as("pi_2", intent("pi_2", "captured", 1, currency="USD")),
    ],
)
def test_captures_that_differ_or_lie_further_apart_are_no_double_charge(second: PaymentEvidence) -> None:
    answer = answered("I was charged twice", [CAPTURED, second]).answer

    assert answer.startswith("I see 2 captured payments, but no two of the same amount within 10 minutes. ")


def test_a_failed_attempt_beside_a_capture_is_no_double_charge() -> None:
    composition = answered("I was charged twice", [CAPTURED, DECLINED])

    assert composition.answer == (
        "Only one payment was captured. "
        "Payment pi_2 of 49.00 EUR failed on 1 March 2026 (insufficient funds); no money was taken. "
        "Payment pi_1 of 49.00 EUR was captured on 1 March 2026."
    )
    assert set(composition.stated_payment_ids) == {"pi_1", "pi_2"}


def test_a_double_charge_is_not_ruled_out_while_a_payment_is_being_checked() -> None:
    answer = answered("I was charged twice", [CAPTURED, CONFLICTING]).answer

    assert answer.startswith("So far only one payment was captured. ")
    assert "The provider's reports about payment pi_3 contradict each other." in answer


def test_a_named_payment_is_compared_with_the_customers_others() -> None:
    twin = known_as("pi_2", intent("pi_2", "captured", 30))

    assert answered("Was I charged twice for pi_1?", [CAPTURED, twin]).stated_payment_ids == ("pi_1", "pi_2")


def test_captures_that_only_refunds_prove_are_no_double_charge() -> None:
    orphans = [known_as(f"ch_{each}", refund(f"ch_{each}", f"re_{each}", "succeeded", 3)) for each in (1, 2)]

    assert answered("I was charged twice", orphans).answer.startswith("I see 2 captured payments, but no two ")


@pytest.mark.parametrize("question", ["Where is my payout?", "What about po_1?"])
def test_a_payout_is_told_where_payouts_are_asked_about(question: str) -> None:
    composition = answered(question, [CAPTURED, known_as("po_1", payout("po_1", "paid", 2))])

    assert composition.answer == "The payout po_1 of 1,000.00 EUR was paid on 3 March 2026."
    assert composition.stated_payment_ids == ("po_1",)


def test_a_payout_is_no_payment_of_a_customer() -> None:
    composition = answered("Did my payments go through?", [CAPTURED, known_as("po_1", payout("po_1", "paid", 2))])

    assert composition.stated_payment_ids == ("pi_1",)


def test_a_policy_question_is_answered_by_a_quotation() -> None:
    composition = answered("How long do refunds take?", [REFUNDED], [passage("Parking is free.", 0.5), REFUND_POLICY])

    quoted = "Refunds take 5 to 10 business days to appear on the statement."
    assert composition == Composition(
        answer=f'From "Refunds": "{quoted}"',
        abstained=False,
        citations=(DocumentCited(document_id="refunds", version=3, quote=quoted),),
        stated_payment_ids=(),
        payment_ids=(),
        intent="policy",
        quotation=f'From "Refunds": "{quoted}"',
    )


@pytest.mark.parametrize("question", ["How long do refunds take?", "What a lovely day"])
@pytest.mark.parametrize("score", [0.0, 0.349, float("nan")])
def test_below_the_score_nothing_is_known(question: str, score: float) -> None:
    composition = answered(question, [REFUNDED], [msgspec.structs.replace(REFUND_POLICY, score=score)])

    assert composition.answer.startswith("I do not know ")
    assert composition.abstained
    assert composition.citations == ()


def test_a_question_of_no_intent_is_answered_by_a_near_passage() -> None:
    composition = answered("vouchers as a present?", [], [REFUND_POLICY])

    assert composition.intent == "unknown"
    assert not composition.abstained
    assert len(composition.citations) == 1


def test_facts_come_first_and_one_quotation_after_them() -> None:
    composition = answered("Where is my refund?", [REFUNDED], [REFUND_POLICY, passage("Refunds are rare.", 0.5)])

    assert composition.answer == (
        "19.00 EUR of payment pi_1 was refunded on 4 March 2026 (refund re_1). "
        'From "Refunds": "Refunds take 5 to 10 business days to appear on the statement."'
    )
    assert [type(each) for each in composition.citations] == [FactCited, DocumentCited]


def test_without_a_payment_the_policy_is_quoted_and_the_answer_abstains_from_the_facts() -> None:
    composition = answered("Where is my refund?", [], [REFUND_POLICY])

    assert composition.abstained
    assert composition.answer.startswith("I do not know of a payment that this question could be about. From ")
    assert [type(each) for each in composition.citations] == [DocumentCited]


def test_citations_have_the_shape_of_the_contract() -> None:
    composition = answered("Where is my refund?", [REFUNDED], [REFUND_POLICY])

    assert msgspec.to_builtins(composition.citations) == (
        {"kind": "fact", "fact_id": "stripe:evt_re_1_succeeded", "position": 101},
        {
            "kind": "document",
            "document_id": "refunds",
            "version": 3,
            "quote": "Refunds take 5 to 10 business days to appear on the statement.",
        },
    )


def test_the_order_in_which_payments_are_given_does_not_matter() -> None:
    payments = [REFUNDED, DECLINED, CONFLICTING]

    for question in ("Where is my refund?", "Did my payments go through?", "I was charged twice"):
        assert answered(question, payments) == answered(question, payments[::-1])


def test_what_it_says_it_stated_is_what_makes_it_wrong_when_a_late_fact_arrives() -> None:
    composition = answered("Where is my refund?", [REFUNDED, DECLINED])
    views = {each.view.payment_id: each.view for each in (REFUNDED, DECLINED)}
    record = AnswerRecord(
        answer_id="a1",
        question="Where is my refund?",
        intent=composition.intent,
        answer=composition.answer,
        stated=tuple(stated(views[payment_id]) for payment_id in composition.stated_payment_ids),
        as_of=at(100 * DAY_S),
        given_at=at(100 * DAY_S),
    )
    facts = recorded(intent("pi_1", "captured"), refund("pi_1", "re_1", "succeeded", 3))
    late = recorded(refund("pi_1", "re_1", "failed", 74), first=9)

    assert verdict(record, {"pi_1": facts}) == "stands"
    assert verdict(record, {"pi_1": [*facts, *late]}) == "wrong"


def test_an_answer_is_one_paragraph_of_plain_sentences() -> None:
    for question in ("Where is my refund?", "Did my payments go through?", "I was charged twice", "my dispute?"):
        answer = answered(question, [REFUND_FAILED, DECLINED, CONFLICTING]).answer

        assert re.fullmatch(r"(?:[A-Z0-9][^\n]*?\.(?: |$))+", answer)
