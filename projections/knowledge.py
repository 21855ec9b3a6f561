"""Knowledge documents of one tenant in one generation: versions and passages in SQLite, the newest in two indexes.

What lies outside the transaction (vectors in Chroma, words in tantivy) is written first and idempotently, each with its
position inside; the checkpoint moves with the passages, so a crash in between is made good by applying again. An index
that lost what the file has gets it from the file when it is opened. What an index finds is looked up here before anyone
sees it.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from domain.codec import tag_of
from domain.document import DocumentPublished, DocumentWithdrawn, TextFormat
from domain.errors import RetryableError
from projections import document_history, fusion
from projections.chunking import Chunk, chunks, document_of
from projections.document_history import DocumentHistory, PastHit, VersionKept
from projections.embedder import TextEmbedder, Vectors
from projections.feed import LogEntry
from projections.lexical import LexicalIndex, WordIndex
from projections.store import Store
from projections.vectors import PassageIndex

TOPICS = (tag_of(DocumentPublished), tag_of(DocumentWithdrawn))
DocumentVersion = DocumentPublished | DocumentWithdrawn

LAYOUT = 3

# The current versions; all of them are in the history.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    document_id TEXT PRIMARY KEY, version INTEGER NOT NULL, is_withdrawn INTEGER NOT NULL, title TEXT NOT NULL,
    text TEXT NOT NULL, text_format TEXT NOT NULL, metadata BLOB NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
"""
_KEEP_DOCUMENT = """
INSERT INTO documents VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (document_id) DO UPDATE SET
    version=excluded.version, is_withdrawn=excluded.is_withdrawn, title=excluded.title, text=excluded.text,
    text_format=excluded.text_format, metadata=excluded.metadata, position=excluded.position
WHERE excluded.version > documents.version
"""
_CURRENT_PASSAGE = """
SELECT version, documents.title, heading, chunks.text, vector
FROM documents JOIN chunks USING (document_id, version) JOIN compared USING (digest)
WHERE document_id=? AND chunk_id=? AND NOT is_withdrawn
"""
# Documents whose current versions lie after a position, in the order of the log.
_AFTER = "SELECT document_id, version, is_withdrawn, position FROM documents WHERE position>? ORDER BY position LIMIT ?"
_PASSAGES = """
SELECT chunk_id, heading, text, digest, vector FROM chunks JOIN compared USING (digest)
WHERE document_id=? AND version=?
"""
_AGAIN_MAX = 200
_PAST_PASSAGE = """
SELECT title, heading, text FROM chunks JOIN versions USING (document_id, version)
WHERE document_id=? AND chunks.version=? AND chunk_id=?
"""


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """The current version of a document and where in the log it was published."""

    document_id: str
    version: int
    title: str
    text: str
    text_format: TextFormat = "markdown"
    metadata: dict[str, str]
    position: int


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document that may answer a question; `score` is the cosine of the two.

    Where passages stand in a row, the first is the best by meaning and words together, not by `score` alone.
    """

    document_id: str
    version: int
    title: str
    heading: str
    text: str
    score: float


class KnowledgeStore:
    """One tenant's documents in one generation.

    Args:
        directory: the generation's directory.
        vectors: where the vectors of its passages are.
        embedder: texts to vectors.
        words: where the words of its passages are; in the directory, unless given.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        directory: Path,
        *,
        vectors: PassageIndex,
        embedder: TextEmbedder,
        words: WordIndex | None = None,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        path = directory / "knowledge.sqlite"
        self.store = Store(path, _SCHEMA + document_history.SCHEMA, layout=LAYOUT)
        self._history = DocumentHistory(path)
        self._vectors = vectors
        self._words = LexicalIndex(directory / "lexical") if words is None else words
        self._embedder = embedder
        self._at_point = at_point
        try:
            self._make_good()
        except BaseException:
            self.close()
            raise

    @property
    def index(self) -> PassageIndex:
        """Where the vectors of the passages are."""
        return self._vectors

    @property
    def words(self) -> WordIndex:
        """Where the words of the passages are."""
        return self._words

    def _make_good(self) -> None:
        """Give an index what it lost of what is kept here: its directory, or what was not committed when it was killed.

        Raises:
            RetryableError: it cannot be written now.
        """
        reached, vectors, words = self.store.position(), self._vectors.position(), self._words.position()
        position = min(vectors, words)
        while position < reached:
            with self.store.reading() as connection:
                changed = connection.execute(_AFTER, (position, _AGAIN_MAX)).fetchall()
                parts = [part for each in changed for part in _stored(connection, each[0], each[1])]
            withdrawn = {document_id: version for document_id, version, is_withdrawn, _ in changed if is_withdrawn}
            position = changed[-1][3] if len(changed) == _AGAIN_MAX else reached
            with _fails_for_now():
                if vectors < position:
                    self._vectors.apply(parts, withdrawn, position)
                if words < position:
                    self._words.apply([part for part, _ in parts], withdrawn, position)

    def apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        latest: dict[str, tuple[DocumentVersion, VersionKept]] = {}
        versions = []
        for entry in entries:
            envelope = entry.envelope()
            event = envelope.event
            assert isinstance(event, DocumentPublished | DocumentWithdrawn), (
                f"{type(event).__name__} is none of {TOPICS}"
            )
            kept = _kept(event, entry.position, envelope.recorded_at)
            versions.append(kept)
            latest[event.document_id] = (event, kept)
        vectors = self._index(versions, [kept for _, kept in latest.values()], position)
        with self.store.writing(position) as connection:
            document_history.keep(connection, versions, vectors)
            connection.executemany(_KEEP_DOCUMENT, [_row(event, kept) for event, kept in latest.values()])
        return {f"document:{document_id}" for document_id in latest}

    def _index(
        self, versions: Sequence[VersionKept], latest: Sequence[VersionKept], position: int
    ) -> dict[str, Vectors]:
        """Bring the indexes up to date with the latest versions; returns the vectors of all by digest.

        Raises:
            RetryableError: they cannot be written now.
        """
        withdrawn = {each.document_id: each.version for each in latest if each.is_withdrawn}
        texts = {part.digest: part.embedded for each in versions for part in each.chunks}
        parts = [part for each in latest for part in each.chunks]
        with _fails_for_now():
            vectors = dict(zip(texts, self._embedder.embed(list(texts.values())), strict=True))
            self._vectors.apply([(part, vectors[part.digest]) for part in parts], withdrawn, position)
        self._at_point("after_vectors")
        with _fails_for_now():
            self._words.apply(parts, withdrawn, position)
        self._at_point("after_words")
        return vectors

    def search(
        self,
        questions: Sequence[str],
        embedder: TextEmbedder,
        *,
        top_k: int,
        as_of: datetime | None = None,
        known_at: int | None = None,
        filters: Mapping[str, str] | None = None,
    ) -> list[list[Passage]]:
        """For each question its passages, best first.

        Only versions that are current: withdrawn means gone, at answer time. With a time or a log position, those that
        were current then; with filters, those whose metadata have all of them.
        """
        if not questions:
            return []
        if as_of is not None or known_at is not None or filters:
            past = self._history.query(
                questions, embedder.embed(questions), top_k, as_of=as_of, known_at=known_at, filters=filters
            )
            with self.store.reading() as connection:
                return [list(islice(_then(connection, hits), top_k)) for hits in past]
        if self.document_count() == 0:
            return [[] for _ in questions]
        vectors = embedder.embed(questions)
        depth = fusion.depth(top_k)
        dense = [[hit.chunk_id for hit in hits] for hits in self._vectors.query(vectors, depth)]
        # Asked before the words are: what is committed in between is in their ranking.
        too_new = self._words.uncommitted()
        lexical = [[hit.chunk_id for hit in hits] for hits in self._words.query(questions, depth)]
        if too_new:
            lexical = [
                fusion.standing_in(by_meaning, by_words, lambda each: document_of(each) in too_new)
                for by_meaning, by_words in zip(dense, lexical, strict=True)
            ]
        with self.store.reading() as connection:
            return [
                list(islice(_now(connection, fusion.fused(by_meaning, by_words), vector), top_k))
                for by_meaning, by_words, vector in zip(dense, lexical, vectors, strict=True)
            ]

    def document(self, document_id: str) -> DocumentView | None:
        """The current version, `None` for a document that is withdrawn or was never there."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT document_id, version, title, text, text_format, metadata, position FROM documents "
                "WHERE document_id=? AND NOT is_withdrawn",
                (document_id,),
            ).fetchone()
        if row is None:
            return None
        return DocumentView(
            document_id=row[0],
            version=row[1],
            title=row[2],
            text=row[3],
            text_format=row[4],
            metadata=msgspec.json.decode(row[5], type=dict[str, str]),
            position=row[6],
        )

    def document_count(self) -> int:
        """How many documents are current."""
        with self.store.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM documents WHERE NOT is_withdrawn").fetchone()[0])

    def settle(self) -> None:
        """Wait until both indexes have what is applied. Raises what keeps one of them from it."""
        self._words.flush()

    def close(self) -> None:
        self._vectors.close()
        self._words.close()
        self._history.close()
        self.store.close()


@contextmanager
def _fails_for_now() -> Iterator[None]:
    """What fails is the model's, an index's or the disk's fault, not the document's: it must not be parked for it."""
    try:
        yield
    except Exception as error:
        raise RetryableError(f"passages cannot be written now: {type(error).__name__}: {error}") from error


def _kept(event: DocumentVersion, position: int, recorded_at: datetime) -> VersionKept:
    if isinstance(event, DocumentWithdrawn):
        return VersionKept(
            document_id=event.document_id,
            version=event.version,
            position=position,
            recorded_at=recorded_at,
            is_withdrawn=True,
        )
    return VersionKept(
        document_id=event.document_id,
        version=event.version,
        position=position,
        recorded_at=recorded_at,
        title=event.title,
        metadata=event.metadata,
        chunks=chunks(event.document_id, event.version, event.title, event.text, text_format=event.text_format),
    )


def _row(event: DocumentVersion, kept: VersionKept) -> tuple[object, ...]:
    """A document's current version as it is kept; of one that was withdrawn nothing but that."""
    if isinstance(event, DocumentWithdrawn):
        return event.document_id, event.version, True, "", "", "markdown", b"{}", kept.position
    metadata = msgspec.json.encode(event.metadata)
    return (
        event.document_id,
        event.version,
        False,
        event.title,
        event.text,
        event.text_format,
        metadata,
        kept.position,
    )


def _stored(connection: sqlite3.Connection, document_id: str, version: int) -> Iterator[tuple[Chunk, Vectors]]:
    """A version's passages with their vectors, as they were kept."""
    for chunk_id, heading, text, digest, vector in connection.execute(_PASSAGES, (document_id, version)):
        chunk = Chunk(
            chunk_id=chunk_id, document_id=document_id, version=version, heading=heading, text=text, digest=digest
        )
        yield chunk, np.frombuffer(vector, dtype="<f4")


def _now(connection: sqlite3.Connection, ranking: Sequence[tuple[str, float]], asked: Vectors) -> Iterator[Passage]:
    """Those of the ranking that current versions have."""
    for each, _ in ranking:
        document_id = document_of(each)
        row = connection.execute(_CURRENT_PASSAGE, (document_id, each)).fetchone()
        if row is not None:
            cosine = float(asked @ np.frombuffer(row[4], dtype="<f4"))
            yield Passage(
                document_id=document_id,
                version=row[0],
                title=row[1],
                heading=row[2],
                text=row[3],
                score=min(1.0, cosine),
            )


def _then(connection: sqlite3.Connection, hits: Sequence[PastHit]) -> Iterator[Passage]:
    """The passages of versions that were current."""
    for hit in hits:
        row = connection.execute(_PAST_PASSAGE, (hit.document_id, hit.version, hit.chunk_id)).fetchone()
        assert row is not None, f"the history has no {hit}"
        yield Passage(
            document_id=hit.document_id,
            version=hit.version,
            title=row[0],
            heading=row[1],
            text=row[2],
            score=hit.score,
        )
