"""What a question names is read as people write it: ids of all providers, order numbers, amounts, days, language."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import format_amount
from gateway.answering.amounts import Amount, amounts_in
from gateway.answering.days import Days, days_in
from gateway.answering.language import language_of
from gateway.answering.references import NAMED_MAX, references_in
from gateway.answering.understand import understand
from gateway.answering.words import plain, words

MONDAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Where is 8MC585209K746392H?", [("8MC585209K746392H", "payment")]),
        ("PAYID-L7A2CZA0MB12345AB678901C", [("PAYID-L7A2CZA0MB12345AB678901C", "payment")]),
        ("case PP-D-4012 and PP-R-KJR-10084231", [("PP-D-4012", "dispute"), ("PP-R-KJR-10084231", "dispute")]),
        ("NC6HT9CRT65ZGN82 was refused", [("NC6HT9CRT65ZGN82", "payment")]),
        ("psp reference: 8536214160615591", [("8536214160615591", "payment")]),
        ("giao dịch 210608_2553_1623145380738", [("210608_2553_1623145380738", "payment")]),
        ("mã giao dịch: 2588663123 đâu rồi", [("2588663123", "payment")]),
        ("refund for order 12345?", [("12345", "order")]),
        ("order number is A-17-b, please", [("A-17-b", "order")]),
        ("#10023 has not come", [("10023", "order")]),
        ("đơn hàng DH-2026-001 hoàn tiền chưa", [("DH-2026-001", "order")]),
        ("don hang so 88231 sao roi", [("88231", "order")]),
        ("my dispute case 448812", [("448812", "dispute")]),
        ("pi_1, pi_1 and pi_2", [("pi_1", "payment"), ("pi_2", "payment")]),
        # Written with full-width letters or with what cannot be seen in between, it is the same id.
        (plain("\uff50\uff49_1 and re_\u200b2"), [("pi_1", "payment"), ("re_2", "refund")]),
    ],
)
def test_an_id_is_known_by_its_form_or_by_the_word_before_it(text: str, named: list[tuple[str, str]]) -> None:
    assert [(each.id, each.of) for each in references_in(text)] == named


@pytest.mark.parametrize(
    "text",
    [
        "my payment 49.00",
        "order 4900 VND",
        "order 2 days ago",
        "payment 2026-11-02",
        "payment 500k",
        "the payment of 1.000.000đ",
        "order at 10:22",
        "charged 100 times",
        "my card 4111 1111 1111 1111",
        "4111111111111111",
        "call 0912345678",
        "ORDER",
        "orders",
    ],
)
def test_what_is_no_id_is_not_read_as_one(text: str) -> None:
    assert references_in(text) == []


def test_no_question_has_more_ids_looked_up_than_a_person_would_name() -> None:
    assert len(references_in(" ".join(f"pi_{number}" for number in range(200)))) == NAMED_MAX


@pytest.mark.parametrize(
    ("text", "amount_minor", "currency"),
    [
        ("49,00 €", 4900, "EUR"),
        ("49,00", 4900, ""),
        ("1.000.000đ", 1_000_000, "VND"),
        ("1.000.000 đồng", 1_000_000, "VND"),
        ("500k", 500_000, "VND"),
        ("500K", 500_000, "VND"),
        ("500 nghìn", 500_000, "VND"),
        ("200 ngàn đồng", 200_000, "VND"),
        ("1tr", 1_000_000, "VND"),
        ("1tr5", 1_500_000, "VND"),
        ("1,5 triệu", 1_500_000, "VND"),
        ("2 tỷ", 2_000_000_000, "VND"),
        ("5k EUR", 500_000, "EUR"),
        ("50.000 ₫", 50_000, "VND"),
    ],
)
def test_an_amount_is_read_as_it_is_written(text: str, amount_minor: int, currency: str) -> None:
    [found] = amounts_in(f"I paid {text} for it")

    assert found.amount == Amount(amount_minor=amount_minor, currency=currency)


@given(st.integers(0, 10**11), st.sampled_from(["EUR", "USD", "VND", "JPY", "KWD"]), st.sampled_from(["en", "vi"]))
def test_an_amount_as_answers_write_it_is_read_back_in_every_language(
    amount_minor: int, currency: str, language: str
) -> None:
    [found] = amounts_in(format_amount(amount_minor, currency, language))

    assert found.amount == Amount(amount_minor=amount_minor, currency=currency)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("I paid yesterday", "2026-11-22", "2026-11-22"),
        ("the day before yesterday", "2026-11-21", "2026-11-21"),
        ("3 days ago", "2026-11-20", "2026-11-20"),
        ("two days ago", "2026-11-21", "2026-11-21"),
        ("last Tuesday", "2026-11-17", "2026-11-17"),
        ("on Monday", "2026-11-16", "2026-11-16"),
        ("last week Monday", "2026-11-16", "2026-11-16"),
        ("last week", "2026-11-16", "2026-11-22"),
        ("last month", "2026-10-01", "2026-10-31"),
        ("a week ago", "2026-11-13", "2026-11-19"),
        ("on 3 March", "2026-03-03", "2026-03-03"),
        ("December 24th", "2025-12-24", "2025-12-24"),
        ("March 3rd, 2025", "2025-03-03", "2025-03-03"),
        ("2026-03-03", "2026-03-03", "2026-03-03"),
        ("in October", "2026-10-01", "2026-10-31"),
        ("hôm qua", "2026-11-22", "2026-11-22"),
        ("hom kia", "2026-11-21", "2026-11-21"),
        ("tuần trước", "2026-11-16", "2026-11-22"),
        ("thứ ba tuần trước", "2026-11-17", "2026-11-17"),
        ("thứ hai", "2026-11-16", "2026-11-16"),
        ("2 ngày trước", "2026-11-21", "2026-11-21"),
        ("ngày 3/3", "2026-03-03", "2026-03-03"),
        ("ngày 5 tháng 11", "2026-11-05", "2026-11-05"),
        ("tháng trước", "2026-10-01", "2026-10-31"),
        ("12/03/2026", "2026-03-12", "2026-03-12"),
    ],
)
def test_days_are_counted_back_from_today(text: str, first: str, last: str) -> None:
    expected = Days(first=date.fromisoformat(first), last=date.fromisoformat(last))

    assert days_in(f"Hello, {text} please", MONDAY) == expected


@pytest.mark.parametrize(
    "text", ["", "31 February", "pi_3", "version 3.12", "how many days", "0000-01-01", "32/13/2026"]
)
def test_what_is_no_day_is_not_read_as_one(text: str) -> None:
    assert days_in(text, MONDAY) is None


@given(st.text(max_size=100), st.dates())
def test_any_text_names_days_or_none_on_any_day(text: str, today: date) -> None:
    days = days_in(text, today)

    assert days is None or days.holds(datetime(2026, 1, 1, tzinfo=UTC)) in {True, False}


def test_a_day_begins_and_ends_where_the_asker_is() -> None:
    days = Days(first=MONDAY, last=MONDAY)
    late_on_sunday = datetime(2026, 11, 22, 18, tzinfo=UTC)

    assert not days.holds(late_on_sunday)
    assert days.holds(late_on_sunday, ZoneInfo("Asia/Ho_Chi_Minh"))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Where is my refund?"),
        ("en", "pi_1"),
        ("en", "Where is the refund of Nguyễn Văn A?"),
        ("en", "Was I charged 50.000đ twice?"),
        ("vi", "Tiền hoàn của tôi ở đâu?"),
        ("vi", "tien hoan cua toi dau roi"),
        ("vi", "refund chưa ạ"),
        ("vi", "pi_1 sao rồi"),
    ],
)
def test_the_language_is_that_of_most_words(language: str, text: str) -> None:
    assert language_of(text, words(text)) == language


def test_vietnamese_is_understood_with_and_without_its_marks() -> None:
    for marked, bare in [
        ("Tiền hoàn của tôi ở đâu?", "Tien hoan cua toi o dau?"),
        ("Tôi bị trừ tiền hai lần", "Toi bi tru tien hai lan"),
        ("Khi nào tôi nhận được tiền bán hàng?", "Khi nao toi nhan duoc tien ban hang?"),
    ]:
        assert understand(marked).intent == understand(bare).intent != "unknown"
        assert understand(marked).language == understand(bare).language == "vi"
