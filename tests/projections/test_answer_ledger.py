"""The answers that a changed payment concerns are found, at a cost that other answers do not share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.answer import (
    AnswerGiven,
    AnswerInvalidated,
    AnswerRecord,
    AnswerReinstated,
    AnswerRepeated,
    Basis,
    StatedPayment,
)
from domain.conversation import MessageAnswered
from domain.ids import stream_id
from projections.answer_ledger import AnswerLedger, AnswerStore
from projections.feed import LogEntry
from tests.projections.test_projector import Memory
from tests.spec import NOON
from tests.worlds import TENANT, Entries, numbered


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    opened = AnswerStore(tmp_path / "answers.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def entries() -> Entries:
    return Entries()


def answered(entries: Entries, answer_id: str, *payment_ids: str, known_to: int = 0, **basis: Any) -> LogEntry:
    said = tuple(
        StatedPayment(payment_id=each, status="captured", amount_minor=1, currency="EUR", refunded_minor=0)
        for each in payment_ids
    )
    record = AnswerRecord(
        answer_id=answer_id,
        question="",
        intent="",
        answer="",
        stated=said,
        as_of=NOON,
        given_at=NOON,
        basis=Basis(known_to=known_to, **basis),
    )
    return entries(stream_id("answer", TENANT, answer_id), AnswerGiven(record=record))


def apply(store: AnswerStore, *entries: LogEntry) -> list[str]:
    """Returns what is due after it, and forgets it."""
    store.apply(entries, entries[-1].position)
    due = store.due(1_000)
    store.judged(due)
    return due


def test_an_answer_that_knew_all_of_its_payment_is_not_due(store: AnswerStore, entries: Entries) -> None:
    fact = entries.fact(numbered(1, "pi_1"))

    assert apply(store, fact, answered(entries, "a-1", "pi_1", known_to=fact.position)) == []


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_an_answer_is_due_whichever_of_it_and_the_fact_comes_first(
    store: AnswerStore, entries: Entries, *, is_one_batch: bool
) -> None:
    both = [
        answered(entries, "a-1", "pi_1"),
        entries.fact(numbered(1, "pi_1")),
        answered(entries, "a-2", "pi_1"),
    ]

    if is_one_batch:
        assert apply(store, *both) == ["a-1", "a-2"]
    else:
        assert [apply(store, each) for each in both] == [[], ["a-1"], ["a-2"]]


def test_only_answers_about_the_payment_are_due(store: AnswerStore, entries: Entries) -> None:
    apply(store, answered(entries, "a-1", "pi_1", "pi_2"), answered(entries, "a-2", "pi_2"), answered(entries, "a-3"))

    assert apply(store, entries.fact(numbered(1, "pi_1"))) == ["a-1"]


def test_a_fact_of_a_linked_reference_concerns_answers_about_every_other(store: AnswerStore, entries: Entries) -> None:
    answers = [answered(entries, f"a-{each}", each) for each in ("pi_1", "ch_1", "re_1", "pi_2")]
    apply(store, *answers, entries.link("ch_1", "pi_1"), entries.link("re_1", "ch_1"))

    for reference in ("pi_1", "ch_1", "re_1"):
        fact = entries.fact(numbered(entries._position, reference))
        assert apply(store, fact) == ["a-ch_1", "a-pi_1", "a-re_1"]


def test_links_in_a_circle_end(store: AnswerStore, entries: Entries) -> None:
    apply(store, answered(entries, "a-1", "pi_1"))

    assert apply(store, entries.link("pi_1", "pi_2"), entries.link("pi_2", "pi_1")) == ["a-1"]
    assert store.family("pi_2") == {"pi_1", "pi_2"}


def test_a_repeat_is_due_if_its_payment_has_changed_since_the_answer(store: AnswerStore, entries: Entries) -> None:
    apply(store, answered(entries, "a-1", "pi_1"), answered(entries, "a-2", "pi_2"))
    apply(store, entries.fact(numbered(1, "pi_1")))

    repeats = [
        entries(stream_id("answer", TENANT, each), AnswerRepeated(given_at=NOON, count=2)) for each in ("a-1", "a-2")
    ]
    assert apply(store, *repeats) == ["a-1"]


def test_an_answer_as_known_at_a_position_is_never_due(store: AnswerStore, entries: Entries) -> None:
    assert apply(store, answered(entries, "a-1", "pi_1", known_at=0), entries.fact(numbered(1, "pi_1"))) == []


def test_what_is_due_stays_so_until_it_is_judged(tmp_path: Path, entries: Entries) -> None:
    store = AnswerStore(tmp_path / "answers.sqlite")
    last = entries.fact(numbered(1, "pi_1"))
    store.apply([answered(entries, "a-1", "pi_1"), last], last.position + 1)
    store.close()

    again = AnswerStore(tmp_path / "answers.sqlite")

    assert (again.store.position(), again.due(10)) == (2, ["a-1"])
    again.judged(["a-1"])
    assert again.due(10) == []
    again.close()


def steps(store: AnswerStore, entry: LogEntry) -> int:
    """How many instructions SQLite runs to apply an event."""
    run = 0

    def count() -> None:
        nonlocal run
        run += 1

    with store.store.reading() as connection:
        connection.set_progress_handler(count, 1)
        due = apply(store, entry)
        connection.set_progress_handler(None, 1)
    assert due == ["a-1"]
    return run


@pytest.mark.long
def test_ten_thousand_answers_about_other_payments_do_not_change_the_work_for_one(
    store: AnswerStore, entries: Entries
) -> None:
    apply(store, answered(entries, "a-1", "pi_1"))
    alone = steps(store, entries.fact(numbered(1, "pi_1")))

    apply(store, *(answered(entries, f"b-{number}", f"pi_o{number}") for number in range(10_000)))
    apply(store, *(entries.fact(numbered(number, f"pi_o{number}")) for number in range(2, 100)))

    assert steps(store, entries.fact(numbered(1_000, "pi_1"))) == pytest.approx(alone, rel=0.05)


def judged(entries: Entries, answer_id: str, *, is_wrong: bool) -> LogEntry:
    event = AnswerInvalidated(untrue=()) if is_wrong else AnswerReinstated()
    return entries(stream_id("answer", TENANT, answer_id), event)


def test_the_last_word_about_an_answer_is_listed_where_it_lies(store: AnswerStore, entries: Entries) -> None:
    apply(store, judged(entries, "a-1", is_wrong=True), judged(entries, "a-2", is_wrong=True))
    apply(store, judged(entries, "a-1", is_wrong=False))

    assert [(each.answer_id, each.position, each.is_wrong) for each in store.corrections(0, limit=10)] == [
        ("a-2", 2, True),
        ("a-1", 3, False),
    ]
    assert [each.answer_id for each in store.corrections(0, limit=1)] == ["a-2"]
    assert [each.answer_id for each in store.corrections(2, limit=10)] == ["a-1"]


@pytest.mark.parametrize(("was_sent", "is_to_be_sent"), [(True, True), (False, False)])
def test_taking_back_is_told_to_those_who_were_told(
    store: AnswerStore, entries: Entries, *, was_sent: bool, is_to_be_sent: bool
) -> None:
    apply(store, judged(entries, "a-1", is_wrong=True))
    [told] = store.corrections(0, limit=1, is_open=True)
    store.settle(told, is_published=True, is_sent=was_sent)

    apply(store, judged(entries, "a-1", is_wrong=False))

    [back] = store.corrections(0, limit=1)
    assert back.is_sent is not is_to_be_sent
    store.settle(back, is_published=True, is_sent=True)
    assert store.corrections(0, limit=1, is_open=True) == []


def test_what_became_of_an_older_correction_says_nothing_of_a_newer_one(store: AnswerStore, entries: Entries) -> None:
    apply(store, judged(entries, "a-1", is_wrong=True))
    [old] = store.corrections(0, limit=1)
    apply(store, judged(entries, "a-1", is_wrong=True))

    store.settle(old, is_published=True, is_sent=True)

    [new] = store.corrections(0, limit=1, is_open=True)
    assert (new.is_published, new.is_sent) == (False, False)


def test_a_correction_knows_the_conversation_in_which_the_answer_was_given(
    store: AnswerStore, entries: Entries
) -> None:
    said = MessageAnswered(message_id="m_1", answer_id="a-1", text="")
    apply(store, judged(entries, "a-1", is_wrong=True), judged(entries, "a-2", is_wrong=True))
    apply(store, entries(stream_id("conversation", TENANT, "zalo:1"), said))

    assert [each.conversation_id for each in store.corrections(0, limit=2)] == ["zalo:1", ""]
    assert (store.conversation_of("a-1"), store.conversation_of("a-2")) == ("zalo:1", "")


def test_no_more_stores_stay_open_than_may_and_none_is_closed_that_somebody_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    monkeypatch.setattr("projections.answer_ledger.STORES_OPEN_MAX", 2)
    ledger = AnswerLedger(Memory([]), tmp_path)
    held = ledger.store("acme")
    for number in range(5):
        ledger.store(f"tenant-{number}")

    assert sorted(ledger._alive) == ["acme", "tenant-3", "tenant-4"]
    assert ledger.store("acme") is held
    apply(held, answered(entries, "a-1", "pi_1"))
    del held
    ledger.store("tenant-3")
    ledger.store("tenant-4")
    assert sorted(ledger._alive) == ["tenant-3", "tenant-4"]
    assert ledger.store("acme").store.position() == 1
    ledger.close()
