"""Knowledge documents: policies and help pages that answers quote. Every version is kept; withdrawn means gone."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event

TEXT_CHARS_MAX = 1_000_000
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

# How a document's text is written. Other formats are turned into one of these before they are published, so that what
# an answer quotes is what the log has.
TextFormat = Literal["markdown", "plain"]


class PutDocument(Command, frozen=True, kw_only=True, tag="document.put"):
    """Publish a document, or a new version of it.

    `changed_at` and `sequence` say where the change stands among those of the place that it is copied from: an older
    one that comes late changes nothing. Without them, the last to come counts.
    """

    document_id: str
    title: str
    text: str
    metadata: Mapping[str, str] = {}
    text_format: TextFormat = "markdown"
    changed_at: datetime | None = None
    sequence: int | None = None


class WithdrawDocument(Command, frozen=True, kw_only=True, tag="document.withdraw"):
    """Take a document back: no answer may quote it any more.

    One that says where it stands (as `PutDocument` does) also keeps out older versions that have not come yet; for
    that it names its document.
    """

    document_id: str = ""
    changed_at: datetime | None = None
    sequence: int | None = None


DocumentCommand = PutDocument | WithdrawDocument


class DocumentPublished(Event, frozen=True, kw_only=True, tag="document.published"):
    document_id: str
    version: int
    title: str
    text: str
    metadata: Mapping[str, str] = {}
    text_format: TextFormat = "markdown"


class DocumentWithdrawn(Event, frozen=True, kw_only=True, tag="document.withdrawn"):
    document_id: str
    version: int


class DocumentDated(Event, frozen=True, kw_only=True, tag="document.dated"):
    """The document is as it was after this change at the place that it is copied from."""

    document_id: str
    changed_at: datetime | None = None
    sequence: int | None = None


DocumentEvent = DocumentPublished | DocumentWithdrawn | DocumentDated


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The current version, `version` 0 before the first, and the change that it is dated by."""

    version: int = 0
    is_withdrawn: bool = False
    published: DocumentPublished | None = None
    dated: DocumentDated | None = None


class DocumentDecider:
    """A document's rules. A version that says what the last one said is no version.

    Changes that say where they stand are ordered by time, then by sequence. One that is older than the newest of them
    changes nothing; of two at the same place the last to come counts.
    """

    tag: Category = "document"

    def initial(self) -> Document:
        return Document()

    def decide(self, state: Document, command: DocumentCommand, at: datetime) -> Sequence[DocumentEvent]:
        match command:
            case PutDocument():
                return [] if _is_late(state, command) else [*_put(state, command), *_dated(state, command)]
            case WithdrawDocument():
                return [] if _is_late(state, command) else [*_withdraw(state, command), *_dated(state, command)]
            case _:
                assert_never(command)

    def evolve(self, state: Document, event: DocumentEvent) -> Document:
        match event:
            case DocumentPublished(version=version):
                return Document(version=version, published=event, dated=state.dated)
            case DocumentWithdrawn(version=version):
                return msgspec.structs.replace(state, version=version, is_withdrawn=True)
            case DocumentDated():
                return msgspec.structs.replace(state, dated=event)
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
        text_format=command.text_format,
    )
    current = state.published
    if current is not None and not state.is_withdrawn and _content(current) == _content(published):
        return []
    return [published]


def _withdraw(state: Document, command: WithdrawDocument) -> Sequence[DocumentEvent]:
    if state.is_withdrawn:
        return []
    if state.published is None and _place(command) is None:
        raise Rejection("document.unknown", "there is no such document")
    document_id = command.document_id if state.published is None else state.published.document_id
    return [DocumentWithdrawn(document_id=document_id, version=state.version + 1)]


def _is_late(state: Document, command: DocumentCommand) -> bool:
    """Whether the document is at a newer change already."""
    place, known = _place(command), _place(state.dated)
    return place is not None and known is not None and place < known


def _dated(state: Document, command: DocumentCommand) -> Sequence[DocumentEvent]:
    place = _place(command)
    if place is None or place == _place(state.dated):
        return []
    return [
        DocumentDated(document_id=command.document_id, changed_at=command.changed_at, sequence=command.sequence),
    ]


def _place(change: DocumentCommand | DocumentDated | None) -> tuple[datetime, int] | None:
    """Where a change stands among the others, `None` if it does not say."""
    if change is None or (change.changed_at is None and change.sequence is None):
        return None
    return change.changed_at or _FIRST, -1 if change.sequence is None else change.sequence


def _content(published: DocumentPublished) -> tuple[object, ...]:
    return published.title, published.text, dict(published.metadata), published.text_format
