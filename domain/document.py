"""Knowledge documents: policies and help pages that answers quote. Every version is kept; withdrawn means gone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event

TEXT_CHARS_MAX = 1_000_000


class PutDocument(Command, frozen=True, kw_only=True, tag="document.put"):
    """Publish a document, or a new version of it."""

    document_id: str
    title: str
    text: str
    metadata: Mapping[str, str] = {}


class WithdrawDocument(Command, frozen=True, kw_only=True, tag="document.withdraw"):
    """Take a document back: no answer may quote it any more."""


DocumentCommand = PutDocument | WithdrawDocument


class DocumentPublished(Event, frozen=True, kw_only=True, tag="document.published"):
    document_id: str
    version: int
    title: str
    text: str
    metadata: Mapping[str, str] = {}


class DocumentWithdrawn(Event, frozen=True, kw_only=True, tag="document.withdrawn"):
    document_id: str
    version: int


DocumentEvent = DocumentPublished | DocumentWithdrawn


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The current version, `version` 0 before the first."""

    version: int = 0
    is_withdrawn: bool = False
    published: DocumentPublished | None = None


class DocumentDecider:
    """A document's rules. A version that says what the last one said is no version."""

    tag: Category = "document"

    def initial(self) -> Document:
        return Document()

    def decide(self, state: Document, command: DocumentCommand, at: datetime) -> Sequence[DocumentEvent]:
        match command:
            case PutDocument():
                return _put(state, command)
            case WithdrawDocument():
                if state.published is None:
                    raise Rejection("document.unknown", "there is no such document")
                if state.is_withdrawn:
                    return []
                return [DocumentWithdrawn(document_id=state.published.document_id, version=state.version + 1)]
            case _:
                assert_never(command)

    def evolve(self, state: Document, event: DocumentEvent) -> Document:
        match event:
            case DocumentPublished(version=version):
                return Document(version=version, published=event)
            case DocumentWithdrawn(version=version):
                return msgspec.structs.replace(state, version=version, is_withdrawn=True)
            case _:
                assert_never(event)


def _put(state: Document, command: PutDocument) -> Sequence[DocumentEvent]:
    if not command.text.strip():
        raise Rejection("document.empty", "a document needs text; to take one back, delete it")
    if len(command.text) > TEXT_CHARS_MAX:
        raise Rejection("document.too_long", f"a document may have {TEXT_CHARS_MAX} characters; split it")
    published = DocumentPublished(
        document_id=command.document_id,
        version=state.version + 1,
        title=command.title,
        text=command.text,
        metadata=command.metadata,
    )
    current = state.published
    if current is not None and not state.is_withdrawn and _content(current) == _content(published):
        return []
    return [published]


def _content(published: DocumentPublished) -> tuple[object, ...]:
    return published.title, published.text, dict(published.metadata)
