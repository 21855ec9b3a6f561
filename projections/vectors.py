"""The vector index of one tenant's generation: a Chroma collection in a directory that one process owns.

It keeps ids, versions and vectors; the text of a passage is elsewhere, and no id from outside reaches it.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
import numpy as np

from domain.errors import TerminalError
from projections.chunking import Chunk, chunk_id
from projections.embedder import Vectors

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import GetResult

T = TypeVar("T")

BATCH_MAX = 250
# How many candidates a search keeps. With Chroma's 100, 3 of 20,000 passages were not found by their own vectors in the
# first ten, with 400 none, at 3.8 ms a question instead of 1.0 (random words, in batches of 64).
EF_SEARCH = 400
_PAGE_MAX = 5_000
# Chroma's rule is 3 to 512 of these, with a letter or digit at both ends; the suffix below needs some of them.
_NAME_RE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,498}[a-zA-Z0-9]")


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage near a query. `score` is the cosine similarity, at most 1."""

    chunk_id: str
    document_id: str
    version: int
    score: float


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept beside a vector. `chunk_count` is the number of passages of this version of the document."""

    document_id: str
    version: int
    ordinal: int
    chunk_count: int
    position: int


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of a document that one application brings: its passages by chunk id."""

    version: int
    is_withdrawn: bool
    passages: dict[str, tuple[Chunk, Vectors]]


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written: tombstones by document, ids to delete by ordinal, passages with what is kept of them."""

    tombstones: dict[str, int]
    deletes: list[tuple[int, str]]
    upserts: list[tuple[_Stored, Chunk, Vectors]]


def collection_name(tenant: str, generation: int) -> str:
    """The collection of a tenant's generation, e.g. `acme__g1`."""
    return f"{tenant}__g{generation}"


class PassageIndex(Protocol):
    """Where the vectors of one tenant's passages are, in one generation; `VectorIndex` says what each promises."""

    def apply(self, upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int], position: int) -> None: ...

    def query(self, vectors: Vectors, top_k: int) -> list[list[Hit]]: ...

    def versions(self) -> dict[str, int]: ...

    def close(self) -> None: ...


class VectorIndex:
    """Passages by cosine similarity. Writes are idempotent, and an older version never replaces a newer one.

    A withdrawal is remembered, so that a version before it, however late, does not come back. All writes of an
    application precede its position in the same database, so after a crash `position` never claims what is not there,
    and applying again from it, or from any earlier position, ends in the same content. Safe for several threads of one
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
        try:
            client = chromadb.PersistentClient(path=str(directory), settings=Settings(anonymized_telemetry=False))
            assert isinstance(client, Client), "only a local client can be closed"
            self._client = client
            self._passages = self._client.get_or_create_collection(
                name,
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine", "ef_search": EF_SEARCH}},
            )
            self._withdrawn = self._client.get_or_create_collection(f"{name}.withdrawn", embedding_function=None)
        except (chromadb.errors.ChromaError, ValueError) as error:
            raise TerminalError(
                f"the vectors in {directory} cannot be opened ({error}); delete this generation's directory, "
                "it is rebuilt from the log"
            ) from error
        self._lock = threading.Lock()
        self._position = int((self._passages.metadata or {}).get("position", 0))

    def apply(self, upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int], position: int) -> None:
        """Bring the index to the documents' newest versions among what it holds and what is given.

        Args:
            upserts: passages with their unit vectors. Those of one document and version are all of that version:
                passages of older versions that are not among them are deleted.
            withdrawn: document id -> the version with which it was withdrawn.
            position: the log position up to which everything is applied now; a lower one than before changes nothing.
        """
        with self._lock:
            self._write(self._plan(_newest(upserts, withdrawn), position))
            if position > self._position:
                self._passages.modify(metadata={"position": position})
                self._position = position

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
        found = self._passages.query(query_embeddings=vectors, n_results=top_k, include=["metadatas", "distances"])
        assert found["metadatas"] is not None
        assert found["distances"] is not None
        return [
            [
                Hit(
                    chunk_id=each,
                    document_id=str(metadata["document_id"]),
                    version=msgspec.convert(metadata["version"], int),
                    score=min(1.0, 1.0 - distance),
                )
                for each, metadata, distance in zip(ids, metadatas, distances, strict=True)
            ]
            for ids, metadatas, distances in zip(found["ids"], found["metadatas"], found["distances"], strict=True)
        ]

    def position(self) -> int:
        """The log position up to which everything is applied; 0 for a new index."""
        return self._position

    def count(self) -> int:
        """The number of passages."""
        return self._passages.count()

    def versions(self) -> dict[str, int]:
        """Chunk id -> version of every passage, to compare with the fold."""
        versions: dict[str, int] = {}
        while True:
            page = self._passages.get(include=["metadatas"], limit=_PAGE_MAX, offset=len(versions))
            versions.update((each, msgspec.convert(kept["version"], int)) for each, kept in _with_metadata(page))
            if len(page["ids"]) < _PAGE_MAX:
                return versions

    def close(self) -> None:
        """Release the directory. May be called twice."""
        self._client.close()

    def rewrite(self, passages: Sequence[tuple[str, Vectors]]) -> None:
        """Link stored passages (chunk id and vector) into the graph again: some are not found by their own vectors."""
        with self._lock:
            for part in _batches(list(passages)):
                self._passages.update(
                    ids=[each for each, _ in part], embeddings=np.stack([vector for _, vector in part])
                )

    def _plan(self, changes: Mapping[str, _Change], position: int) -> _Plan:
        """Compare with what is stored. What is there already is not written again: rewriting wears the graph down."""
        firsts = [chunk_id(each, 0) for each in changes]
        given = [each for change in changes.values() for each in change.passages]
        stored = {each: msgspec.convert(found, _Stored) for each, found in _read(self._passages, {*firsts, *given})}
        withdrawn = {
            each: msgspec.convert(found["version"], int) for each, found in _read(self._withdrawn, set(changes))
        }
        plan = _Plan(tombstones={}, deletes=[], upserts=[])
        for document_id, change in changes.items():
            first = stored.get(chunk_id(document_id, 0))
            tombstone = withdrawn.get(document_id, 0)
            if change.version < max(tombstone, first.version if first is not None else 0):
                continue
            if change.is_withdrawn and change.version > tombstone:
                plan.tombstones[document_id] = change.version
            elif not change.is_withdrawn and change.version == tombstone:
                continue
            for ordinal in range(len(change.passages), first.chunk_count if first is not None else 0):
                plan.deletes.append((ordinal, chunk_id(document_id, ordinal)))
            for each, (chunk, vector) in change.passages.items():
                if each not in stored or stored[each].version != change.version:
                    plan.upserts.append((_kept(chunk, len(change.passages), position), chunk, vector))
        return plan

    def _write(self, plan: _Plan) -> None:
        """Carry a plan out so that after a crash in between the same application finds what is left to do.

        A document's first passage says which version is there and of how many passages. So it is the first to be
        written and the last to be deleted, and what a shorter version leaves over is deleted before it is written.
        """
        for tombstones in _batches(sorted(plan.tombstones.items())):
            self._withdrawn.upsert(
                ids=[each for each, _ in tombstones],
                embeddings=np.zeros((len(tombstones), 1), dtype=np.float32),
                metadatas=[{"version": version} for _, version in tombstones],
            )
        for deletes in _batches(sorted(plan.deletes, reverse=True)):
            self._passages.delete(ids=[each for _, each in deletes])
        for upserts in _batches(sorted(plan.upserts, key=lambda each: each[0].ordinal)):
            self._passages.upsert(
                ids=[chunk.chunk_id for _, chunk, _ in upserts],
                embeddings=np.stack([vector for _, _, vector in upserts]),
                metadatas=[msgspec.structs.asdict(kept) for kept, _, _ in upserts],
            )


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


def _kept(chunk: Chunk, chunk_count: int, position: int) -> _Stored:
    return _Stored(
        document_id=chunk.document_id,
        version=chunk.version,
        ordinal=chunk.ordinal,
        chunk_count=chunk_count,
        position=position,
    )


def _read(collection: "Collection", ids: set[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The metadata of those of the ids that are there."""
    for batch in _batches(sorted(ids)):
        yield from _with_metadata(collection.get(ids=batch, include=["metadatas"]))


def _with_metadata(found: "GetResult") -> Iterator[tuple[str, Mapping[str, object]]]:
    assert found["metadatas"] is not None
    return zip(found["ids"], found["metadatas"], strict=True)


def _batches(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), BATCH_MAX):
        yield items[start : start + BATCH_MAX]
