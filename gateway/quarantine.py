"""What could not be taken in: the raw message, why, and the way to send it in again. One file per tenant."""

import hashlib
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from domain.ids import is_tenant

State = Literal["open", "requeued", "applied"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    id TEXT PRIMARY KEY, source TEXT NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL, raw BLOB NOT NULL,
    headers BLOB NOT NULL, state TEXT NOT NULL, deliveries INTEGER NOT NULL, first_seen_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS quarantine_state ON quarantine (state, first_seen_at, id);
"""

# Messages for what no tenant could be called. One that is only unknown yet has its directory already: its messages
# are sent in again once it is configured.
UNCLAIMED = "_unclaimed"


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was put aside. `deliveries` counts how often the same bytes came."""

    id: str
    source: str
    code: str
    detail: str
    state: State
    deliveries: int
    bytes: int
    first_seen_at: datetime
    last_seen_at: datetime


class RawMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it came."""

    source: str
    raw: bytes
    headers: Mapping[str, str]


class Quarantine:
    """The quarantine of every tenant on this node. Several processes may use the same files."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._connections: dict[str, sqlite3.Connection] = {}

    def put(
        self, tenant: str, source: str, *, raw: bytes, headers: Mapping[str, str], code: str, detail: str, at: datetime
    ) -> str:
        """Keep a message with its reason and return its id. The same bytes again are the same entry, open again."""
        name = quarantine_id(source, raw)
        with self._lock, self._of(tenant) as connection:
            connection.execute(
                "INSERT INTO quarantine VALUES (?1,?2,?3,?4,?5,?6,'open',1,?7,?7) ON CONFLICT (id) DO UPDATE SET "
                "code=excluded.code, detail=excluded.detail, state='open', deliveries=deliveries+1, "
                "last_seen_at=excluded.last_seen_at",
                (name, source, code, detail[:500], raw, msgspec.json.encode(dict(headers)), at.isoformat()),
            )
        return name

    def mark(self, tenant: str, names: Sequence[str], state: State) -> None:
        """Say what became of messages: sent in again, or taken in at last."""
        with self._lock, self._of(tenant) as connection:
            connection.executemany("UPDATE quarantine SET state=? WHERE id=?", [(state, name) for name in names])

    def listed(
        self, tenant: str, *, state: State | None = "open", code: str = "", limit: int = 100
    ) -> list[Quarantined]:
        """The entries in a state (all for `None`) and with a code if given, oldest first."""
        with self._lock, self._of(tenant) as connection:
            rows = connection.execute(
                "SELECT id, source, code, detail, state, deliveries, length(raw), first_seen_at, last_seen_at "
                "FROM quarantine WHERE (?1 IS NULL OR state=?1) AND (?2='' OR code=?2) "
                "ORDER BY first_seen_at, id LIMIT ?3",
                (state, code, limit),
            ).fetchall()
        return [
            msgspec.convert(dict(zip(Quarantined.__struct_fields__, row, strict=True)), Quarantined) for row in rows
        ]

    def message(self, tenant: str, name: str) -> RawMessage | None:
        """The message as it came, `None` if there is none of that id."""
        with self._lock, self._of(tenant) as connection:
            row = connection.execute("SELECT source, raw, headers FROM quarantine WHERE id=?", (name,)).fetchone()
        return RawMessage(source=row[0], raw=row[1], headers=msgspec.json.decode(row[2])) if row else None

    def counts(self, tenant: str) -> dict[str, int]:
        """Open entries by code."""
        with self._lock, self._of(tenant) as connection:
            return dict(
                connection.execute("SELECT code, count(*) FROM quarantine WHERE state='open' GROUP BY code").fetchall()
            )

    def _of(self, tenant: str) -> sqlite3.Connection:
        """The tenant's file; as a context manager it is a transaction."""
        place = f"tenants/{tenant}" if is_tenant(tenant) else UNCLAIMED
        connection = self._connections.get(place)
        if connection is None:
            directory = self._data / place
            directory.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(directory / "quarantine.sqlite", check_same_thread=False, timeout=10)
            connection.execute("PRAGMA journal_mode=WAL")
            # What is in here was accepted and is nowhere else once the stream forgets it: every commit is fsynced.
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            self._connections[place] = connection
        return connection

    def close(self) -> None:
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()


def quarantine_id(source: str, raw: bytes) -> str:
    """The entry of these bytes from this source: the start of their SHA-256."""
    return hashlib.sha256(source.encode() + b"\0" + raw).hexdigest()[:24]
