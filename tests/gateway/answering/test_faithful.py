"""A text of a model says what the facts say, or it does not leave."""

from collections.abc import Sequence

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from domain.evidence import PaymentEvidence
from domain.lifecycle import LIFECYCLES
from gateway.answering.compose import Composition, compose
from gateway.answering.faithful import truths_of, violation
from gateway.answering.number_words import with_digits
from gateway.answering.speaking import speech_in
from gateway.answering.understand import understand
from tests.gateway.answering.examples import dispute, intent, known_as, payout, refund
from tests.gateway.answering.test_compose import DECLINED, REFUND_FAILED, REFUNDED

REFUND, HOAN_TIEN = "Where is my refund?", "hoàn tiền của tôi đâu rồi"
CANCELED = known_as("pi_1", intent("pi_1", "canceled"))
TWO = [
    known_as("pi_1", intent("pi_1", "captured")),
    known_as("pi_2", intent("pi_2", "failed", 60, amount_minor=1200)),
]


def composed(question: str, payments: Sequence[PaymentEvidence]) -> Composition:
    return compose(question, understand(question), payments, [], min_score=0.35)


def refused(text: str, question: str, payments: Sequence[PaymentEvidence]) -> str | None:
    composition = composed(question, payments)
    speech = speech_in(composition.language)
    return violation(text, composition.answer, truths_of(payments, speech), speech)


@pytest.mark.parametrize(
    ("question", "payments", "text"),
    [
        (
            REFUND,
            [REFUND_FAILED],
            (
                "I am sorry: your refund re_1 of €19.00 failed on May 14, 2026 (expired or canceled card), so the "
                "money has not been returned to you."
            ),
        ),
        (REFUND, [REFUND_FAILED], "Your refund of nineteen euros for payment pi_1 failed on 14 May."),
        (REFUND, [REFUNDED], "Good news: 19.00 EUR of payment pi_1 was returned to you on 2026-03-04 (refund re_1)."),
        (REFUND, [CANCELED], "There is no refund for payment pi_1. Payment pi_1 of 49.00 EUR was canceled."),
        (
            "Did my payments go through?",
            TWO,
            "Payment pi_1 of 49.00 EUR was captured, but payment pi_2 of 12.00 EUR failed and no money was taken.",
        ),
        (
            HOAN_TIEN,
            [REFUND_FAILED],
            "Rất tiếc, khoản hoàn tiền 19,00 EUR thất bại vào ngày 14 tháng 5 năm 2026; tiền chưa được trả lại.",
        ),
        (HOAN_TIEN, [REFUND_FAILED], "Khoản hoàn tiền mười chín euro thất bại ngày 14/5/2026."),
    ],
)
def test_a_text_that_says_the_same_may_leave(question: str, payments: list[PaymentEvidence], text: str) -> None:
    assert refused(text, question, payments) is None


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "empty"),
        ("The refund failed. " * 200, "too_long"),
        ("Your refund of 19.00 EUR was successful.", "status"),
        ("Your refund of 19.00 EUR is pending.", "status"),
        ("The refund re_1 did not fail.", "status"),
        ("The refund failed. The money was sent back.", "status"),
        ("The refund failed; payment pi_1 was canceled.", "status"),
        ("Payment pi_1 failed.", "status"),
        ("There is no refund for payment pi_1.", "status"),
        ("The refund failed; the dispute is open.", "status"),
        ("The refund re_1 of 49.00 EUR failed.", "amount"),
        ("The refund re_1 of 19.01 EUR failed.", "amount"),
        ("The refund re_1 of 19.00 USD failed.", "amount"),
        ("The refund of ninety euros failed.", "amount"),
        ("The refund of EUR nineteen thousand failed.", "amount"),
        ("The refund re_1 failed on 15 May 2026.", "date"),
        ("The refund re_1 failed on May 14, 2025.", "date"),
        ("The refund re_1 failed on 1 March 2026.", "date"),
        ("The refund re_1 failed in June.", "promise"),
        ("The refund re_1 failed yesterday.", "promise"),
        ("The refund re_2 failed.", "id"),
        ("The refund ch_77 failed.", "id"),
        ("The refund failed 3 times.", "number"),
        ("The refund failed after twelve attempts.", "number"),
        ("The refund failed because of insufficient funds.", "reason"),
        ("Your refund failed, but we will send it again.", "promise"),
        ("Your refund failed. Expect the money soon.", "promise"),
        ("Your refund failed, which we guarantee.", "promise"),
        ("The refund failed. See https://pay.example to try again.", "promise"),
        ("The refund failed, mail a@b.example", "promise"),
        ("Everything is fine.", "omission"),
        ("Th\u0435 refund failed.", "script"),
        ("The refund of \u0661\u0669 EUR failed.", "script"),
        ("The refund failed\u200b.", "script"),
        ("Khoản hoàn tiền của bạn thất bại.", "language"),
    ],
)
def test_a_text_that_says_anything_else_may_not(text: str, because: str) -> None:
    assert refused(text, REFUND, [REFUND_FAILED]) == because


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("Khoản hoàn tiền 19,00 EUR đã thành công.", "status"),
        ("Khoản hoàn tiền không thất bại.", "status"),
        ("Khoản hoàn tiền thất bại, tiền đã được trả lại.", "status"),
        ("Khoản hoàn tiền 49,00 EUR thất bại.", "amount"),
        ("Khoản hoàn tiền bốn mươi chín euro thất bại.", "amount"),
        ("Khoản hoàn tiền năm trăm nghìn đồng thất bại.", "amount"),
        ("Khoản hoàn tiền thất bại vào ngày 15 tháng 5 năm 2026.", "date"),
        ("Khoản hoàn tiền thất bại hôm qua.", "promise"),
        ("Khoản hoàn tiền thất bại. Tiền sẽ được trả lại cho bạn.", "promise"),
        ("Khoản hoàn tiền thất bại vì không đủ số dư.", "reason"),
        ("Khoản hoàn tiền re_2 của bạn thất bại.", "id"),
        ("Your refund failed on 14 May 2026.", "language"),
    ],
)
def test_the_same_holds_in_vietnamese(text: str, because: str) -> None:
    assert refused(text, HOAN_TIEN, [REFUND_FAILED]) == because


@pytest.mark.parametrize(
    "text",
    [
        "Payment pi_2 of 12.00 EUR was captured and payment pi_1 of 49.00 EUR failed.",
        "pi_1 and pi_2 failed.",
        "Payment pi_1 of 12.00 EUR was captured, pi_2 failed.",
        "Both payments were captured.",
        "pi_1 was captured.",
        "pi_2 failed and pi_1 was captured on 2 March 2026.",
    ],
)
def test_what_is_true_of_one_payment_is_not_said_of_another(text: str) -> None:
    assert refused(text, "Did my payments go through?", TWO) is not None


def test_a_part_of_the_money_is_not_all_of_it() -> None:
    assert refused("Payment pi_1 was refunded on 4 March 2026.", REFUND, [REFUNDED]) == "amount"


TWO_REFUNDS = known_as(
    "pi_1",
    intent("pi_1", "captured"),
    refund("pi_1", "re_0", "canceled", 1),
    refund("pi_1", "re_1", "succeeded", 2),
)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("Refund re_0 was canceled; the money of this refund was not returned. Refund re_1 succeeded.", None),
        ("Refund re_1 succeeded; this refund was returned. Refund re_0 was canceled.", None),
        ("Refund re_0 was canceled; the money of this refund was returned. Refund re_1 succeeded.", "status"),
        ("Refund re_0 was canceled. Refund re_1 succeeded; this refund was not returned.", "status"),
        ("Refund re_0 was canceled and re_1 succeeded. The money of this refund was not returned.", "status"),
        ("Refund re_0 was canceled. Refund re_1 succeeded. Note that refunds succeeded.", "status"),
        ("Refund re_0 was canceled. Refund re_1 succeeded. We know that refunds were returned.", "status"),
        ("Refund re_0 was canceled. Refund re_1 succeeded. This refunds succeeded.", "status"),
        ("Refund re_0 was canceled. Refund re_1 succeeded. This refund and the other refund succeeded.", "status"),
        (
            "Refund re_0 was canceled. Refund re_1 succeeded. So refunds of this payment were returned in full.",
            "status",
        ),
    ],
)
def test_this_refund_is_the_one_spoken_of_just_before(text: str, because: str | None) -> None:
    assert refused(text, REFUND, [TWO_REFUNDS]) == because


QUESTIONS = (
    REFUND,
    "Did my payment go through?",
    "my dispute?",
    "why was my card declined?",
    "where is my payout?",
    HOAN_TIEN,
    "thanh toán của tôi xong chưa",
    "tại sao thẻ của tôi bị từ chối",
    "tranh chấp của tôi thế nào rồi",
    "khi nào quyết toán của tôi được chi trả",
)
REASONS = st.sampled_from(
    ["", "insufficient_funds", "duplicate", "expired_card", "product_not_received", "requested_by_x"]
)
OWN = st.sampled_from(sorted(LIFECYCLES["stripe", "intent"].moves))


@st.composite
def payments(draw: st.DrawFn) -> PaymentEvidence:
    """A payment in some status, with some parts; or a payout."""
    amount_minor = draw(st.integers(1, 10**9))
    currency = draw(st.sampled_from(["EUR", "VND", "KWD"]))
    given = {"currency": currency, "reason": draw(REASONS)}
    if draw(st.integers(0, 4)) == 0:
        status = draw(st.sampled_from(sorted(LIFECYCLES["stripe", "payout"].moves)))
        return known_as("po_1", payout("po_1", status, draw(st.integers(0, 300)), amount_minor=amount_minor, **given))
    own = draw(OWN)
    captured_minor = amount_minor if own == "captured" else 0
    facts = [intent("pi_1", own, 0, amount_minor=amount_minor, captured_minor=captured_minor, **given)]
    for number in range(draw(st.integers(0, 2)) if own == "captured" else 0):
        status = draw(st.sampled_from(sorted(LIFECYCLES["stripe", "refund"].moves)))
        returned = draw(st.integers(1, amount_minor))
        day = draw(st.integers(1, 300))
        facts.append(refund("pi_1", f"re_{number}", status, day, amount_minor=returned, **given))
    if own == "captured" and draw(st.booleans()):
        status = draw(st.sampled_from(sorted(LIFECYCLES["stripe", "dispute"].moves)))
        facts.append(dispute("pi_1", "dp_1", status, draw(st.integers(1, 300)), amount_minor=amount_minor, **given))
    return known_as("pi_1", *facts)


@given(payments(), st.sampled_from(QUESTIONS))
@example(TWO_REFUNDS, REFUND)
def test_the_templates_own_words_always_may_leave(evidence: PaymentEvidence, question: str) -> None:
    composition = composed(question, [evidence])
    assume(composition.stated_payment_ids)

    assert refused(composition.answer, question, [evidence]) is None


@pytest.mark.long
@given(payments(), payments(), st.sampled_from(QUESTIONS))
def test_the_words_of_other_facts_never_may(so: PaymentEvidence, other: PaymentEvidence, question: str) -> None:
    said, given_facts = composed(question, [other]), composed(question, [so])
    assume(given_facts.stated_payment_ids and said.stated_payment_ids)
    assume(said.answer != given_facts.answer)
    # What differs in a reason alone, or tells less, is looked at above.
    assume(_statuses(so) != _statuses(other) or so.view.amount_minor != other.view.amount_minor)

    speech = speech_in(said.language)
    is_refused = violation(said.answer, given_facts.answer, truths_of([so], speech), speech) is not None

    assert is_refused or _holds(said, so, question)


def _statuses(evidence: PaymentEvidence) -> list[tuple[str, str]]:
    return sorted((each.object, each.status) for each in evidence.citations)


def _holds(said: Composition, so: PaymentEvidence, question: str) -> bool:
    """Whether all that was said is so as well: both payments agree in what the question was about."""
    told = composed(question, [so]).answer
    return all(sentence in told for sentence in said.answer.rstrip(".").split(". "))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("forty-nine euros", "49 euros"),
        ("one hundred and five dollars", "105 dollars"),
        ("two thousand three hundred", "2300"),
        ("năm trăm nghìn đồng", "500000 đồng"),
        ("một triệu hai trăm nghìn đồng", "1200000 đồng"),
        ("bốn mươi chín euro", "49 euro"),
        ("mười lăm nghìn", "15000"),
        ("one of them", "one of them"),
        ("năm 2026", "năm 2026"),
    ],
)
def test_numbers_in_words_are_read_as_digits(text: str, expected: str) -> None:
    assert with_digits(text) == expected


def test_a_declined_payment_may_be_told_in_other_words() -> None:
    text = "Payment pi_2 of 49.00 EUR was declined on 1 March 2026 (insufficient funds); no money was taken."

    assert refused(text, "Why was my card declined?", [DECLINED]) is None
