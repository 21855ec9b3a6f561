"""Versions of a document: published, the same again, withdrawn."""

import msgspec
import pytest

from domain.document import (
    TEXT_CHARS_MAX,
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
