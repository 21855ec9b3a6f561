"""The vector index of one tenant's generation: a Chroma collection in a directory that one process owns.

It keeps ids and vectors, and beside them which passages the newest version of each document has; the text of a passage
is elsewhere, and no id from outside reaches it.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from domain.errors import TerminalError
from projections.chunking import Chunk, document_of
from projections.embedder import DIMENSIONS, Vectors

T = TypeVar("T")

BATCH_MAX = 250
# How many candidates a search keeps. With Chroma's 100, 3 of 20,000 passages were not found by their own vectors in the
# first ten, with 400 none, at 3.8 ms a question instead of 1.0 (random words, in batches of 64).
EF_SEARCH = 400
_PAGE_MAX = 5_000
# Chroma's rule is 3 to 512 of these, with a letter or digit at both ends.
_NAME_RE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")

# `passages` are ids that may be in the collection; once the version is complete, exactly those that are.
_RECORDS = """
CREATE TABLE IF NOT EXISTS documents (
    document_id TEXT PRIMARY KEY, version INTEGER NOT NULL, is_withdrawn INTEGER NOT NULL, is_complete INTEGER NOT NULL,
    passages BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reached (only INTEGER PRIMARY KEY CHECK (only = 1), position INTEGER NOT NULL);
INSERT OR IGNORE INTO reached VALUES (1, 0);
CREATE TABLE IF NOT EXISTS beside (
    chunk_id TEXT PRIMARY KEY, document_id TEXT NOT NULL, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS beside_document ON beside (document_id);
"""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage near a query. `score` is the cosine similarity, at most 1."""

    chunk_id: str
    document_id: str
    score: float


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the collection has of one document. Before a version is written it is named, with all that may be there."""

    version: int = 0
    is_withdrawn: bool = False
    is_complete: bool = True
    passages: frozenset[str] = frozenset()


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of a document that one application brings: its passages by chunk id."""

    version: int
    is_withdrawn: bool
    passages: dict[str, tuple[Chunk, Vectors]]


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written: what is named before and after by document, ids to delete, vectors to add by id."""

    before: dict[str, _Record]
    deletes: list[str]
    upserts: dict[str, Vectors]
    after: dict[str, _Record]


class _Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Passages that are compared one by one; a row of `matrix` for each of `ids`."""

    ids: list[str]
    matrix: Vectors

    def cosines(self, vectors: Vectors) -> list[dict[str, float]]:
        """For each row of `vectors` the passages' cosines by chunk id."""
        if not self.ids:
            return [{} for _ in vectors]
        return [dict(zip(self.ids, map(float, row), strict=True)) for row in vectors @ self.matrix.T]


def collection_name(tenant: str, generation: int) -> str:
    """The collection of a tenant's generation, e.g. `acme__g1`."""
    return f"{tenant}__g{generation}"


class PassageIndex(Protocol):
    """Where the vectors of one tenant's passages are, in one generation; `VectorIndex` says what each promises."""

    def apply(self, upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int], position: int) -> None: ...

    def query(self, vectors: Vectors, top_k: int) -> list[list[Hit]]: ...

    def position(self) -> int: ...

    def versions(self) -> dict[str, int]: ...

    def close(self) -> None: ...


class VectorIndex:
    """Passages by cosine similarity. Writes are idempotent, and an older version never replaces a newer one.

    A passage that a new version leaves as it is keeps its id and is not written again: rewriting costs time and wears
    the graph down. A withdrawal is remembered, so that a version before it, however late, does not come back. All
    writes of an application precede its position, so after a crash `position` never claims what is not there, and
    applying again from it, or from any earlier position, ends in the same content. Safe for several threads of one
    process.

    Args:
        directory: owned by this process alone; Chroma's readers in another process would keep seeing the past.
        name: the collection, see `collection_name`.

    Raises:
        TerminalError: the directory holds what Chroma cannot open.
    """

    def __init__(self, directory: Path, name: str) -> None:
        assert _NAME_RE.fullmatch(name), f"{name!r} cannot name a Chroma collection"
        import chromadb  # noqa: PLC0415 - takes over a second
        from chromadb.api.client import Client  # noqa: PLC0415 - as above
        from chromadb.config import Settings  # noqa: PLC0415 - as above

        directory.mkdir(parents=True, exist_ok=True)
        records = directory / f"{name}.sqlite"
        is_new = not records.exists()
        try:
            client = chromadb.PersistentClient(path=str(directory), settings=Settings(anonymized_telemetry=False))
            assert isinstance(client, Client), "only a local client can be closed"
            self._client = client
            if is_new and name in {each.name for each in client.list_collections()}:
                client.delete_collection(name)  # Nobody knows any more which versions it has.
            self._passages = client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": {"space": "cosine", "ef_search": EF_SEARCH}}
            )
        except (chromadb.errors.ChromaError, ValueError) as error:
            raise TerminalError(
                f"the vectors in {directory} cannot be opened ({error}); delete this generation's directory, "
                "it is rebuilt from the log"
            ) from error
        self._lock = threading.Lock()
        self._records = _open_records(records)
        self._beside = self._read_beside()

    def apply(self, upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int], position: int) -> None:
        """Bring the index to the documents' newest versions among what it holds and what is given.

        Args:
            upserts: passages with their unit vectors. Those of one document and version are all of that version:
                passages of older versions that are not among them are deleted.
            withdrawn: document id -> the version with which it was withdrawn.
            position: the log position up to which everything is applied now; a lower one than before changes nothing.
        """
        with self._lock:
            plan = self._plan(_newest(upserts, withdrawn))
            self._name(plan.before)
            for deletes in _batches(plan.deletes):
                self._passages.delete(ids=deletes)
            for ids in _batches(list(plan.upserts)):
                self._passages.upsert(ids=ids, embeddings=np.stack([plan.upserts[each] for each in ids]))
            self._name(plan.after, position)
            if any(document_of(each) in plan.after for each in self._beside.ids):
                self._beside = self._read_beside()

    def replace_document(
        self, document_id: str, version: int, chunks: Sequence[Chunk], vectors: Vectors, position: int
    ) -> None:
        """Publish one version of one document: see `apply`. `vectors` has one row per chunk."""
        assert all(each.document_id == document_id and each.version == version for each in chunks)
        self.apply(list(zip(chunks, vectors, strict=True)), {}, position)

    def withdraw(self, document_id: str, version: int, position: int) -> None:
        """Withdraw a document: see `apply`."""
        self.apply([], {document_id: version}, position)

    def query(self, vectors: Vectors, top_k: int) -> list[list[Hit]]:
        """For each row of `vectors` up to `top_k` passages, the nearest first."""
        if not len(vectors):
            return []
        found = self._passages.query(query_embeddings=vectors, n_results=top_k, include=["distances"])
        assert found["distances"] is not None
        beside = self._beside
        return [
            _best({each: 1.0 - distance for each, distance in zip(ids, distances, strict=True)} | cosines, top_k)
            for ids, distances, cosines in zip(found["ids"], found["distances"], beside.cosines(vectors), strict=True)
        ]

    def position(self) -> int:
        """The log position up to which everything is applied; 0 for a new index."""
        with self._lock:
            return int(self._records.execute("SELECT position FROM reached").fetchone()[0])

    def count(self) -> int:
        """The number of passages."""
        return self._passages.count()

    def versions(self) -> dict[str, int]:
        """Chunk id -> the newest version of its document, of every passage."""
        present: set[str] = set()
        while True:
            page = self._passages.get(include=[], limit=_PAGE_MAX, offset=len(present))["ids"]
            present.update(page)
            if len(page) < _PAGE_MAX:
                break
        with self._lock:
            newest = dict(self._records.execute("SELECT document_id, version FROM documents"))
        return {each: newest[document_of(each)] for each in present}

    def close(self) -> None:
        """Release the directory. May be called twice."""
        self._client.close()
        with self._lock:
            self._records.close()

    def put_beside(self, passages: Mapping[str, Vectors]) -> None:
        """Have stored passages (chunk id -> vector) compared one by one with every question, beside the graph.

        A graph has some that no search reaches, and writing them again reaches them and loses others.
        """
        with self._lock:
            self._records.executemany(
                "INSERT OR REPLACE INTO beside VALUES (?,?,?)",
                [(each, document_of(each), vector.astype("<f4").tobytes()) for each, vector in passages.items()],
            )
            self._beside = self._read_beside()

    def beside_count(self) -> int:
        """How many passages are compared one by one."""
        return len(self._beside.ids)

    def _read_beside(self) -> "_Beside":
        rows = self._records.execute("SELECT chunk_id, vector FROM beside ORDER BY chunk_id").fetchall()
        vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4").reshape(-1, DIMENSIONS)
        return _Beside(ids=[row[0] for row in rows], matrix=vectors)

    def _plan(self, changes: Mapping[str, _Change]) -> _Plan:
        """Compare with what is there. After a crash in between the same application finds what is left to do."""
        records = self._read(list(changes))
        plan = _Plan(before={}, deletes=[], upserts={}, after={})
        for document_id, change in changes.items():
            record = records.get(document_id, _Record())
            is_over = record.is_withdrawn and not change.is_withdrawn and change.version == record.version
            is_there = record.is_complete and (record.version, record.is_withdrawn) == (
                change.version,
                change.is_withdrawn,
            )
            if change.version < record.version or is_over or is_there:
                continue
            wanted = frozenset(change.passages)
            there = record.passages if record.is_complete else self._present(record.passages | wanted)
            named = _Record(version=change.version, is_withdrawn=change.is_withdrawn, passages=wanted)
            plan.before[document_id] = msgspec.structs.replace(
                named, is_complete=False, passages=record.passages | wanted
            )
            plan.deletes.extend(sorted(there - wanted))
            plan.upserts.update((each, change.passages[each][1]) for each in change.passages if each not in there)
            plan.after[document_id] = named
        return plan

    def _present(self, ids: frozenset[str]) -> frozenset[str]:
        """Those of the ids that the collection has."""
        return frozenset(
            each for batch in _batches(sorted(ids)) for each in self._passages.get(ids=batch, include=[])["ids"]
        )

    def _read(self, document_ids: Sequence[str]) -> dict[str, _Record]:
        found: dict[str, _Record] = {}
        for batch in _batches(list(document_ids)):
            marks = ",".join("?" * len(batch))
            rows = self._records.execute(
                f"SELECT * FROM documents WHERE document_id IN ({marks})",  # noqa: S608 - placeholders only
                batch,
            )
            for document_id, version, is_withdrawn, is_complete, passages in rows:
                found[document_id] = _Record(
                    version=version,
                    is_withdrawn=bool(is_withdrawn),
                    is_complete=bool(is_complete),
                    passages=msgspec.msgpack.decode(passages, type=frozenset[str]),
                )
        return found

    def _name(self, records: Mapping[str, _Record], position: int | None = None) -> None:
        """Write down what the collection has of documents, and how far it is."""
        self._records.execute("BEGIN IMMEDIATE")
        try:
            self._records.executemany(
                "INSERT OR REPLACE INTO documents VALUES (?,?,?,?,?)",
                [
                    (each, of.version, of.is_withdrawn, of.is_complete, msgspec.msgpack.encode(sorted(of.passages)))
                    for each, of in records.items()
                ],
            )
            if position is not None:
                # What is complete has no other passages than these.
                self._records.executemany(
                    "DELETE FROM beside WHERE document_id=? AND chunk_id NOT IN (SELECT value FROM json_each(?))",
                    [(each, msgspec.json.encode(sorted(of.passages)).decode()) for each, of in records.items()],
                )
                self._records.execute("UPDATE reached SET position=? WHERE position<?", (position, position))
        except BaseException:
            self._records.execute("ROLLBACK")
            raise
        self._records.execute("COMMIT")


def _best(cosines: Mapping[str, float], top_k: int) -> list[Hit]:
    nearest = sorted(cosines.items(), key=lambda each: -each[1])[:top_k]
    return [Hit(chunk_id=each, document_id=document_of(each), score=min(1.0, cosine)) for each, cosine in nearest]


def _open_records(path: Path) -> sqlite3.Connection:
    """The file of records, each commit fsynced: what Chroma writes next must not outlive its name."""
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(_RECORDS)
    return connection


def _newest(upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int]) -> dict[str, _Change]:
    newest = {
        document_id: _Change(version=version, is_withdrawn=True, passages={})
        for document_id, version in withdrawn.items()
    }
    for chunk, vector in upserts:
        change = newest.get(chunk.document_id)
        if change is None or change.version < chunk.version:
            change = _Change(version=chunk.version, is_withdrawn=False, passages={})
            newest[chunk.document_id] = change
        if change.version == chunk.version and not change.is_withdrawn:
            change.passages[chunk.chunk_id] = (chunk, vector)
    return newest


def _batches(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), BATCH_MAX):
        yield items[start : start + BATCH_MAX]
