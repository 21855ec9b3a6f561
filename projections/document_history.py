"""Every version of a tenant's documents with the vectors and words of its passages: the exact search.

The live indexes know the newest versions only, and approximately. A past answer must stay what it is whatever is
published later, so here the passages that were current then are compared one by one: exact, and in a fixed order.
A filter asks for the same: as many are found as there are, whatever else the corpus has.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from projections import fusion
from projections.chunking import Chunk
from projections.embedder import DIMENSIONS, Vectors
from projections.payment_view import POSITION_MAX, micros
from projections.vectors import Hit
from projections.words import Tally, passage_words, rank

# Nothing here is ever changed or deleted. `compared` is what passages are compared by, under their digests: vectors
# are little-endian 32-bit floats, words as `passage_words` gives them.
SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    document_id TEXT NOT NULL, version INTEGER NOT NULL, position INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    is_withdrawn INTEGER NOT NULL, title TEXT NOT NULL, metadata BLOB NOT NULL,
    PRIMARY KEY (document_id, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
    document_id TEXT NOT NULL, version INTEGER NOT NULL, chunk_id TEXT NOT NULL, heading TEXT NOT NULL,
    text TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (document_id, version, chunk_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS compared (digest TEXT PRIMARY KEY, vector BLOB NOT NULL, words TEXT NOT NULL);
"""

# A document was what its last version by then says; the clock of the recording may go back, versions do not.
_CURRENT = """
SELECT chunks.document_id, chunks.version, chunks.chunk_id, vector, words
FROM (SELECT document_id, max(version) AS version FROM versions
      WHERE position <= ? AND recorded_at <= ? GROUP BY document_id) AS current
JOIN versions USING (document_id, version)
CROSS JOIN chunks USING (document_id, version)
CROSS JOIN compared USING (digest)
WHERE NOT is_withdrawn
"""
_FILTER = " AND EXISTS (SELECT 1 FROM json_each(versions.metadata) WHERE key=? AND value=?)"
_ROWS_MAX = 4_096
# Scores that differ by less are equal: the model's last digits depend on what was embedded together.
_DIGITS = 5


class PastHit(Hit, frozen=True, kw_only=True):
    """A passage of one version of its document."""

    version: int


class VersionKept(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a document where it lies in the log; one that was withdrawn has no passages."""

    document_id: str
    version: int
    position: int
    recorded_at: datetime
    title: str = ""
    metadata: Mapping[str, str] = {}
    chunks: Sequence[Chunk] = ()
    is_withdrawn: bool = False


def keep(connection: sqlite3.Connection, versions: Sequence[VersionKept], vectors: Mapping[str, Vectors]) -> None:
    """Add versions, `vectors` by the digests of their passages; what is there already stays."""
    connection.executemany(
        "INSERT OR IGNORE INTO versions VALUES (?,?,?,?,?,?,?)",
        [
            (
                each.document_id,
                each.version,
                each.position,
                micros(each.recorded_at),
                each.is_withdrawn,
                each.title,
                msgspec.json.encode(each.metadata),
            )
            for each in versions
        ],
    )
    parts = [part for each in versions for part in each.chunks]
    connection.executemany(
        "INSERT OR IGNORE INTO chunks VALUES (?,?,?,?,?,?)",
        [(part.document_id, part.version, part.chunk_id, part.heading, part.text, part.digest) for part in parts],
    )
    new = {part.digest: part for part in parts}
    for (known,) in connection.execute(
        "SELECT digest FROM compared WHERE digest IN (SELECT value FROM json_each(?))",
        (msgspec.json.encode(list(new)).decode(),),
    ).fetchall():
        del new[known]
    connection.executemany(
        "INSERT INTO compared VALUES (?,?,?)",
        [(digest, vectors[digest].astype("<f4").tobytes(), passage_words(part)) for digest, part in new.items()],
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

    def query(
        self,
        questions: Sequence[str],
        vectors: Vectors,
        top_k: int,
        *,
        as_of: datetime | None = None,
        known_at: int | None = None,
        filters: Mapping[str, str] | None = None,
    ) -> list[list[PastHit]]:
        """For each question (and its row of `vectors`) up to `top_k` passages of the versions that were current.

        Current means the last one recorded up to `as_of` and up to log position `known_at`, unless that withdrew it.
        Of those count the ones whose metadata have all that `filters` names. They are ranked by meaning and by words,
        and by both together.
        """
        wanted = filters or {}
        parameters: list[object] = [
            POSITION_MAX if known_at is None else min(known_at, POSITION_MAX),
            POSITION_MAX if as_of is None else micros(as_of),
            *(part for each in wanted.items() for part in each),
        ]
        keys: list[tuple[str, int, str]] = []
        cosines: list[Vectors] = []
        tallies = [Tally(question) for question in questions]
        with self._lock:
            cursor = self._connection.execute(_CURRENT + _FILTER * len(wanted), parameters)
            while rows := cursor.fetchmany(_ROWS_MAX):
                stored = np.frombuffer(b"".join(row[3] for row in rows), dtype="<f4").reshape(-1, DIMENSIONS)
                cosines.append(np.round(vectors @ stored.T, _DIGITS))
                for tally in tallies:
                    tally.add([row[4] for row in rows])
                keys += [row[:3] for row in rows]
        if not keys:
            return [[] for _ in questions]
        return [
            _best(keys, of_question, tally, top_k)
            for of_question, tally in zip(np.concatenate(cosines, axis=1), tallies, strict=True)
        ]

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()


def _best(keys: Sequence[tuple[str, int, str]], cosines: Vectors, tally: Tally, top_k: int) -> list[PastHit]:
    """Both rankings of the passages, fused."""
    ids = [key[2] for key in keys]
    depth = min(fusion.depth(top_k), len(ids))
    least = np.partition(cosines, -depth)[-depth]
    dense = sorted(map(int, np.flatnonzero(cosines >= least)), key=lambda index: (-float(cosines[index]), ids[index]))
    lexical = rank(tally.scores(), ids, depth)
    index_of = {ids[index]: index for index in (*dense, *lexical)}
    found = fusion.fused([ids[index] for index in dense[:depth]], [ids[index] for index in lexical])[:top_k]
    return [_hit(keys[index_of[each]], float(cosines[index_of[each]])) for each, _ in found]


def _hit(key: tuple[str, int, str], cosine: float) -> PastHit:
    return PastHit(document_id=key[0], version=key[1], chunk_id=key[2], score=min(1.0, cosine))
