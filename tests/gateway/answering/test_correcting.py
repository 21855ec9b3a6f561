"""What a customer reads whose answer was wrong: what we told them and when, what was so, and how it stands now."""

from typing import Any

import msgspec
import pytest

from domain.answer import AnswerRecord, stated, untrue
from domain.evidence import evidence
from domain.fact import Fact
from domain.payment import view
from gateway.answering.correcting import correction, reinstatement
from tests.domain.examples import PAYMENT, at, fact, recorded

CAPTURED = fact("e1", "intent", "captured", 1, amount_minor=4900, captured_minor=4900)
REFUNDED = fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900)


def corrected(*known: Fact, late: tuple[Fact, ...], **fields: Any) -> str:
    """The text about an answer at 250 s that knew some facts and not the late ones."""
    payment = view(PAYMENT, recorded(*known), as_of=at(250))
    assert payment is not None
    given: dict[str, Any] = {"as_of": at(250), "given_at": at(250), **fields}
    record = AnswerRecord(
        answer_id="a-1", question="", intent="", answer="", stated=(stated(payment),), position=len(known), **given
    )
    facts = recorded(*known, *late)
    now = evidence(PAYMENT, facts)
    assert now is not None
    return correction(untrue(record, {PAYMENT: facts}), {PAYMENT: now})


def test_a_refund_that_had_failed() -> None:
    late = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900, reason="expired_or_canceled_card")

    assert corrected(CAPTURED, REFUNDED, late=(late,)) == (
        "We told you on Sunday, 1 March 2026, that the refund re_1 of 19.00 EUR for payment pi_1 had succeeded. "
        "It is now known that by then the refund re_1 of 19.00 EUR for payment pi_1 had failed. "
        "As it stands now: The refund re_1 of 19.00 EUR for payment pi_1 failed on 1 March 2026 "
        "(expired or canceled card); the money has not been returned to the customer."
    )


def test_a_refund_that_nobody_had_told_of_and_how_it_went_on() -> None:
    requested = fact("e2", "refund:re_1", "pending", 100, amount_minor=1900)
    since = fact("e3", "refund:re_1", "succeeded", 90_000, amount_minor=1900)

    assert corrected(CAPTURED, late=(requested, since)) == (
        "We told you on Sunday, 1 March 2026, that payment pi_1 had no refund re_1. "
        "It is now known that by then the refund re_1 of 19.00 EUR for payment pi_1 was requested and not finished. "
        "As it stands now: 19.00 EUR of payment pi_1 was refunded on 2 March 2026 (refund re_1)."
    )


def test_a_payment_that_had_been_canceled() -> None:
    pending = fact("e1", "intent", "authorized", 1, amount_minor=4900)
    late = fact("e2", "intent", "canceled", 200, amount_minor=4900)

    assert corrected(pending, late=(late,)) == (
        "We told you on Sunday, 1 March 2026, that payment pi_1 of 49.00 EUR was authorized and not taken. "
        "It is now known that by then payment pi_1 of 49.00 EUR had been canceled. "
        "As it stands now: Payment pi_1 of 49.00 EUR was canceled on 1 March 2026."
    )


def test_the_time_of_which_an_answer_spoke_is_told_if_it_was_another_day() -> None:
    late = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900)

    text = corrected(CAPTURED, REFUNDED, late=(late,), given_at=at(200_000))

    assert text.startswith("We told you on Tuesday, 3 March 2026, that as of 1 March 2026 the refund re_1 ")


def test_reports_that_contradict_each_other_settle_nothing() -> None:
    late = fact("e3", "intent", "canceled", 200, amount_minor=4900)
    known = fact("e1", "intent", "processing", 1, amount_minor=4900)
    another = fact("e4", "intent", "captured", 300, amount_minor=4900)

    text = corrected(known, late=(late, another))

    assert "had been canceled" in text
    assert text.endswith("Until that is cleared up with the provider, nothing about this payment is settled.")


def test_a_payment_of_which_nothing_had_happened() -> None:
    payment = view(PAYMENT, recorded(CAPTURED))
    assert payment is not None
    record = AnswerRecord(
        answer_id="a-1", question="", intent="", answer="", stated=(stated(payment),), as_of=at(250), given_at=at(250)
    )

    assert correction(untrue(record, {}), {}) == (
        "We told you on Sunday, 1 March 2026, that payment pi_1 of 49.00 EUR had been captured. "
        "It is now known that by then nothing of payment pi_1 had happened."
    )


@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        ("dispute:dp_1", "open", "the dispute dp_1 of 49.00 EUR for payment pi_1 was open"),
        ("dispute:dp_1", "lost", "the dispute dp_1 of 49.00 EUR for payment pi_1 had been lost by the merchant"),
        ("refund:re_2", "odd", "the refund re_2 of 49.00 EUR for payment pi_1 was reported as odd"),
    ],
)
def test_whatever_differs_is_named(key: str, status: str, words: str) -> None:
    assert words in corrected(CAPTURED, late=(fact("e9", key, status, 200, amount_minor=4900),))


def test_two_payments_are_two_stories() -> None:
    late = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900)
    payment = view(PAYMENT, recorded(CAPTURED, REFUNDED))
    assert payment is not None
    both = (stated(payment), msgspec.structs.replace(stated(payment), payment_id="pi_2"))
    record = AnswerRecord(
        answer_id="a-1", question="", intent="", answer="", stated=both, as_of=at(250), given_at=at(250)
    )
    facts = recorded(CAPTURED, REFUNDED, late)

    text = correction(untrue(record, {PAYMENT: facts, "pi_2": facts}), {})

    assert text.count("We told you on ") == 2


def test_what_is_taken_back_is_taken_back_in_words() -> None:
    assert reinstatement(at(0)) == (
        "We wrote to you that what we told you on Sunday, 1 March 2026 was wrong. It is now known that it was right."
    )


def test_a_reason_that_was_another_is_corrected() -> None:
    known = fact("e1", "intent", "failed", 1, amount_minor=4900, reason="insufficient_funds")
    late = fact("e2", "intent", "failed", 200, amount_minor=4900, reason="expired_card")

    text = corrected(known, late=(late,))

    assert "payment pi_1 of 49.00 EUR had failed (insufficient funds). It is now known that by then" in text
    assert "payment pi_1 of 49.00 EUR had failed (expired card). As it stands now: " in text


def test_a_reason_that_an_older_version_did_not_keep_is_no_news() -> None:
    disputed = fact("e2", "dispute:dp_1", "open", 100, amount_minor=4900, reason="fraudulent")
    payment = view(PAYMENT, recorded(CAPTURED, disputed))
    assert payment is not None
    of_now = stated(payment)
    disputes = tuple(msgspec.structs.replace(each, reason=None) for each in of_now.disputes)
    of_old = msgspec.structs.replace(of_now, reason=None, disputes=disputes)
    record = AnswerRecord(
        answer_id="a-1", question="", intent="", answer="", stated=(of_old,), as_of=at(250), given_at=at(250)
    )
    lost = fact("e3", "dispute:dp_1", "lost", 200, amount_minor=4900, reason="fraudulent")

    assert untrue(record, {PAYMENT: recorded(CAPTURED, disputed)}) == ()
    [wrong] = untrue(record, {PAYMENT: recorded(CAPTURED, disputed, lost)})
    assert wrong.so is not None
    assert [each.reason for each in wrong.so.disputes] == [None]


def test_an_answer_in_vietnamese_is_corrected_in_vietnamese() -> None:
    late = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900, reason="expired_or_canceled_card")
    payment = view(PAYMENT, recorded(CAPTURED, REFUNDED), as_of=at(250))
    assert payment is not None
    record = AnswerRecord(
        answer_id="a-1", question="", intent="", answer="", stated=(stated(payment),), as_of=at(250), given_at=at(250)
    )
    facts = recorded(CAPTURED, REFUNDED, late)
    now = evidence(PAYMENT, facts)
    assert now is not None

    assert correction(untrue(record, {PAYMENT: facts}), {PAYMENT: now}, "vi") == (
        "Vào Chủ Nhật, ngày 1 tháng 3 năm 2026, chúng tôi đã cho bạn biết rằng khoản hoàn tiền re_1 trị giá 19,00 EUR "
        "của thanh toán pi_1 đã thành công. Nay được biết rằng khi đó khoản hoàn tiền re_1 trị giá 19,00 EUR của thanh "
        "toán pi_1 đã thất bại. Hiện nay: Khoản hoàn tiền re_1 trị giá 19,00 EUR của thanh toán pi_1 thất bại vào ngày "
        "1 tháng 3 năm 2026 (thẻ hết hạn hoặc đã hủy); tiền chưa được trả lại cho khách hàng."
    )
    assert reinstatement(at(0), "vi").startswith("Chúng tôi đã viết rằng điều chúng tôi nói với bạn vào Chủ Nhật")


def test_what_is_said_in_a_language_of_tomorrow_is_corrected_in_english() -> None:
    assert reinstatement(at(0), "xx") == reinstatement(at(0))
