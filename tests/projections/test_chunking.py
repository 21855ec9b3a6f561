"""Passages keep their place in the document, stay within a section, and never end inside a sentence."""

import json
import random
import time
from itertools import pairwise
from pathlib import Path

import pytest

from projections.chunking import CHARS_MAX, CHARS_TARGET, PlacedChunk, chunks, document_of, sentences

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"

POLICY = """\
# Refunds

A refund is paid to the card that was charged. It takes 5 to 10 business days.

## Failed refunds

If the card is closed, e.g. after a loss, the bank sends the refund back. We then write to you.

### Another account

1. Open the payment.
2. Choose "Pay to another account".

## Fees
"""


def passages(text: str, title: str = "") -> list[PlacedChunk]:
    return chunks("policy", 1, title, text)


def quoted(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def filler(sentence_count: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    words = "refund card bank payment customer business days account charge dispute".split()
    return " ".join(
        " ".join(rng.choices(words, k=rng.randint(4, 18))).capitalize() + "." for _ in range(sentence_count)
    )


def assert_in_place(found: list[PlacedChunk], text: str) -> None:
    for each in found:
        assert text[each.start : each.end] == each.text
        assert each.text == each.text.strip() != ""
        assert len(each.text) <= CHARS_MAX
    for before, after in pairwise(found):
        assert before.end <= after.start


def test_a_passage_carries_the_headings_above_it() -> None:
    found = passages(POLICY, title="Refund policy")

    assert [each.heading for each in found] == [
        "Refund policy > Refunds",
        "Refund policy > Refunds > Failed refunds",
        "Refund policy > Refunds > Failed refunds > Another account",
        "Refund policy > Refunds > Fees",
    ]
    assert found[1].text.startswith("If the card is closed")
    assert found[1].embedded == f"{found[1].heading}\n{found[1].text}"
    assert_in_place(found, POLICY)


def test_a_title_that_the_first_heading_repeats_is_said_once() -> None:
    assert passages("# Refunds\n\nFive days.", title="Refunds")[0].heading == "Refunds"


def test_underlined_words_are_a_heading_and_a_ruler_is_not() -> None:
    found = passages("Refunds\n=======\n\nFive days.\n\nFees\n----\nNone.\n\n---\n\nThe end.")

    assert [(each.heading, each.text) for each in found] == [
        ("Refunds", "Five days."),
        ("Refunds > Fees", "None.\n\n---\n\nThe end."),
    ]


def test_a_heading_with_nothing_under_it_is_a_passage() -> None:
    assert [each.text for each in passages("## Refunds are free\n\n## Disputes cost 15 EUR")] == [
        "## Refunds are free",
        "## Disputes cost 15 EUR",
    ]


def test_a_comment_in_a_code_block_is_not_a_heading() -> None:
    found = passages("# Install\n\n```sh\n# as root\n\napt install\n```\n\nDone.")

    assert [each.heading for each in found] == ["Install"]
    assert "# as root" in found[0].text


def test_front_matter_is_no_passage() -> None:
    found = passages("---\ntags:\n  - refund\n---\n\n# Refunds\n\nFive days.")

    assert [(each.heading, each.text) for each in found] == [("Refunds", "Five days.")]


def test_short_paragraphs_of_a_section_share_a_passage() -> None:
    text = "\n\n".join(filler(3, seed) for seed in range(12))

    found = passages(text)

    assert 1 < len(found) < 12
    assert all(each.text.count("\n\n") for each in found)
    assert all(len(each.text) <= CHARS_TARGET for each in found)


def test_no_passage_ends_inside_a_sentence() -> None:
    text = filler(200)
    ends = {end for _, end in sentences(text)}

    found = passages(text)

    assert len(found) > 10
    assert {each.end for each in found} <= ends
    assert_in_place(found, text)


def test_a_sentence_longer_than_a_passage_is_cut_between_words() -> None:
    text = "refund " * 500 + "ends here."

    found = passages(text)

    assert_in_place(found, text)
    assert " ".join(each.text for each in found) == text
    assert {len(each.text) for each in passages("a" * (2 * CHARS_MAX))} == {CHARS_MAX}


def test_nothing_that_can_be_read_is_left_out_or_said_twice() -> None:
    rng = random.Random(7)
    for _ in range(60):
        blocks = [
            rng.choice([filler(rng.randint(1, 30), rng.randrange(1_000)), "- one\n- two", "| a | b |"])
            for _ in range(9)
        ]
        text = "\n\n".join(blocks)

        found = passages(text)

        assert_in_place(found, text)
        assert "".join("".join(each.text.split()) for each in found) == "".join(text.split())


def test_a_blank_document_has_no_passage_and_any_other_has_one() -> None:
    assert passages(" \n\r\n\t ") == []
    assert [each.text for each in passages("?")] == ["?"]
    assert [each.text for each in passages("---\n")] == ["---"]


def test_a_passage_keeps_its_id_as_long_as_it_and_its_headings_stay_wherever_it_stands() -> None:
    first = chunks("policy", 1, "Refunds", "Five days.\n\n## Fees\n\nNone.")
    second = chunks("policy", 2, "Refunds", "Ten days.\n\n## Cards\n\nAll.\n\n## Fees\n\nNone.")
    renamed = chunks("policy", 3, "Returns", "Ten days.\n\n## Fees\n\nNone.")

    assert first[1].chunk_id == second[2].chunk_id == f"policy#{first[1].digest[:16]}"
    assert first[1].digest == second[2].digest
    assert len({each.chunk_id for each in (*first, *second)}) == 4
    assert not {each.chunk_id for each in second} & {each.chunk_id for each in renamed}


def test_a_passage_that_a_document_has_again_has_an_id_of_its_own() -> None:
    text = "\n\n".join(["## Fees\n\nNone."] * 3)

    ids = [each.chunk_id for each in chunks("policy", 1, "Refunds", text)]

    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]
    assert {document_of(each) for each in ids} == {"policy"}


def test_in_plain_text_no_line_is_a_heading_and_nothing_is_front_matter() -> None:
    text = "---\nkind: note\n---\n\n# 1 in the queue\nis Ann.\n\nTotals\n======\n"

    [passage] = chunks("log", 1, "Log", text, text_format="plain")

    assert (passage.heading, passage.text) == ("Log", text.strip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paid. Refunded! Really? Yes.", ["Paid.", "Refunded!", "Really?", "Yes."]),
        ("It costs 4.50 EUR. See example.com for more.", ["It costs 4.50 EUR.", "See example.com for more."]),
        (
            "Ask Dr. Smith, J. Doe or the U.S. office. Then wait.",
            ["Ask Dr. Smith, J. Doe or the U.S. office.", "Then wait."],
        ),
        ("Cards, e.g. Visa, are fine. Cf. section 3.", ["Cards, e.g. Visa, are fine.", "Cf. section 3."]),
        ("The answer is no. Order No. 5 is paid.", ["The answer is no.", "Order No. 5 is paid."]),
        ('He said "It failed." Then he left.', ['He said "It failed."', "Then he left."]),
        ("- Open the\n  payment\n- Refund it", ["Open the\n  payment", "Refund it"]),
        ("1. Open it.\n2. Refund it.", ["Open it.", "Refund it."]),
        ("# Fees\nNone.\nReally none.", ["Fees", "None.", "Really none."]),
        ("| Fee | 2 % |\n|-----|-----|\n| Tax | 0 % |", ["| Fee | 2 % |", "| Tax | 0 % |"]),
        (
            "Hoàn tiền mất 5 ngày. Ở TP. Hồ Chí Minh thì nhanh hơn.",
            ["Hoàn tiền mất 5 ngày.", "Ở TP. Hồ Chí Minh thì nhanh hơn."],
        ),
        ("退款需要五天。请等待。", ["退款需要五天。", "请等待。"]),
        ("One line.\r\n\r\nAnother line.\r\n", ["One line.", "Another line."]),
        ("Wait... then ask. ***", ["Wait... then ask."]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert quoted(text) == expected


@pytest.mark.long
@pytest.mark.parametrize(
    "unit",
    [".", "#", "\n", "a", " ", ". ", "- ", "```\n", "\n#", "`", "1. ", "=\n", "x\n---\n", ".\n", "> ", "|", "。"],
)
def test_a_hostile_document_takes_linear_time(unit: str) -> None:
    def once(text: str) -> float:
        begun = time.process_time()
        passages(text)
        sentences(text)
        return time.process_time() - begun

    def seconds(length: int) -> float:
        text = unit * (length // len(unit)) + "x"
        assert_in_place(passages(text), text)
        # The least of some: the rest is the garbage collector and whoever shares the caches.
        return min(once(text) for _ in range(3))

    assert seconds(40_000) < 16 * 4 * max(seconds(2_500), 0.001)


@pytest.mark.long
@pytest.mark.parametrize("name", ["tau3_banking_knowledge/documents.jsonl", "btcpay_docs/docs_head.jsonl"])
def test_recorded_documents_are_cut_in_place(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not beside the repository")
    documents = [json.loads(line) for line in (DATA / name).read_text().splitlines()]
    found = 0
    for document in documents:
        text = document.get("text") or document["content"]
        parts = passages(text, title=document.get("title") or document["path"])
        assert_in_place(parts, text)
        for part in parts:
            assert all(quote.strip() == quote != "" for quote in quoted(part.text))
        found += len(parts)

    assert found >= len(documents)
