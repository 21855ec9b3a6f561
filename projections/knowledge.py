"""Knowledge documents of one tenant in one generation: versions and passages in SQLite, their vectors in Chroma.

What lies outside the transaction (the vectors) is written first and idempotently; the checkpoint moves with the
passages, so a crash in between is made good by applying again.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from domain.codec import tag_of
from domain.document import DocumentPublished, DocumentWithdrawn
from domain.errors import RetryableError
from projections.chunking import Chunk, chunks
from projections.embedder import TextEmbedder
from projections.feed import LogEntry
from projections.store import Store
from projections.vectors import PassageIndex

TOPICS = (tag_of(DocumentPublished), tag_of(DocumentWithdrawn))
DocumentVersion = DocumentPublished | DocumentWithdrawn

# Withdrawn and replaced passages may still be found by their vectors for a moment; so many more are asked for.
OVERSAMPLING = 3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    document_id TEXT PRIMARY KEY, version INTEGER NOT NULL, is_withdrawn INTEGER NOT NULL, title TEXT NOT NULL,
    text TEXT NOT NULL, metadata BLOB NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    chunk_id TEXT NOT NULL, document_id TEXT NOT NULL, version INTEGER NOT NULL, heading TEXT NOT NULL,
    text TEXT NOT NULL, PRIMARY KEY (document_id, version, chunk_id)) WITHOUT ROWID;
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
    """A part of a current document that may answer a question; `score` is the cosine of the two."""

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
        self.store = Store(directory / "knowledge.sqlite", _SCHEMA)
        self._vectors = vectors
        self._embedder = embedder
        self._at_point = at_point

    def apply(self, entries: Sequence[LogEntry], position: int) -> set[str]:
        latest: dict[str, tuple[DocumentVersion, int]] = {}
        for entry in entries:
            event = entry.envelope().event
            assert isinstance(event, DocumentPublished | DocumentWithdrawn), (
                f"{type(event).__name__} is none of {TOPICS}"
            )
            latest[event.document_id] = (event, entry.position)
        of_document = {
            document_id: chunks(document_id, event.version, event.title, event.text)
            for document_id, (event, _) in latest.items()
            if isinstance(event, DocumentPublished)
        }
        self._index(of_document, latest, position)
        self._at_point("after_vectors")
        with self.store.writing(position) as connection:
            for document_id, (event, at) in latest.items():
                connection.execute("DELETE FROM chunks WHERE document_id=?", (document_id,))
                if isinstance(event, DocumentWithdrawn):
                    connection.execute(
                        "INSERT INTO documents VALUES (?1,?2,1,'','','{}',?3) ON CONFLICT (document_id) DO UPDATE SET "
                        "version=?2, is_withdrawn=1, text='', position=?3",
                        (document_id, event.version, at),
                    )
                    continue
                connection.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?,?,0,?,?,?,?)",
                    (document_id, event.version, event.title, event.text, msgspec.json.encode(event.metadata), at),
                )
                connection.executemany(
                    "INSERT INTO chunks VALUES (?,?,?,?,?)",
                    [
                        (each.chunk_id, document_id, each.version, each.heading, each.text)
                        for each in of_document[document_id]
                    ],
                )
        return {f"document:{document_id}" for document_id in latest}

    def _index(
        self,
        of_document: Mapping[str, Sequence[Chunk]],
        latest: Mapping[str, tuple[DocumentVersion, int]],
        position: int,
    ) -> None:
        """Bring the vectors up to date: all passages of a batch are embedded together."""
        parts = [part for of_one in of_document.values() for part in of_one]
        withdrawn = {
            document_id: event.version
            for document_id, (event, _) in latest.items()
            if isinstance(event, DocumentWithdrawn)
        }
        try:
            vectors = self._embedder.embed([part.embedded for part in parts])
            self._vectors.apply(list(zip(parts, vectors, strict=True)), withdrawn, position)
        except Exception as error:
            # The model's, the store's or the disk's fault, not the document's: it must not be parked for it.
            raise RetryableError(f"vectors cannot be written now: {type(error).__name__}: {error}") from error

    def search(self, questions: Sequence[str], embedder: TextEmbedder, *, top_k: int) -> list[list[Passage]]:
        """For each question its passages, best first. Only current versions: withdrawn means gone, at answer time."""
        if not questions or self.document_count() == 0:
            return [[] for _ in questions]
        hits = self._vectors.query(embedder.embed(questions), top_k * OVERSAMPLING)
        found = []
        with self.store.reading() as connection:
            for of_question in hits:
                passages: list[Passage] = []
                for hit in of_question:
                    row = connection.execute(
                        "SELECT chunks.version, title, heading, chunks.text FROM chunks JOIN documents "
                        "USING (document_id, version) WHERE document_id=? AND chunks.version=? AND chunk_id=? "
                        "AND NOT is_withdrawn",
                        (hit.document_id, hit.version, hit.chunk_id),
                    ).fetchone()
                    if row is not None and len(passages) < top_k:
                        passages.append(
                            Passage(
                                document_id=hit.document_id,
                                version=row[0],
                                title=row[1],
                                heading=row[2],
                                text=row[3],
                                score=hit.score,
                            )
                        )
                found.append(passages)
        return found

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
        self.store.close()
