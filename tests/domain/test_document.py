"""Versions of a document: published, the same again, withdrawn."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest

from domain.document import (
    TEXT_CHARS_MAX,
    Document,
    DocumentCommand,
    DocumentDated,
    DocumentDecider,
    DocumentPublished,
    DocumentWithdrawn,
    PutDocument,
    WithdrawDocument,
)
from tests.spec import given

DECIDER = DocumentDecider()
PUT = PutDocument(document_id="refunds", title="Refunds", text="Within five days.", metadata={"locale": "en"})
FIRST = DocumentPublished(
    document_id="refunds", version=1, title="Refunds", text="Within five days.", metadata={"locale": "en"}
)
WITHDRAWN = DocumentWithdrawn(document_id="refunds", version=2)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(text: str, minutes: int, sequence: int | None = None) -> PutDocument:
    """A version that was written some minutes after noon."""
    at = NOON + timedelta(minutes=minutes)
    return PutDocument(document_id="refunds", title="Refunds", text=text, changed_at=at, sequence=sequence)


def withdraw(minutes: int) -> WithdrawDocument:
    return WithdrawDocument(document_id="refunds", changed_at=NOON + timedelta(minutes=minutes))


def dated(minutes: int, sequence: int | None = None) -> DocumentDated:
    return DocumentDated(document_id="refunds", changed_at=NOON + timedelta(minutes=minutes), sequence=sequence)


def published(version: int, text: str) -> DocumentPublished:
    return DocumentPublished(document_id="refunds", version=version, title="Refunds", text=text)


def after(commands: Sequence[DocumentCommand]) -> Document:
    """The document after these commands, in this order."""
    state = DECIDER.initial()
    for command in commands:
        for event in DECIDER.decide(state, command, NOON):
            state = DECIDER.evolve(state, event)
    return state


def test_the_first_version_is_1() -> None:
    given(DECIDER).when(PUT).then(FIRST)


def test_the_same_content_again_is_no_version() -> None:
    given(DECIDER, FIRST).when(PUT).then_nothing()


@pytest.mark.parametrize("change", [{"title": "Money back"}, {"text": "Within ten days."}, {"metadata": {}}])
def test_another_content_is_the_next_version(change: dict[str, object]) -> None:
    second = msgspec.structs.replace(FIRST, version=2, **change)

    given(DECIDER, FIRST).when(msgspec.structs.replace(PUT, **change)).then(second)


def test_withdrawing_is_a_version_too() -> None:
    given(DECIDER, FIRST).when(WithdrawDocument()).then(WITHDRAWN).when(WithdrawDocument()).then_nothing()


def test_a_withdrawn_document_may_be_published_again_as_it_was() -> None:
    given(DECIDER, FIRST, WITHDRAWN).when(PUT).then(msgspec.structs.replace(FIRST, version=3))


def test_what_was_never_published_cannot_be_withdrawn() -> None:
    given(DECIDER).when(WithdrawDocument()).then_rejected("document.unknown")


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_document_needs_text(text: str) -> None:
    given(DECIDER, FIRST).when(msgspec.structs.replace(PUT, text=text)).then_rejected("document.empty")


def test_a_document_has_a_length_at_most() -> None:
    longest = msgspec.structs.replace(PUT, text="a" * TEXT_CHARS_MAX)
    too_long = msgspec.structs.replace(PUT, text="a" * (TEXT_CHARS_MAX + 1))

    given(DECIDER).when(longest).then(msgspec.structs.replace(FIRST, text=longest.text))
    given(DECIDER).when(too_long).then_rejected("document.too_long")


def test_a_change_says_where_it_stands() -> None:
    given(DECIDER).when(put("Five days.", 1)).then(published(1, "Five days."), dated(1))


def test_an_older_change_that_comes_late_changes_nothing() -> None:
    now = given(DECIDER, published(1, "Ten days."), dated(5, 70))

    now.when(put("Five days.", 4, 90)).then_nothing()
    now.when(put("Five days.", 5, 69)).then_nothing()
    now.when(withdraw(4)).then_nothing()


def test_the_sequence_orders_changes_of_the_same_time() -> None:
    given(DECIDER, published(1, "Ten days."), dated(5, 70)).when(put("Two days.", 5, 71)).then(
        published(2, "Two days."), dated(5, 71)
    )


def test_of_two_changes_at_one_place_the_last_to_come_counts() -> None:
    given(DECIDER, published(1, "Ten days."), dated(5)).when(put("Two days.", 5)).then(published(2, "Two days."))


def test_a_newer_change_that_says_the_same_keeps_out_what_is_between() -> None:
    given(DECIDER, published(1, "Five days."), dated(1)).when(put("Five days.", 9)).then(dated(9)).when(
        put("Ten days.", 5)
    ).then_nothing()


def test_a_withdrawal_that_comes_first_keeps_out_the_version_that_it_withdraws() -> None:
    given(DECIDER).when(withdraw(9)).then(DocumentWithdrawn(document_id="refunds", version=1), dated(9)).when(
        put("Five days.", 1)
    ).then_nothing().when(put("Five days.", 10)).then(published(2, "Five days."), dated(10))


def test_a_withdrawal_again_only_moves_on() -> None:
    given(DECIDER, published(1, "Five days."), dated(1), WITHDRAWN, dated(5)).when(withdraw(9)).then(dated(9))


def test_a_version_by_hand_always_counts_and_a_newer_change_after_it_too() -> None:
    by_hand = msgspec.structs.replace(PUT, text="By hand.", metadata={})

    given(DECIDER, published(1, "Ten days."), dated(5)).when(by_hand).then(published(2, "By hand.")).when(
        put("Five days.", 4)
    ).then_nothing().when(put("Two days.", 6)).then(published(3, "Two days."), dated(6))


def test_changes_in_any_order_end_in_the_same_text() -> None:
    changes: list[DocumentCommand] = [
        put("One.", 1),
        put("Two.", 2),
        withdraw(3),
        put("Two.", 4),
        put("Five.", 5, 1),
        put("Six.", 5, 2),
    ]
    for length in range(1, len(changes) + 1):
        told = changes[:length]
        ends = {
            (state.is_withdrawn, None if state.is_withdrawn or state.published is None else state.published.text)
            for order in permutations(told)
            for state in (after([*order, order[0]]),)
        }
        assert len(ends) == 1, (length, ends)
