"""The log and the indexes of a simulated node: the real recorder with faults, vectors and words in memory."""

import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteDatastore
from numpy.typing import NDArray

from actors.recorder import LogRecorder, Snapshot
from projections.chunking import Chunk
from projections.embedder import TextEmbedder, Vectors
from projections.feed import Feed, LogEntry, Page, SqliteFeed
from projections.projector import TenantStore
from projections.store import Store
from projections.vectors import Hit
from projections.words import Tally, passage_words, rank
from simulations.faults import Faults


class FaultyRecorder(LogRecorder):
    """The production recorder, whose commits may fail, or fail to say that they happened."""

    def __init__(self, datastore: SQLiteDatastore, faults: Faults, kind: str, on_append: Callable[[int], None]) -> None:
        self._faults = faults
        self._kind = kind
        self._on_append = on_append
        super().__init__(datastore)

    def append(
        self, events: Sequence[StoredEvent], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> Sequence[int]:
        if self._faults.happens("commit_fails", self._kind):
            raise OperationalError("database is locked")
        positions = super().append(events, leases=leases, snapshots=snapshots)
        self._on_append(positions[-1])
        if self._faults.happens("commit_unknown", self._kind):
            raise OperationalError("disk I/O error")
        return positions


class SimulatedLog:
    """One log, and connections to it: in memory all share one, in a file each has its own."""

    def __init__(self, file: Path | None, faults: Faults, on_append: Callable[[], None]) -> None:
        self._file = file
        self._faults = faults
        self._on_append = on_append
        self._opened: list[SQLiteDatastore] = []
        first = LogRecorder(self._datastore())
        first.create_table()
        self._memory = RecorderFeed(first) if file is None else None
        self.feed: Feed = self._memory or SqliteFeed(str(file))

    def _appended(self, head: int) -> None:
        if self._memory is not None:
            self._memory.known_head = head
        self._on_append()

    def _datastore(self) -> SQLiteDatastore:
        if self._file is not None or not self._opened:
            self._opened.append(SQLiteDatastore(str(self._file or ":memory:"), originator_id_type="text"))
        return self._opened[-1]

    def connect(self, kind: str, recorder: type[FaultyRecorder]) -> FaultyRecorder:
        """A connection for a process of a kind."""
        return recorder(self._datastore(), self._faults, kind, self._appended)

    def add(self, events: Sequence[tuple[str, int, str, bytes]]) -> None:
        """What lies in the log from before: stream, version, topic and bytes."""
        positions = LogRecorder(self._datastore()).insert_events([StoredEvent(*event) for event in events])
        assert positions, "nothing is added"
        self._appended(positions[-1])

    def close(self) -> None:
        for datastore in self._opened:
            datastore.close()


class RecorderFeed:
    """The feed of a log that is in memory, which tells it how far it is. What was read once is not read again."""

    def __init__(self, recorder: LogRecorder) -> None:
        self._recorder = recorder
        self._entries: list[LogEntry] = []
        self._streams: dict[str, list[LogEntry]] = {}
        self.known_head = 0

    def head(self) -> int:
        return self.known_head

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        self._catch_up()
        head = self.head()
        if head <= after:
            return Page(entries=[], position=after)
        # Positions have no gap: a commit that fails leaves none behind in SQLite.
        new = islice(self._entries, after, None)
        entries = list(islice((each for each in new if not topics or each.topic in topics), limit))
        return Page(entries=entries, position=entries[-1].position if len(entries) == limit else head)

    def stream(self, stream: str) -> list[LogEntry]:
        self._catch_up()
        return list(self._streams.get(stream, ()))

    def _catch_up(self) -> None:
        read = len(self._entries)
        if self.known_head <= read:
            return
        for each in self._recorder.select_notifications(read + 1, self.known_head, stop=self.known_head):
            entry = LogEntry(
                position=each.id,
                stream=str(each.originator_id),
                version=each.originator_version,
                topic=each.topic,
                state=each.state,
            )
            assert entry.position == len(self._entries) + 1, "positions have no gap"
            self._entries.append(entry)
            self._streams.setdefault(entry.stream, []).append(entry)


class ShortPages:
    """A feed that gives fewer entries at a time than it is asked for, as if the log were long."""

    def __init__(self, feed: Feed, faults: Faults) -> None:
        self._feed = feed
        self._faults = faults

    def head(self) -> int:
        return self._feed.head()

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        if self._faults.happens("short_pages", times=5):
            limit = min(limit, 1 + self._faults.choices.of("short_pages").below(5))
        return self._feed.read(after, limit=limit, topics=topics)

    def stream(self, stream: str) -> list[LogEntry]:
        return self._feed.stream(stream)


class InterruptedEmbedder:
    """An embedder that lets something else happen first: questions are embedded in the middle of a query."""

    def __init__(self, embedder: TextEmbedder, interrupt: Callable[[], None]) -> None:
        self._embedder = embedder
        self._interrupt = interrupt
        self.name = embedder.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        self._interrupt()
        return self._embedder.embed(texts)


class FailingEmbedder:
    """An embedder that fails now and then."""

    def __init__(self, embedder: TextEmbedder, faults: Faults) -> None:
        self._embedder = embedder
        self._faults = faults
        self.name = embedder.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self._faults.happens("embedder_fails", times=5):
            raise OSError("the model cannot be run now")
        return self._embedder.embed(texts)


def make_busy(part: TenantStore, faults: Faults) -> None:
    """Let a tenant's file be locked by somebody else now and then."""
    apply = part.apply

    def applied(entries: Sequence[LogEntry], position: int) -> set[str]:
        if faults.happens("store_busy"):
            raise sqlite3.OperationalError("database is locked")
        return apply(entries, position)

    part.apply = applied  # type: ignore[method-assign]  # it is this instance that is busy


# By schema, layout and code: an empty file as production's code leaves it.
_EMPTY: dict[tuple[str, int, str], bytes] = {}
_open_store = Store.__init__


def open_store(store: Store, path: Path, schema: str, *, layout: int = 0, code: str = "") -> None:
    """Open a store as production does; a new one begins as a copy of an empty one, for its tables are slow to make."""
    if not path.exists():
        key = (schema, layout, code)
        if key not in _EMPTY:
            _EMPTY[key] = _empty_file(schema, layout, code)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_EMPTY[key])
    _open_store(store, path, schema, layout=layout, code=code)


def _empty_file(schema: str, layout: int, code: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="recount-world-") as directory:
        path = Path(directory) / "empty.sqlite"
        made = Store.__new__(Store)
        _open_store(made, path, schema, layout=layout, code=code)
        made.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # Nobody has opened it yet.
            connection.execute("UPDATE owner SET epoch=0")
        return path.read_bytes()


class _MemoryPassages:
    """The newest versions' passages in memory, under the same promises as the indexes in files.

    What is held outlives the process that owns it, as files do. Written as soon as `apply` says so: a crash of the
    process between this and the checkpoint of what lies beside it is what simulations look at.
    """

    def __init__(self, kept: dict[str, Any]) -> None:
        self._kept = kept
        self._passages: dict[str, tuple[Chunk, Any]] = kept.setdefault("passages", {})
        self._withdrawn: dict[str, int] = kept.setdefault("withdrawn", {})

    def _apply(self, upserts: Sequence[tuple[Chunk, Any]], withdrawn: Mapping[str, int], position: int) -> None:
        for document_id, version in withdrawn.items():
            self._withdrawn[document_id] = max(version, self._withdrawn.get(document_id, 0))
            self._drop(document_id, version + 1)
        given = {chunk.document_id: chunk.version for chunk, _ in upserts}
        for document_id, version in given.items():
            self._drop(document_id, version)
        newest = {kept.document_id: kept.version for kept, _ in self._passages.values()}
        for chunk, beside in upserts:
            is_older = chunk.version < newest.get(chunk.document_id, 0)
            if not is_older and chunk.version > self._withdrawn.get(chunk.document_id, 0):
                self._passages[chunk.chunk_id] = (chunk, beside)
        self._kept["position"] = max(position, self.position())

    def _drop(self, document_id: str, before: int) -> None:
        """Forget what is of a document in versions before one."""
        old = [
            chunk_id
            for chunk_id, (kept, _) in self._passages.items()
            if kept.document_id == document_id and kept.version < before
        ]
        for chunk_id in old:
            del self._passages[chunk_id]

    def position(self) -> int:
        return int(self._kept.get("position", 0))

    def versions(self) -> dict[str, int]:
        return {chunk_id: kept.version for chunk_id, (kept, _) in self._passages.items()}

    def close(self) -> None:
        """What is in memory stays for the next owner."""

    def _hits(self, indexes: Sequence[int], scores: NDArray[np.float32]) -> list[Hit]:
        chunks = [chunk for chunk, _ in self._passages.values()]
        return [
            Hit(chunk_id=chunks[index].chunk_id, document_id=chunks[index].document_id, score=float(scores[index]))
            for index in indexes
        ]


class MemoryVectors(_MemoryPassages):
    """Passages by cosine, exact: `projections.vectors.VectorIndex` without its files and threads."""

    def apply(self, upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int], position: int) -> None:
        self._apply(upserts, withdrawn, position)

    def query(self, vectors: Vectors, top_k: int) -> list[list[Hit]]:
        if not self._passages or not len(vectors):
            return [[] for _ in vectors]
        ids = list(self._passages)
        scores = vectors @ np.stack([vector for _, vector in self._passages.values()]).T
        return [
            self._hits(sorted(range(len(ids)), key=lambda each: (-row[each], ids[each]))[:top_k], row) for row in scores
        ]


class MemoryWords(_MemoryPassages):
    """Passages by BM25, exact: `projections.lexical.LexicalIndex` without its files and threads."""

    def apply(self, passages: Sequence[Chunk], withdrawn: Mapping[str, int], position: int) -> None:
        self._apply([(passage, passage_words(passage)) for passage in passages], withdrawn, position)

    def query(self, questions: Sequence[str], top_k: int) -> list[list[Hit]]:
        found = []
        for question in questions:
            tally = Tally(question)
            tally.add([words for _, words in self._passages.values()])
            scores = tally.scores()
            found.append(self._hits(rank(scores, list(self._passages), top_k), scores))
        return found

    def uncommitted(self) -> frozenset[str]:
        """None: everything is written at once."""
        return frozenset()

    def flush(self) -> None:
        """Everything is written already."""
