"""Every version of a tenant's documents with the vectors of its passages: what a question about the past is shown.

The live index knows the newest versions only, and approximately. A past answer must stay what it is whatever is
published later, so here the passages that were current then are compared one by one: exact, and in a fixed order.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from projections.chunking import Chunk
from projections.embedder import DIMENSIONS, Vectors
from projections.payment_view import POSITION_MAX, micros
from projections.vectors import Hit

# Nothing here is ever changed or deleted. `vectors` are little-endian 32-bit floats, by the digest of their passage.
SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    document_id TEXT NOT NULL, version INTEGER NOT NULL, position INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    is_withdrawn INTEGER NOT NULL, title TEXT NOT NULL, PRIMARY KEY (document_id, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    document_id TEXT NOT NULL, version INTEGER NOT NULL, chunk_id TEXT NOT NULL, heading TEXT NOT NULL,
    text TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (document_id, version, chunk_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (digest TEXT PRIMARY KEY, vector BLOB NOT NULL);
"""

# A document was what its last version by then says; the clock of the recording may go back, versions do not.
_CURRENT = """
SELECT chunks.document_id, chunks.version, chunks.chunk_id, vector
FROM (SELECT document_id, max(version) AS version FROM versions
      WHERE position <= ? AND recorded_at <= ? GROUP BY document_id) AS current
JOIN versions USING (document_id, version)
CROSS JOIN chunks USING (document_id, version)
CROSS JOIN vectors USING (digest)
WHERE NOT is_withdrawn
"""
_ROWS_MAX = 4_096
# Scores that differ by less are equal: the model's last digits depend on what was embedded together.
_DIGITS = 5


class VersionKept(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a document where it lies in the log; one that was withdrawn has no passages."""

    document_id: str
    version: int
    position: int
    recorded_at: datetime
    title: str = ""
    chunks: Sequence[Chunk] = ()
    is_withdrawn: bool = False


def keep(connection: sqlite3.Connection, versions: Sequence[VersionKept], vectors: Mapping[str, Vectors]) -> None:
    """Add versions, `vectors` by the digests of their passages; what is there already stays."""
    connection.executemany(
        "INSERT OR IGNORE INTO versions VALUES (?,?,?,?,?,?)",
        [
            (each.document_id, each.version, each.position, micros(each.recorded_at), each.is_withdrawn, each.title)
            for each in versions
        ],
    )
    parts = [part for each in versions for part in each.chunks]
    connection.executemany(
        "INSERT OR IGNORE INTO chunks VALUES (?,?,?,?,?,?)",
        [(part.document_id, part.version, part.chunk_id, part.heading, part.text, part.digest) for part in parts],
    )
    connection.executemany(
        "INSERT OR IGNORE INTO vectors VALUES (?,?)",
        [(digest, vector.astype("<f4").tobytes()) for digest, vector in vectors.items()],
    )


class DocumentHistory:
    """Finds passages as of a log position and a time, on a connection of its own: nobody else waits for it.

    Args:
        path: the file that has the tables of `SCHEMA`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    @property
    def _connection(self) -> sqlite3.Connection:
        """Opened for the first question about the past: most tenants are never asked one."""
        if self._opened is None:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            self._opened = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        return self._opened

    def query(self, vectors: Vectors, top_k: int, *, as_of: datetime | None, known_at: int | None) -> list[list[Hit]]:
        """For each row of `vectors` up to `top_k` passages, the nearest first, of the versions that were current.

        Current means the last one recorded up to `as_of` and up to log position `known_at`, unless that withdrew it.
        """
        until = (
            POSITION_MAX if known_at is None else min(known_at, POSITION_MAX),
            POSITION_MAX if as_of is None else micros(as_of),
        )
        best: list[list[Hit]] = [[] for _ in vectors]
        with self._lock:
            cursor = self._connection.execute(_CURRENT, until)
            while rows := cursor.fetchmany(_ROWS_MAX):
                stored = np.frombuffer(b"".join(row[3] for row in rows), dtype="<f4").reshape(-1, DIMENSIONS)
                count = min(top_k, len(rows))
                for found, scores in zip(best, np.round(vectors @ stored.T, _DIGITS), strict=True):
                    least = np.partition(scores, -count)[-count]
                    found += [_hit(rows[index], float(scores[index])) for index in np.flatnonzero(scores >= least)]
        return [sorted(found, key=_rank)[:top_k] for found in best]

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()


def _rank(hit: Hit) -> tuple[float, str, str]:
    return -hit.score, hit.document_id, hit.chunk_id


def _hit(row: tuple[str, int, str, bytes], score: float) -> Hit:
    return Hit(document_id=row[0], version=row[1], chunk_id=row[2], score=min(1.0, score))
