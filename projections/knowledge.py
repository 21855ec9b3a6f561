"""Knowledge documents of one tenant in one generation: versions and passages in SQLite, the newest's vectors in Chroma.

What lies outside the transaction (the index of vectors) is written first and idempotently; the checkpoint moves with
the passages, so a crash in between is made good by applying again.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import msgspec

from domain.codec import tag_of
from domain.document import DocumentPublished, DocumentWithdrawn
from domain.errors import RetryableError
from projections import document_history
from projections.chunking import chunks
from projections.document_history import DocumentHistory, VersionKept
from projections.embedder import TextEmbedder, Vectors
from projections.feed import LogEntry
from projections.store import Store
from projections.vectors import Hit, PassageIndex

TOPICS = (tag_of(DocumentPublished), tag_of(DocumentWithdrawn))
DocumentVersion = DocumentPublished | DocumentWithdrawn

# Withdrawn and replaced passages may still be found by their vectors for a moment; so many more are asked for.
OVERSAMPLING = 3
LAYOUT = 2

# The current versions; all of them are in the history.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    document_id TEXT PRIMARY KEY, version INTEGER NOT NULL, is_withdrawn INTEGER NOT NULL, title TEXT NOT NULL,
    text TEXT NOT NULL, metadata BLOB NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
"""
_CURRENT_PASSAGE = """
SELECT documents.title, heading, chunks.text FROM chunks JOIN documents USING (document_id, version)
WHERE document_id=? AND chunks.version=? AND chunk_id=? AND NOT is_withdrawn
"""
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
    metadata: dict[str, str]
    position: int


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document that may answer a question; `score` is the cosine of the two."""

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
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        directory: Path,
        *,
        vectors: PassageIndex,
        embedder: TextEmbedder,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        path = directory / "knowledge.sqlite"
        self.store = Store(path, _SCHEMA + document_history.SCHEMA, layout=LAYOUT)
        self._history = DocumentHistory(path)
        self._vectors = vectors
        self._embedder = embedder
        self._at_point = at_point

    @property
    def index(self) -> PassageIndex:
        """Where the vectors of the passages are."""
        return self._vectors

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
        self._at_point("after_vectors")
        with self.store.writing(position) as connection:
            document_history.keep(connection, versions, vectors)
            for document_id, (event, kept) in latest.items():
                if isinstance(event, DocumentWithdrawn):
                    connection.execute(
                        "INSERT INTO documents VALUES (?1,?2,1,'','','{}',?3) ON CONFLICT (document_id) DO UPDATE SET "
                        "version=?2, is_withdrawn=1, text='', position=?3",
                        (document_id, event.version, kept.position),
                    )
                    continue
                metadata = msgspec.json.encode(event.metadata)
                connection.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?,?,0,?,?,?,?)",
                    (document_id, event.version, event.title, event.text, metadata, kept.position),
                )
        return {f"document:{document_id}" for document_id in latest}

    def _index(
        self, versions: Sequence[VersionKept], latest: Sequence[VersionKept], position: int
    ) -> dict[str, Vectors]:
        """Bring the index up to date with the latest versions; returns the vectors of all by digest.

        All passages of a batch are embedded together.
        """
        texts = {part.digest: part.embedded for each in versions for part in each.chunks}
        withdrawn = {each.document_id: each.version for each in latest if each.is_withdrawn}
        try:
            vectors = dict(zip(texts, self._embedder.embed(list(texts.values())), strict=True))
            parts = [(part, vectors[part.digest]) for each in latest for part in each.chunks]
            self._vectors.apply(parts, withdrawn, position)
        except Exception as error:
            # The model's, the store's or the disk's fault, not the document's: it must not be parked for it.
            raise RetryableError(f"vectors cannot be written now: {type(error).__name__}: {error}") from error
        return vectors

    def search(
        self,
        questions: Sequence[str],
        embedder: TextEmbedder,
        *,
        top_k: int,
        as_of: datetime | None = None,
        known_at: int | None = None,
    ) -> list[list[Passage]]:
        """For each question its passages, best first.

        Only versions that are current: withdrawn means gone, at answer time. With a time or a log position, those that
        were current then.
        """
        if not questions:
            return []
        if as_of is not None or known_at is not None:
            hits = self._history.query(embedder.embed(questions), top_k, as_of=as_of, known_at=known_at)
            return self._passages(hits, _PAST_PASSAGE, top_k)
        if self.document_count() == 0:
            return [[] for _ in questions]
        hits = self._vectors.query(embedder.embed(questions), top_k * OVERSAMPLING)
        return self._passages(hits, _CURRENT_PASSAGE, top_k)

    def _passages(self, hits: Sequence[Sequence[Hit]], select: str, top_k: int) -> list[list[Passage]]:
        with self.store.reading() as connection:
            return [list(islice(_found(connection, select, of_question), top_k)) for of_question in hits]

    def document(self, document_id: str) -> DocumentView | None:
        """The current version, `None` for a document that is withdrawn or was never there."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT document_id, version, title, text, metadata, position FROM documents "
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
            metadata=msgspec.json.decode(row[4], type=dict[str, str]),
            position=row[5],
        )

    def document_count(self) -> int:
        """How many documents are current."""
        with self.store.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM documents WHERE NOT is_withdrawn").fetchone()[0])

    def close(self) -> None:
        self._vectors.close()
        self._history.close()
        self.store.close()


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
        chunks=chunks(event.document_id, event.version, event.title, event.text),
    )


def _found(connection: sqlite3.Connection, select: str, hits: Sequence[Hit]) -> Iterator[Passage]:
    """Those of the hits that are there as `select` wants them."""
    for hit in hits:
        row = connection.execute(select, (hit.document_id, hit.version, hit.chunk_id)).fetchone()
        if row is not None:
            yield Passage(
                document_id=hit.document_id,
                version=hit.version,
                title=row[0],
                heading=row[1],
                text=row[2],
                score=hit.score,
            )
