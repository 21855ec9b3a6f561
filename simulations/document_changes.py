"""A recorded history of documents (adds, changes, deletes, renames): as commands, as it may arrive, how it should end.

The format is that of a git history by line: `seq`, `op` (A, M, D, R), `path`, `old_path`, `text`; in gzip.
"""

import gzip
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from domain.document import DocumentCommand, PutDocument, WithdrawDocument
from gateway.formats import media_type_of
from gateway.loading import document_id_of

_TITLE_RE = re.compile(r"^#\s+(.+)$", re.MULTILINE)
_TITLE_CHARS_MAX = 500


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one file, in the order of `seq`."""

    seq: int
    op: Literal["A", "M", "D", "R"]
    path: str
    old_path: str | None = None
    text: str | None = None


def read_changes(path: Path) -> list[Change]:
    """The changes of a file, in its order."""
    with gzip.open(path) as file:
        return [msgspec.json.decode(line, type=Change) for line in file]


def commands(change: Change) -> list[DocumentCommand]:
    """What a change asks for, dated by its place; a rename is two changes.

    A file without words is no document, and neither is one whose name is not that of a text.
    """
    found: list[DocumentCommand] = []
    if change.op == "R" and change.old_path is not None:
        found.append(WithdrawDocument(document_id=document_id_of(change.old_path), sequence=change.seq))
    document_id, text = document_id_of(change.path), change.text or ""
    if change.op == "D" or not text.strip() or media_type_of(Path(change.path)) is None:
        return [*found, WithdrawDocument(document_id=document_id, sequence=change.seq)]
    title = title_of(change.path, text)
    return [*found, PutDocument(document_id=document_id, title=title, text=text, sequence=change.seq)]


def title_of(path: str, text: str) -> str:
    """The first top heading, else the name of the file."""
    heading = _TITLE_RE.search(text)
    return (heading[1] if heading else Path(path).stem).strip()[:_TITLE_CHARS_MAX]


def disordered(changes: Sequence[Change], *, seed: int, duplicates: float, window: int) -> list[Change]:
    """The changes with a share of them again, each up to `window` places from where it belongs."""
    rng = random.Random(seed)
    again = rng.sample(changes, round(len(changes) * duplicates))
    placed = [(change.seq + rng.uniform(0, window), number) for number, change in enumerate([*changes, *again])]
    delivered = [*changes, *again]
    return [delivered[number] for _, number in sorted(placed)]


def oracle(changes: Sequence[Change]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """After each change in its order: its `seq`, and the text of every document by its id."""
    documents: dict[str, str] = {}
    for change in changes:
        for command in commands(change):
            if isinstance(command, PutDocument):
                documents[command.document_id] = command.text
            else:
                documents.pop(command.document_id, None)
        yield change.seq, documents
