"""The lexical index of one tenant's generation: passages by their words, with tantivy in a directory of its own.

It keeps the words and not the text. A commit of tantivy has passages, versions and the log position together, so there
is no half-written state to make good. It takes some 20 ms, most of it for fsyncs, so it is done beside the projection:
a changed document is found by its vectors at once, and by its words a moment later.
"""

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import tantivy

from domain.errors import TerminalError
from projections.chunking import Chunk, document_of
from projections.vectors import Hit
from projections.words import ANALYZER, FIELDS, analyzer, question_words

LAYOUT = "1"
_LAYOUT_FILE = "layout"
# The least that tantivy takes for one thread; a writer is open from a store's first change until the store is closed.
_HEAP_BYTES = 15_000_000
# So many passages may wait for their commit; whoever brings more waits with them.
_WAITING_MAX = 5_000
# The one entry that belongs to no document; its number is the position. An entry without a passage is a withdrawal.
_POSITION = "position"


class WordIndex(Protocol):
    """Where the words of one tenant's passages are, in one generation; `LexicalIndex` says what each promises."""

    def apply(self, passages: Sequence[Chunk], withdrawn: Mapping[str, int], position: int) -> None: ...

    def query(self, questions: Sequence[str], top_k: int) -> list[list[Hit]]: ...

    def uncommitted(self) -> frozenset[str]: ...

    def position(self) -> int: ...

    def versions(self) -> dict[str, int]: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of a document, with its passages unless it is withdrawn."""

    version: int
    is_withdrawn: bool = False
    passages: Sequence[Chunk] = ()


class LexicalIndex:
    """Passages by BM25 over two fields. Writes are idempotent, and an older version never replaces a newer one.

    A withdrawal is remembered. Safe for several threads of one process.

    Args:
        directory: owned by this process alone; of another layout or damaged, it is emptied: the log has it all.

    Raises:
        TerminalError: the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._schema = _schema()
        try:
            self._index = _opened(directory, self._schema)
        except OSError as error:
            raise TerminalError(f"the lexical index in {directory} cannot be written ({error})") from error
        self._index.register_tokenizer(ANALYZER, analyzer())
        self._news = threading.Condition()
        self._waiting: dict[str, _Change] = {}
        self._writing: dict[str, _Change] = {}
        self._wanted = self.position()
        self._failure: Exception | None = None
        self._is_closed = False
        self._committer: threading.Thread | None = None

    def apply(self, passages: Sequence[Chunk], withdrawn: Mapping[str, int], position: int) -> None:
        """Bring the index to the documents' newest versions among what it holds and what is given, before long.

        Args:
            passages: those of one document and version are all of that version.
            withdrawn: document id -> the version with which it was withdrawn.
            position: the log position up to which everything is given now; a lower one than before changes nothing.

        Raises:
            Exception: what kept the last commit from succeeding; it is tried again.
        """
        with self._news:
            assert not self._is_closed, "the index is closed"
            for document_id, change in _newest(passages, withdrawn).items():
                if change.version > self._known(document_id):
                    self._waiting[document_id] = change
            self._wanted = max(self._wanted, position)
            if self._committer is None:
                self._committer = threading.Thread(target=self._commit_all, name="lexical", daemon=True)
                self._committer.start()
            failure, self._failure = self._failure, None
            self._news.notify_all()
            if failure is not None:
                raise failure
            self._news.wait_for(lambda: self._failure or self._count() <= _WAITING_MAX)

    def flush(self) -> None:
        """Wait until all that was given is committed. Raises what keeps it from being."""
        with self._news:
            self._news.wait_for(lambda: self._failure or not self._is_behind())
            if self._failure is not None:
                raise self._failure

    def query(self, questions: Sequence[str], top_k: int) -> list[list[Hit]]:
        """For each question up to `top_k` passages that share a word with it, the best first; `score` is BM25."""
        searcher = self._index.searcher()
        return [self._search(searcher, question, top_k) for question in questions]

    def uncommitted(self) -> frozenset[str]:
        """The documents whose newest version no question finds by its words yet."""
        with self._news:
            return frozenset(self._waiting) | frozenset(self._writing)

    def position(self) -> int:
        """The log position up to which everything is applied; 0 for a new index."""
        return self._number("only", _POSITION)

    def versions(self) -> dict[str, int]:
        """Chunk id -> the version of its document, of every passage."""
        searcher = self._index.searcher()
        found: dict[str, int] = {}
        for _, address in searcher.search(tantivy.Query.all_query(), limit=max(searcher.num_docs, 1)).hits:
            stored = searcher.doc(address)
            if (each := stored.get_first("chunk_id")) is not None:
                found[each] = int(stored.get_first("number") or 0)
        return found

    def close(self) -> None:
        """Commit what waits, and release the directory. May be called twice."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()
        if self._committer is not None:
            self._committer.join()

    def _known(self, document_id: str) -> int:
        """The newest version of a document that waits, is being written or is there."""
        for changes in (self._waiting, self._writing):
            if document_id in changes:
                return changes[document_id].version
        return self._number("document_id", document_id)

    def _count(self) -> int:
        return sum(len(change.passages) for change in self._waiting.values())

    def _is_behind(self) -> bool:
        return bool(self._waiting or self._writing) or self.position() < self._wanted

    def _commit_all(self) -> None:
        """The committer's thread: whatever has come together goes into one commit."""
        writer: tantivy.IndexWriter | None = None
        while True:
            with self._news:
                self._news.wait_for(lambda: self._is_closed or (self._is_behind() and self._failure is None))
                if self._failure is not None or not self._is_behind():
                    break  # Closed. What a failure left out comes again from the log: the position did not move.
                self._writing, self._waiting, position = self._waiting, {}, self._wanted
            failure: Exception | None = None
            try:
                writer = writer or self._index.writer(_HEAP_BYTES, 1)
                self._write(writer, self._writing, position)
            except Exception as error:  # noqa: BLE001 - told to whoever brings the next change, and tried again then
                failure, writer = error, _rolled_back(writer)
            with self._news:
                if failure is not None:
                    self._waiting = {**self._writing, **self._waiting}
                self._writing, self._failure = {}, failure
                self._news.notify_all()
        if writer is not None:
            writer.wait_merging_threads()

    def _write(self, writer: tantivy.IndexWriter, changes: Mapping[str, _Change], position: int) -> None:
        for document_id, change in changes.items():
            writer.delete_documents_by_term("document_id", document_id)
            if change.is_withdrawn:
                writer.add_document(tantivy.Document(document_id=document_id, number=change.version))
            for passage in change.passages:
                writer.add_document(
                    tantivy.Document(
                        document_id=document_id,
                        chunk_id=passage.chunk_id,
                        number=change.version,
                        heading=passage.heading,
                        text=passage.text,
                    )
                )
        writer.delete_documents_by_term("only", _POSITION)
        writer.add_document(tantivy.Document(only=_POSITION, number=position))
        writer.commit()
        self._index.reload()

    def _number(self, field: str, value: str) -> int:
        """The number of an entry: the version of a document, withdrawn or not, or the position; 0 if there is none."""
        searcher = self._index.searcher()
        hits = searcher.search(tantivy.Query.term_query(self._schema, field, value), limit=1).hits
        return int(searcher.doc(hits[0][1]).get_first("number") or 0) if hits else 0

    def _search(self, searcher: tantivy.Searcher, question: str, top_k: int) -> list[Hit]:
        matches = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, field, word, index_option="freq"))
            for word in question_words(question)
            for field in FIELDS
        ]
        if not matches:
            return []
        found = searcher.search(tantivy.Query.boolean_query(matches), limit=top_k, count=False).hits
        ids = [(score, str(searcher.doc(address).get_first("chunk_id"))) for score, address in found]
        # What scores alike comes in the order of the segments, which is no order to show.
        ranked = sorted(ids, key=lambda each: (-round(each[0], 4), each[1]))
        return [Hit(chunk_id=each, document_id=document_of(each), score=score) for score, each in ranked]


def _rolled_back(writer: tantivy.IndexWriter | None) -> tantivy.IndexWriter | None:
    """The writer without what it has not committed; none, to be opened again, if it cannot even do that."""
    if writer is not None:
        try:
            writer.rollback()
        except (ValueError, OSError):
            return None
    return writer


def _newest(passages: Sequence[Chunk], withdrawn: Mapping[str, int]) -> dict[str, _Change]:
    newest = {each: _Change(version=version, is_withdrawn=True) for each, version in withdrawn.items()}
    by_version: dict[tuple[str, int], dict[str, Chunk]] = {}
    for passage in passages:
        by_version.setdefault((passage.document_id, passage.version), {})[passage.chunk_id] = passage
    for (document_id, version), parts in by_version.items():
        if document_id not in newest or version > newest[document_id].version:
            newest[document_id] = _Change(version=version, passages=list(parts.values()))
    return newest


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("only", tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("number", stored=True)
    builder.add_text_field("document_id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("chunk_id", stored=True, tokenizer_name="raw", index_option="basic")
    for field in FIELDS:
        builder.add_text_field(field, tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


def _opened(directory: Path, schema: tantivy.Schema) -> tantivy.Index:
    """The index in the directory; a new one if there is none that can be used."""
    layout = directory / _LAYOUT_FILE
    try:
        if layout.read_text() == LAYOUT:
            return tantivy.Index(schema, str(directory))
    except (OSError, ValueError):
        pass  # None there, or damaged: both end in a new one, and the log has what it lacks.
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    index = tantivy.Index(schema, str(directory))
    layout.write_text(LAYOUT)
    return index
