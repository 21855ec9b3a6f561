"""The given-when-then of the rules fails when a rule is not met."""

import pytest

from domain.document import DocumentDecider, DocumentWithdrawn, PutDocument, WithdrawDocument
from tests.spec import given

DECIDER = DocumentDecider()
PUT = PutDocument(document_id="refunds", title="Refunds", text="Within five days.")


def test_other_events_than_told_fail() -> None:
    with pytest.raises(AssertionError):
        given(DECIDER).when(PUT).then(DocumentWithdrawn(document_id="refunds", version=1))


def test_events_where_nothing_was_told_fail() -> None:
    with pytest.raises(AssertionError):
        given(DECIDER).when(PUT).then_nothing()


def test_a_rejection_where_nothing_was_told_fails() -> None:
    with pytest.raises(AssertionError, match=r"document\.unknown"):
        given(DECIDER).when(WithdrawDocument()).then_nothing()


def test_an_accepted_command_where_a_rejection_was_told_fails() -> None:
    with pytest.raises(AssertionError, match="accepted"):
        given(DECIDER).when(PUT).then_rejected("document.empty")


def test_another_code_than_told_fails() -> None:
    with pytest.raises(AssertionError):
        given(DECIDER).when(WithdrawDocument()).then_rejected("document.empty")
