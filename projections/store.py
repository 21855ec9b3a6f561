"""A tenant's SQLite file in one generation: checkpoint and parked events beside what a projection keeps.

One process owns the file, the last one that opened it: it may remember what the file holds, and whoever owned it
before can write no more, and is told so when it asks how far the file is. Several threads of the owner may use it, one
at a time.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import FencedError
from projections.feed import LogEntry

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoint (only INTEGER PRIMARY KEY CHECK (only = 1), position INTEGER NOT NULL);
INSERT OR IGNORE INTO checkpoint VALUES (1, 0);
CREATE TABLE IF NOT EXISTS parked (
    position INTEGER PRIMARY KEY, stream TEXT NOT NULL, topic TEXT NOT NULL, error TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS parked_stream ON parked (stream);
CREATE TABLE IF NOT EXISTS owner (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL);
INSERT OR IGNORE INTO owner VALUES (1, 0);
"""


def claimed_position(path: Path, *, layout: int, code: str = "") -> int:
    """Take a file over as opening it does, without keeping it open; returns the last position that is applied there.

    0 for a file that is not there, or that opening it would empty: see `Store`.
    """
    if not path.exists():
        return 0
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("UPDATE owner SET epoch=epoch+1")
        [position] = connection.execute("SELECT position FROM checkpoint").fetchone()
        [found] = connection.execute("PRAGMA user_version").fetchone()
        [folded_by] = connection.execute("SELECT code FROM folded_by").fetchone() or [""]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise
    finally:
        connection.close()
    return int(position) if (found, folded_by) == (layout, code) else 0


class Store:
    """An SQLite file with a checkpoint: what is applied and how far is written in one transaction.

    Derived data is rebuilt from the log after a loss, so a commit is not fsynced (synchronous NORMAL in WAL mode
    keeps the file consistent; https://www.sqlite.org/pragma.html#pragma_synchronous).

    Args:
        path: the file; its folder is made.
        schema: what the projection keeps, each table `IF NOT EXISTS`.
        layout: the number of the schema. A file of another layout is emptied, and its content comes from the log again.
        code: names the code that folds what is kept (`code_of`), where folds are kept. A file that other code filled is
            emptied as well.
    """

    def __init__(self, path: Path, schema: str, *, layout: int = 0, code: str = "") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._empty_unless(layout, code)
        # In one transaction: each statement of its own would be a commit.
        self._connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}{schema};COMMIT")
        self._path = path
        [self._epoch] = self._connection.execute("UPDATE owner SET epoch=epoch+1 RETURNING epoch").fetchone()
        self._parked = {row[0] for row in self._connection.execute("SELECT DISTINCT stream FROM parked")}

    def _empty_unless(self, layout: int, code: str) -> None:
        """Drop what another layout or other code kept. Who owns the file stays, so that its former owner is out."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("CREATE TABLE IF NOT EXISTS folded_by (code TEXT NOT NULL)")
        [found] = self._connection.execute("PRAGMA user_version").fetchone()
        folded_by = self._connection.execute("SELECT code FROM folded_by").fetchone()
        if (found, *(folded_by or [""])) != (layout, code):
            tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
            for (name,) in tables:
                if name not in {"owner", "folded_by"}:
                    self._connection.execute(f'DROP TABLE "{name}"')
            self._connection.execute(f"PRAGMA user_version={layout:d}")
            self._connection.execute("DELETE FROM folded_by")
            self._connection.execute("INSERT INTO folded_by VALUES (?)", (code,))
        self._connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, to this thread alone."""
        with self._lock:
            yield self._connection

    @contextmanager
    def writing(self, position: int) -> Iterator[sqlite3.Connection]:
        """A transaction that also moves the checkpoint to `position`.

        Raises:
            FencedError: another process has opened the file since, and owns it now.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._check_owner(*self._connection.execute("SELECT epoch FROM owner").fetchone())
                yield self._connection
                self._connection.execute("UPDATE checkpoint SET position=? WHERE position<?", (position, position))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends it by itself when, for example, the disk is full.
                    self._connection.execute("ROLLBACK")
                raise

    def _check_owner(self, current: int) -> None:
        if current != self._epoch:
            raise FencedError(str(self._path), held=self._epoch, current=current)

    def position(self) -> int:
        """The last log position that is applied.

        Raises:
            FencedError: another process has opened the file since. What it applied, nobody here would tell of.
        """
        with self.reading() as connection:
            position, current = connection.execute("SELECT position, epoch FROM checkpoint, owner").fetchone()
        self._check_owner(current)
        return int(position)

    def is_parked(self, stream: str) -> bool:
        """Whether an earlier event of the stream could not be applied, so that later ones wait behind it."""
        return stream in self._parked

    def park(self, entry: LogEntry, error: str) -> None:
        """Put an event aside with its reason; the rest goes on."""
        with self.writing(entry.position) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO parked VALUES (?,?,?,?)", (entry.position, entry.stream, entry.topic, error)
            )
        self._parked.add(entry.stream)

    def parked(self) -> list[tuple[int, str, str]]:
        """(position, stream, error) of every parked event."""
        with self.reading() as connection:
            return connection.execute("SELECT position, stream, error FROM parked ORDER BY position").fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()
