"""Which sentences of a passage are quoted, and that they stand in it letter by letter."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.answering.quote import QUOTE_CHARS_MAX, quote
from tests.gateway.answering.examples import passage


def quoted(question: str, text: str) -> str:
    found = quote(question, [passage(text)], min_score=0.35)
    assert found is not None
    return found.quote


POLICY = (
    "# Delivery\n\nParcels leave within two days. Delivery abroad takes longer, e.g. two weeks to Japan.\n\n"
    "# Returns\n\nHow do I return an item?\nPrint the label and bring the parcel to a shop. "
    "The label is free.\n\n- Underwear cannot be returned.\n- Gift cards are not refundable."
)


def test_the_sentence_that_shares_the_rarest_words_is_quoted() -> None:
    assert quoted("How long does delivery abroad take?", POLICY) == (
        "Delivery abroad takes longer, e.g. two weeks to Japan."
    )
    assert quoted("are gift cards refunded", POLICY) == "- Gift cards are not refundable."


def test_a_question_in_the_text_is_quoted_with_what_answers_it() -> None:
    assert quoted("How can I return an item?", POLICY) == (
        "How do I return an item?\nPrint the label and bring the parcel to a shop."
    )


def test_a_heading_is_not_quoted_for_itself() -> None:
    assert quoted("delivery", "Delivery\n\nDelivery takes two days.") == "Delivery takes two days."
    assert quoted("delivery", "Delivery") == "Delivery"


def test_without_a_word_in_common_the_passage_is_quoted_from_its_beginning() -> None:
    assert quoted("xyzzy?", POLICY) == "Parcels leave within two days."


def test_vietnamese_is_compared_without_marks() -> None:
    assert quoted("hoan tien mat bao lau", "Giao hàng miễn phí. Hoàn tiền mất 5 ngày.") == "Hoàn tiền mất 5 ngày."


def test_a_sentence_that_is_too_long_is_cut_at_a_word() -> None:
    text = "refund " * 100

    assert quoted("refund?", text) == ("refund " * 43).strip()
    assert quoted("refund?", "x" * 1000) == "x" * QUOTE_CHARS_MAX


def test_an_empty_passage_gives_no_quotation() -> None:
    assert quote("refund?", [passage(" \n ")], min_score=0.1) is None
    assert quote("refund?", [], min_score=0.1) is None


def test_the_nearest_passage_is_quoted_whatever_its_words() -> None:
    near, far = passage("Nothing in common.", 0.9), passage("A refund takes days.", 0.8)

    found = quote("refund?", [far, near], min_score=0.35)

    assert found is not None
    assert found.quote == "Nothing in common."


@given(st.text(max_size=80), st.text("ab .!?:\n-#1)", max_size=900) | st.text(max_size=900))
def test_a_quotation_stands_in_the_text_letter_by_letter(question: str, text: str) -> None:
    found = quote(question, [passage(text)], min_score=0.35)

    assert (found is None) == (not text.strip())
    if found is not None:
        assert found.quote in text
        assert 0 < len(found.quote) <= QUOTE_CHARS_MAX
        assert found.quote == found.quote.strip()
