"""The lexical index ends in the newest versions, whatever is repeated, reordered, withdrawn or lost."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from projections.chunking import Chunk, chunks
from projections.lexical import LexicalIndex
from projections.words import Tally, passage_words, rank

TEXTS = (
    "A refund is paid to the card within five working days.",
    "A payout to the bank takes two days, weekends excepted.",
    "Cards that were declined may be tried again. A declined card costs nothing.",
    "Disputes are decided by the bank of the customer, not by us.",
    "Hoàn tiền về thẻ mất năm ngày làm việc.",
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LexicalIndex]:
    opened = LexicalIndex(tmp_path / "lexical")
    yield opened
    opened.close()


def parts(document_id: str, version: int, *texts: str) -> Sequence[Chunk]:
    sections = (f"## Part {number}\n\n{text}\n\n" for number, text in enumerate(texts))
    return chunks(document_id, version, document_id, "".join(sections))


def found(index: LexicalIndex, question: str, top_k: int = 10) -> list[str]:
    index.flush()
    return [hit.chunk_id for hit in index.query([question], top_k)[0]]


def ids(*of: Chunk) -> set[str]:
    return {each.chunk_id for each in of}


def test_words_are_found_in_any_form_and_without_accents(index: LexicalIndex) -> None:
    refund, payout, card, dispute, vietnamese = written = parts("help", 1, *TEXTS)
    index.apply(written, {}, position=1)

    assert found(index, "REFUNDS?") == [refund.chunk_id]
    assert found(index, "hoan tien") == found(index, "Hoàn tiền") == [vietnamese.chunk_id]
    assert found(index, "disputed payouts") == [payout.chunk_id, dispute.chunk_id]
    assert found(index, "declining")[0] == card.chunk_id
    index.flush()
    assert index.query(["", "?! AND (", "zebra"], 5) == [[], [], []]


def test_the_grammar_of_a_question_finds_nothing_unless_there_is_nothing_else(index: LexicalIndex) -> None:
    index.apply(parts("help", 1, *TEXTS), {}, position=1)

    assert found(index, "What is the zebra?") == []
    assert len(found(index, "Is it to be?")) == 3


def test_it_scores_and_finds_as_the_exact_search(index: LexicalIndex) -> None:
    rng = random.Random(5)
    written = [part for number in range(60) for part in parts(f"doc-{number}", 1, *rng.sample(TEXTS, 3))]
    index.apply(written, {}, position=1)
    index.flush()
    questions = ["How many days does a refund to my card take?", "declined card", "bank of the customer", "doc 7"]

    for question, hits in zip(questions, index.query(questions, len(written)), strict=True):
        tally = Tally(question)
        for each in written:
            tally.add([passage_words(each)])
        exact = {each.chunk_id: float(score) for each, score in zip(written, tally.scores(), strict=True) if score > 0}
        # The one entry that keeps the position counts as a passage without words.
        assert {hit.chunk_id: hit.score for hit in hits} == pytest.approx(exact, rel=0.03, abs=0.02)
        assert hits[0].chunk_id == written[rank(tally.scores(), [each.chunk_id for each in written], 1)[0]].chunk_id


def test_an_older_version_never_replaces_a_newer_one(index: LexicalIndex) -> None:
    newer = parts("help", 2, TEXTS[0])
    index.apply(newer, {}, position=20)

    index.apply(parts("help", 1, TEXTS[1]), {}, position=30)
    index.apply([], {"help": 1}, position=31)

    index.flush()
    assert index.versions() == dict.fromkeys(ids(*newer), 2)
    assert (found(index, "payout"), index.position()) == ([], 31)


def test_a_withdrawn_document_is_gone_and_no_late_version_brings_it_back(index: LexicalIndex) -> None:
    index.apply(parts("help", 1, *TEXTS), {}, position=1)
    other = parts("other", 1, TEXTS[0])
    index.apply(other, {"help": 3}, position=2)

    index.apply(parts("help", 2, *TEXTS), {}, position=3)
    assert set(found(index, "refund")) == ids(*other)
    again = parts("help", 4, TEXTS[0])
    index.apply(again, {}, position=4)

    assert set(found(index, "refund")) == ids(*other, *again)


def test_content_and_position_outlive_the_process_and_are_written_in_one_commit(tmp_path: Path) -> None:
    first = LexicalIndex(tmp_path / "lexical")
    written = parts("help", 1, *TEXTS)
    first.apply(written, {"gone": 3}, position=2**40)
    first.close()
    first.close()

    second = LexicalIndex(tmp_path / "lexical")
    second.apply(parts("gone", 2, TEXTS[0]), {}, position=7)

    second.flush()
    assert second.position() == 2**40
    assert set(second.versions()) == ids(*written)
    second.close()


def test_what_cannot_be_committed_is_told_and_tried_again(index: LexicalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(index, "_write", full)
        index.apply(parts("help", 1, TEXTS[0]), {}, position=1)
        with pytest.raises(OSError, match="disk"):
            index.flush()
    assert index.position() == 0

    with pytest.raises(OSError, match="disk"):
        index.apply(parts("help", 1, TEXTS[0]), {}, position=1)
    index.apply(parts("help", 1, TEXTS[0]), {}, position=1)

    assert len(found(index, "refund")) == 1
    assert index.position() == 1


def full(*_: object) -> None:
    raise OSError("the disk is full")


def test_what_a_crash_kept_from_its_commit_moved_no_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = LexicalIndex(tmp_path / "lexical")
    first.apply(parts("help", 1, *TEXTS), {}, position=1)
    first.flush()
    monkeypatch.setattr(first, "_write", full)
    first.apply(parts("help", 2, TEXTS[0]), {}, position=2)
    first.close()

    second = LexicalIndex(tmp_path / "lexical")

    assert (second.position(), set(second.versions().values())) == (1, {1})
    second.close()


def test_a_directory_that_another_writes_is_waited_for(tmp_path: Path) -> None:
    first, second = LexicalIndex(tmp_path / "lexical"), LexicalIndex(tmp_path / "lexical")
    first.apply(parts("help", 1, TEXTS[0]), {}, position=1)
    first.flush()

    second.apply(parts("help", 2, TEXTS[1]), {}, position=2)
    with pytest.raises(ValueError, match="LockBusy"):
        second.flush()
    first.close()
    with pytest.raises(ValueError, match="LockBusy"):
        second.apply([], {}, position=2)

    assert len(found(second, "payout")) == 1
    second.close()


@pytest.mark.parametrize("damage", ["layout", "meta.json"])
def test_another_layout_or_a_damaged_index_is_begun_anew(damage: str, tmp_path: Path) -> None:
    first = LexicalIndex(tmp_path / "lexical")
    first.apply(parts("help", 1, *TEXTS), {}, position=5)
    first.close()
    (tmp_path / "lexical" / damage).write_text("other")

    second = LexicalIndex(tmp_path / "lexical")

    assert (second.position(), second.versions()) == (0, {})
    second.apply(parts("help", 1, *TEXTS), {}, position=5)
    second.flush()
    assert len(second.versions()) == len(TEXTS)
    second.close()


@pytest.mark.parametrize("seed", range(3))
def test_any_order_any_repetition_and_any_batching_end_in_the_same_content(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    index = LexicalIndex(tmp_path / "lexical")
    log = [
        (name, version, rng.sample(TEXTS, rng.choice((0, 1, 3)))) for name in ("a", "b", "c") for version in range(1, 5)
    ]
    content = {
        each: version for name, version, texts in log if version == 4 for each in ids(*parts(name, version, *texts))
    }
    delivered = log + rng.sample(log, 6)
    rng.shuffle(delivered)
    while delivered:
        batch = [delivered.pop() for _ in range(min(len(delivered), rng.randint(1, 4)))]
        index.apply(
            [part for name, version, texts in batch for part in parts(name, version, *texts)],
            {name: version for name, version, texts in sorted(batch) if not texts},
            position=len(delivered),
        )

    index.flush()
    assert index.versions() == content
    index.close()
