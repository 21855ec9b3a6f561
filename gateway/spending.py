"""What was spent on each tenant on each day, so that no day costs more than was allowed, whatever restarts."""

import sqlite3
import threading
from datetime import date, timedelta
from pathlib import Path

KEPT = timedelta(days=40)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    tenant TEXT NOT NULL, day TEXT NOT NULL, micros INTEGER NOT NULL, PRIMARY KEY (tenant, day)) WITHOUT ROWID;
"""


class Spending:
    """Sums by tenant and day, in millionths of a currency. Any number of threads may use it.

    What may be spent is taken before it is spent, and what was not spent is given back: a process that dies between
    has spent too much on paper, never too little.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_SCHEMA}")
        self._lock = threading.Lock()

    def take(self, tenant: str, day: date, micros: int, *, micros_max: int) -> bool:
        """Take an amount from the day's allowance. Returns whether it was there; if not, nothing is taken."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            spent = self._spent(tenant, day)
            if spent + micros > micros_max:
                return False
            self._add(tenant, day, micros)
            self._connection.execute("DELETE FROM spent WHERE day < ?", ((day - KEPT).isoformat(),))
            return True

    def give_back(self, tenant: str, day: date, micros: int) -> None:
        """What was taken and not spent; less than nothing, if more was spent than was taken."""
        with self._lock, self._connection:
            self._add(tenant, day, -micros)

    def spent(self, tenant: str, day: date) -> int:
        with self._lock:
            return self._spent(tenant, day)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _spent(self, tenant: str, day: date) -> int:
        row = self._connection.execute(
            "SELECT micros FROM spent WHERE tenant=? AND day=?", (tenant, day.isoformat())
        ).fetchone()
        return int(row[0]) if row else 0

    def _add(self, tenant: str, day: date, micros: int) -> None:
        self._connection.execute(
            "INSERT INTO spent VALUES (?,?,?) "
            "ON CONFLICT (tenant, day) DO UPDATE SET micros = micros + excluded.micros",
            (tenant, day.isoformat(), micros),
        )
