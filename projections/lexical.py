"""The lexical index of one tenant's generation: passages by their words, with tantivy in a directory of its own.

It keeps the words and not the text. What one application changes becomes visible in one commit of tantivy, together
with the versions of the documents and the log position, so there is no half-written state to make good.
"""

import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import tantivy

from domain.errors import TerminalError
from projections.chunking import Chunk, document_of
from projections.vectors import Hit
from projections.words import ANALYZER, FIELDS, analyzer, question_words

LAYOUT = "1"
_LAYOUT_FILE = "layout"
# The least that tantivy takes for one thread; a writer is open from a store's first change until the store is closed.
_HEAP_BYTES = 15_000_000
# The one entry that belongs to no document; its number is the position. An entry without a passage is a withdrawal.
_POSITION = "position"


class WordIndex(Protocol):
    """Where the words of one tenant's passages are, in one generation; `LexicalIndex` says what each promises."""

    def apply(self, passages: Sequence[Chunk], withdrawn: Mapping[str, int], position: int) -> None: ...

    def query(self, questions: Sequence[str], top_k: int) -> list[list[Hit]]: ...

    def position(self) -> int: ...

    def close(self) -> None: ...


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
        self._writer: tantivy.IndexWriter | None = None
        self._lock = threading.Lock()

    def apply(self, passages: Sequence[Chunk], withdrawn: Mapping[str, int], position: int) -> None:
        """Bring the index to the documents' newest versions among what it holds and what is given.

        Args:
            passages: those of one document and version are all of that version.
            withdrawn: document id -> the version with which it was withdrawn.
            position: the log position up to which everything is applied now; a lower one than before changes nothing.
        """
        with self._lock:
            newest: dict[str, tuple[int, bool]] = {each: (version, True) for each, version in withdrawn.items()}
            for passage in passages:
                if passage.version > newest.get(passage.document_id, (0, False))[0]:
                    newest[passage.document_id] = (passage.version, False)
            known = {each: self._number("document_id", each) for each in newest}
            changed = {each: of for each, of in newest.items() if of[0] > known[each]}
            reached = self._number("only", _POSITION)
            if not changed and position <= reached:
                return
            if self._writer is None:
                self._writer = self._index.writer(_HEAP_BYTES, 1)
            try:
                self._write(self._writer, changed, passages, max(position, reached))
            except BaseException:
                self._writer.rollback()
                raise
            self._index.reload()

    def query(self, questions: Sequence[str], top_k: int) -> list[list[Hit]]:
        """For each question up to `top_k` passages that share a word with it, the best first; `score` is BM25."""
        searcher = self._index.searcher()
        return [self._search(searcher, question, top_k) for question in questions]

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
        """Release the directory, once the segments that are being merged are. May be called twice."""
        with self._lock:
            if self._writer is not None:
                self._writer.wait_merging_threads()
                self._writer = None

    def _write(
        self,
        writer: tantivy.IndexWriter,
        changed: Mapping[str, tuple[int, bool]],
        passages: Iterable[Chunk],
        position: int,
    ) -> None:
        for document_id, (version, is_withdrawn) in changed.items():
            writer.delete_documents_by_term("document_id", document_id)
            if is_withdrawn:
                writer.add_document(tantivy.Document(document_id=document_id, number=version))
        for passage in {each.chunk_id: each for each in passages if _is_of(each, changed)}.values():
            writer.add_document(
                tantivy.Document(
                    document_id=passage.document_id,
                    chunk_id=passage.chunk_id,
                    number=passage.version,
                    heading=passage.heading,
                    text=passage.text,
                )
            )
        writer.delete_documents_by_term("only", _POSITION)
        writer.add_document(tantivy.Document(only=_POSITION, number=position))
        writer.commit()

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


def _is_of(passage: Chunk, changed: Mapping[str, tuple[int, bool]]) -> bool:
    return changed.get(passage.document_id) == (passage.version, False)


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
