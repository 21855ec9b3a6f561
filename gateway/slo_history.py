"""What was counted for the objectives, kept over a restart: a month's error budget is not new with every process."""

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from domain.slo import Counts

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counted (
    at_s REAL NOT NULL, slo TEXT NOT NULL, bad REAL NOT NULL, total REAL NOT NULL,
    PRIMARY KEY (slo, at_s)) WITHOUT ROWID;
"""


class SloHistory:
    """Samples by objective in an SQLite file. A sample that a crash takes away is one minute of a month: no fsync.

    Args:
        path: the file; its folder is made.
        keep_s: how long a sample is kept.
    """

    def __init__(self, path: Path, keep_s: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def add(self, at_s: float, counted: Mapping[str, Counts]) -> None:
        """Keep what was counted up to a time since the last one, and forget what is too old."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO counted VALUES (?,?,?,?)",
                    [(at_s, slo, counts.bad, counts.total) for slo, counts in counted.items()],
                )
                self._connection.executemany(
                    "DELETE FROM counted WHERE slo=? AND at_s<?", [(slo, at_s - self._keep_s) for slo in counted]
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def read(self, slo: str) -> list[tuple[float, Counts]]:
        """The samples of an objective in the order of time."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT at_s, bad, total FROM counted WHERE slo=? ORDER BY at_s", (slo,)
            ).fetchall()
        return [(at_s, Counts(bad=bad, total=total)) for at_s, bad, total in rows]

    def last_s(self) -> float:
        """The time of the last sample of all, 0 if there is none."""
        with self._lock:
            [last] = self._connection.execute("SELECT coalesce(max(at_s), 0.0) FROM counted").fetchone()
        return float(last)

    def close(self) -> None:
        with self._lock:
            self._connection.close()
