"""Every passage of a tenant compared with the question: the index of those who have few.

It keeps nothing: the vectors lie beside the passages in the documents' file, in the same transaction, so it cannot lack
one or have one too many. A client of Chroma costs 4 MB, 11 open files and 6 threads for each tenant, and comparing
5,000 passages takes about a millisecond (docs/decisions/0014-exact-search-for-small-tenants.md).
"""

import sqlite3
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from projections.chunking import Chunk, document_of
from projections.embedder import DIMENSIONS, Vectors
from projections.vectors import Hit

EXACT_PASSAGES_MAX = 5_000

# The documents that changed after a position, each with its current passages, none if it is withdrawn.
_CHANGED = """
SELECT documents.document_id, documents.version, documents.position, chunk_id, vector FROM documents
LEFT JOIN chunks ON chunks.document_id = documents.document_id AND chunks.version = documents.version
    AND NOT is_withdrawn
LEFT JOIN compared USING (digest)
WHERE documents.position > ? ORDER BY documents.document_id, chunk_id
"""


class _Passages(msgspec.Struct, frozen=True, kw_only=True):
    """What was current at a position; `keys` are (chunk id, document id, version), one per row of `matrix`."""

    keys: list[tuple[str, str, int]]
    matrix: Vectors
    position: int
    data_version: int = -1


_NOTHING = _Passages(keys=[], matrix=np.empty((0, DIMENSIONS), dtype=np.float32), position=-1)


class ExactIndex:
    """A tenant's current passages by cosine, all of them compared. Safe for several threads.

    Args:
        path: the documents' file. It need not be there before the first question.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._passages = _NOTHING

    def apply(self, upserts: Sequence[tuple[Chunk, Vectors]], withdrawn: Mapping[str, int], position: int) -> None:
        """Nothing is to be written: the passages' own transaction says what is current."""

    def query(self, vectors: Vectors, top_k: int) -> list[list[Hit]]:
        """For each row of `vectors` up to `top_k` passages, the nearest first; of equal ones the lesser id."""
        current = self._current()
        count = min(top_k, len(current.keys))
        if not count:
            return [[] for _ in vectors]
        found = []
        for scores in vectors @ current.matrix.T:
            least = np.partition(scores, -count)[-count]
            hits = [_hit(current.keys[index][0], float(scores[index])) for index in np.flatnonzero(scores >= least)]
            found.append(sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:count])
        return found

    def position(self) -> int:
        """Beyond every position: it is never behind the file that it reads."""
        return sys.maxsize

    def versions(self) -> dict[str, int]:
        """Chunk id -> version of every passage, to compare with the fold."""
        return {chunk_id: version for chunk_id, _, version in self._current().keys}

    def close(self) -> None:
        """Release the file and the memory. May be called twice."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._passages = None, _NOTHING

    def _current(self) -> _Passages:
        """The passages as the file has them now; only documents that changed since the last look are read."""
        with self._lock:
            if self._connection is None:
                uri = f"{self._path.resolve().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
            # Another number says that another connection has committed (https://www.sqlite.org/pragma.html).
            [data_version] = self._connection.execute("PRAGMA data_version").fetchone()
            if data_version != self._passages.data_version:
                rows = self._connection.execute(_CHANGED, (self._passages.position,)).fetchall()
                self._passages = _with(self._passages, rows, data_version)
            return self._passages


def _with(before: _Passages, rows: Sequence[tuple[str, int, int, str | None, bytes | None]], seen: int) -> _Passages:
    """The passages after some documents changed."""
    if not rows:
        return msgspec.structs.replace(before, data_version=seen)
    changed = {row[0] for row in rows}
    kept = [index for index, (_, document_id, _) in enumerate(before.keys) if document_id not in changed]
    new = [row for row in rows if row[4] is not None]
    vectors = np.frombuffer(b"".join(row[4] or b"" for row in new), dtype="<f4").reshape(-1, DIMENSIONS)
    return _Passages(
        keys=[*(before.keys[index] for index in kept), *((str(row[3]), row[0], row[1]) for row in new)],
        matrix=np.concatenate([before.matrix[kept], vectors]) if kept else vectors.astype(np.float32),
        position=max(before.position, *(row[2] for row in rows)),
        data_version=seen,
    )


def _hit(chunk_id: str, score: float) -> Hit:
    return Hit(chunk_id=chunk_id, document_id=document_of(chunk_id), score=min(1.0, score))
