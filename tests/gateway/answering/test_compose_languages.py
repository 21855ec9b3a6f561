"""Answers in Vietnamese, answers that ask back, and why an answer abstains."""

from collections.abc import Callable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.evidence import PaymentEvidence
from domain.fact import Fact
from domain.lifecycle import LIFECYCLES
from gateway.answering import reasons, vietnamese_reasons
from gateway.answering.compose import Composition, compose
from gateway.answering.understand import understand
from tests.gateway.answering.examples import REFUND_POLICY, dispute, intent, known_as, payout, refund
from tests.gateway.answering.test_compose import CAPTURED, CONFLICTING, DECLINED, REFUND_FAILED, REFUNDED

TODAY = date(2026, 3, 2)


def answered(question: str, payments: list[PaymentEvidence], **options: Any) -> Composition:
    given: dict[str, Any] = {"min_score": 0.35, **options}
    return compose(question, understand(question, TODAY), payments, given.pop("passages", []), **given)


@pytest.mark.parametrize(
    ("question", "payments", "expected"),
    [
        (
            "Tiền hoàn của tôi đâu rồi?",
            [REFUNDED],
            "19,00 EUR của thanh toán pi_1 đã được hoàn vào ngày 4 tháng 3 năm 2026 (khoản hoàn tiền re_1).",
        ),
        (
            "tien hoan cua toi dau roi",
            [REFUND_FAILED],
            (
                "Khoản hoàn tiền re_1 trị giá 19,00 EUR của thanh toán pi_1 thất bại vào ngày 14 tháng 5 năm 2026 "
                "(thẻ hết hạn hoặc đã hủy); tiền chưa được trả lại cho khách hàng."
            ),
        ),
        (
            "Tại sao thẻ của tôi bị từ chối?",
            [DECLINED],
            (
                "Thanh toán pi_2 trị giá 49,00 EUR thất bại vào ngày 1 tháng 3 năm 2026 (không đủ số dư); không có "
                "khoản tiền nào bị thu."
            ),
        ),
        (
            "Thanh toán của tôi xong chưa?",
            [CONFLICTING],
            (
                "Các thông báo của nhà cung cấp về thanh toán pi_3 mâu thuẫn với nhau. Cho đến khi làm rõ với nhà cung "
                "cấp, chưa có gì chắc chắn về thanh toán này."
            ),
        ),
        (
            "Tôi bị trừ tiền hai lần",
            [CAPTURED, known_as("pi_2", intent("pi_2", "captured", 30))],
            (
                "Tôi thấy 2 thanh toán trị giá 49,00 EUR, được thu cách nhau không quá 10 phút: pi_1 vào ngày 1 tháng "
                "3 năm 2026 và pi_2 vào ngày 1 tháng 3 năm 2026."
            ),
        ),
        (
            "Tranh chấp của tôi thế nào rồi?",
            [known_as("pi_1", intent("pi_1", "captured"), dispute("pi_1", "dp_1", "lost", 9, reason="duplicate"))],
            (
                "Tranh chấp dp_1 về 49,00 EUR của thanh toán pi_1 (bị tính tiền nhiều lần) đã kết thúc vào ngày 10 "
                "tháng 3 năm 2026: phần thắng thuộc về khách hàng."
            ),
        ),
        (
            "Khi nào tôi nhận được tiền bán hàng?",
            [known_as("po_1", payout("po_1", "in_transit", 2))],
            "Khoản chi trả po_1 trị giá 1.000,00 EUR đang được chuyển đến ngân hàng từ ngày 3 tháng 3 năm 2026.",
        ),
        ("Tiền hoàn cho pi_9 đâu rồi?", [], "Tôi không biết thanh toán pi_9."),
    ],
)
def test_a_question_in_vietnamese_is_answered_in_vietnamese(
    question: str, payments: list[PaymentEvidence], expected: str
) -> None:
    composition = answered(question, payments)

    assert composition.answer == expected
    assert composition.language == "vi"


def test_dong_are_written_as_they_are_in_vietnam() -> None:
    paid = known_as("pi_1", intent("pi_1", "captured", amount_minor=1_500_000, captured_minor=0, currency="VND"))

    assert "trị giá 1.500.000 ₫ " in answered("Thanh toán của tôi xong chưa?", [paid]).answer
    assert " of 1,500,000 VND " in answered("Did my payment go through?", [paid]).answer


@pytest.mark.parametrize("table", ["FAILURES", "CANCELLATIONS", "CLAIMS"])
def test_every_reason_is_told_in_every_language(table: str) -> None:
    assert getattr(reasons, table).keys() == getattr(vietnamese_reasons, table).keys()


@pytest.mark.parametrize("kind", ["refund", "dispute", "payout"])
def test_every_status_of_a_part_has_words_in_both_languages(kind: str) -> None:
    made: dict[str, Callable[..., Fact]] = {"refund": refund, "dispute": dispute}
    for status in LIFECYCLES["stripe", kind].moves:
        part = payout("po_1", status, 2) if kind == "payout" else made[kind]("pi_1", f"{kind}_1", status, 2)
        evidence = known_as(part.payment_id, part)
        question = {"refund": "my refund?", "dispute": "my dispute?", "payout": "my payout?"}[kind]
        english = answered(question, [evidence]).answer
        vietnamese = answered(
            {"refund": "hoàn tiền của tôi", "dispute": "tranh chấp của tôi", "payout": "quyết toán của tôi"}[kind],
            [evidence],
        ).answer
        assert "reported as" not in english
        assert "được báo là" not in vietnamese


def test_days_are_those_of_the_askers_zone() -> None:
    late = known_as("pi_1", intent("pi_1", "captured", 8 * 3600))

    assert "1 March 2026" in answered("Did my payment go through?", [late]).answer
    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    assert "2 March 2026" in answered("Did my payment go through?", [late], zone=zone).answer


def test_several_payments_of_the_amount_are_asked_back_about() -> None:
    other = known_as("pi_3", intent("pi_3", "captured", 90_000))
    cheap = known_as("pi_2", intent("pi_2", "captured", amount_minor=1200, captured_minor=1200))

    composition = answered("Did my payment of 49,00 € go through?", [CAPTURED, other, cheap])

    assert composition.answer == (
        "I see 2 payments of 49.00 EUR: pi_3 and pi_1. Payment pi_3 of 49.00 EUR was captured on 2 March 2026. "
        "Payment pi_1 of 49.00 EUR was captured on 1 March 2026. Which one do you mean?"
    )
    assert composition.asks_back == composition.stated_payment_ids == ("pi_3", "pi_1")
    assert not composition.abstained


def test_a_day_tells_which_payment_is_meant_and_one_alone_is_not_asked_back_about() -> None:
    today = known_as("pi_3", intent("pi_3", "captured", 90_000))

    for question in ("Did the payment of yesterday go through?", "Thanh toán hôm qua xong chưa?"):
        composition = answered(question, [CAPTURED, today])
        assert composition.stated_payment_ids == ("pi_1",)
        assert composition.asks_back == ()


def test_of_many_payments_the_asker_says_which() -> None:
    many = [known_as(f"pi_{each}", intent(f"pi_{each}", "captured", 60 * each)) for each in range(10, 17)]

    composition = answered("Did my payment go through?", many)

    assert composition.asks_back == ("pi_16", "pi_15", "pi_14", "pi_13", "pi_12")
    assert composition.answer.endswith(" Which one do you mean?")


def test_a_payment_that_is_being_checked_is_not_told_with_an_amount() -> None:
    other = known_as("pi_2", intent("pi_2", "captured", 5))
    cheap = known_as("pi_1", intent("pi_1", "captured", amount_minor=1, captured_minor=1))

    assert "I see 2 payments: " in answered("my payment of 49,00 €?", [CONFLICTING, other, cheap]).answer


@pytest.mark.parametrize(
    ("question", "options", "because"),
    [
        ("Where is my refund for pi_9?", {}, "reference.unknown"),
        ("Where is my refund?", {"is_identified": False}, "customer.unidentified"),
        ("Where is my refund?", {}, "payment.none"),
        ("How long do refunds take?", {}, "document.none"),
        ("What a lovely day", {}, "question.unclear"),
        ("How long do refunds take?", {"passages": [REFUND_POLICY]}, ""),
    ],
)
def test_an_answer_that_abstains_says_why(question: str, options: dict[str, Any], because: str) -> None:
    composition = answered(question, [], **options)

    assert composition.abstained_because == because
    assert composition.abstained == bool(because)


def test_whoever_is_not_known_is_asked_for_a_number() -> None:
    assert answered("Where is my refund?", [], is_identified=False).answer.endswith(
        "Please tell me the number of the payment or of the order."
    )


def test_a_number_that_was_taken_out_of_the_question_is_not_repeated() -> None:
    understood = understand("Where is my refund for order 0912345678?")

    composition = compose("Where is my refund for order [PHONE]?", understood, [], [], min_score=0.35)

    assert "0912345678" not in composition.answer
    assert composition.abstained_because == "reference.unknown"
