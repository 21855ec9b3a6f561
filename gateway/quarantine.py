"""What could not be taken in: the message, why, and the way to send it in again. One file per tenant."""

import hashlib
import sqlite3
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from domain.errors import TerminalError
from domain.ids import is_tenant
from gateway.raw_store import SEALED, MakeRawStore, RawStore, SqliteRawStore

State = Literal["open", "requeued", "applied"]
Order = Literal["first_seen_at", "last_seen_at"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    tenant TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL,
    bytes INTEGER NOT NULL, state TEXT NOT NULL, deliveries INTEGER NOT NULL, first_seen_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL, PRIMARY KEY (tenant, id));
CREATE INDEX IF NOT EXISTS quarantine_state ON quarantine (tenant, state, first_seen_at, id);
"""

# Messages for tenants that are not configured, whoever they are: senders choose those names, and each directory of its
# own would be one too many. When such a tenant is configured, its messages move to its file.
UNCLAIMED = "_unclaimed"
FILES_OPEN_MAX = 64
DETAIL_CHARS_MAX = 500

log = structlog.get_logger("quarantine")


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be put aside: how it came, and why it cannot be taken in."""

    tenant: str
    source: str
    raw: bytes
    headers: Mapping[str, str]
    code: str
    detail: str
    at: datetime


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


class _File(msgspec.Struct, frozen=True):
    """An open quarantine file, and where its messages are kept."""

    connection: sqlite3.Connection
    raw: RawStore


class Quarantine:
    """The quarantine of every tenant on this node. Several processes may use the same files.

    Args:
        data: the node's directory.
        tenants: who is configured, and has a file of its own.
        raw_store: makes the store of the messages.
    """

    def __init__(self, data: Path, *, tenants: Collection[str] = (), raw_store: MakeRawStore = SqliteRawStore) -> None:
        self._data = data
        self._tenants = tenants
        self._raw_store = raw_store
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()

    def put(
        self, tenant: str, source: str, *, raw: bytes, headers: Mapping[str, str], code: str, detail: str, at: datetime
    ) -> str:
        """Keep a message with its reason and return its id. The same bytes again are the same entry, open again."""
        aside = Aside(tenant=tenant, source=source, raw=raw, headers=headers, code=code, detail=detail, at=at)
        return self.put_all([aside])[0]

    def put_all(self, asides: Sequence[Aside]) -> list[str]:
        """Keep messages, those of one file in one transaction, and return their ids."""
        of_place: defaultdict[str, list[Aside]] = defaultdict(list)
        for aside in asides:
            of_place[self._place(aside.tenant)].append(aside)
        for place, here in of_place.items():
            with self._lock, (file := self._open(place)).connection:
                for aside in here:
                    _put(file, aside)
        return [quarantine_id(aside.source, aside.raw) for aside in asides]

    def mark(self, tenant: str, names: Sequence[str], state: State) -> None:
        """Say what became of messages: sent in again, or taken in at last."""
        with self._lock, self._of(tenant).connection as connection:
            connection.executemany(
                "UPDATE quarantine SET state=? WHERE tenant=? AND id=?", [(state, tenant, name) for name in names]
            )

    def listed(
        self,
        tenant: str,
        *,
        state: State | None = "open",
        code: str = "",
        source: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        order: Order = "first_seen_at",
        limit: int = 100,
    ) -> list[Quarantined]:
        """The entries of a state (all for `None`), code and source that came first in `[since, until)`, in order."""
        where, given = _where(tenant, state=state, code=code, source=source, since=since, until=until)
        with self._lock, self._of(tenant).connection as connection:
            rows = connection.execute(
                "SELECT id, source, code, detail, state, deliveries, bytes, first_seen_at, last_seen_at "  # noqa: S608 - the condition is ours, its values are parameters
                f"FROM quarantine WHERE {where} ORDER BY {order}, id LIMIT ?",
                [*given, limit],
            ).fetchall()
        return [
            msgspec.convert(dict(zip(Quarantined.__struct_fields__, row, strict=True)), Quarantined) for row in rows
        ]

    def count(
        self,
        tenant: str,
        *,
        code: str = "",
        source: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """How many entries are open of those that `listed` would list."""
        where, given = _where(tenant, state="open", code=code, source=source, since=since, until=until)
        with self._lock, self._of(tenant).connection as connection:
            found: int = connection.execute(f"SELECT count(*) FROM quarantine WHERE {where}", given).fetchone()[0]  # noqa: S608 - see above
        return found

    def entry(self, tenant: str, name: str) -> Quarantined | None:
        """One entry, `None` if there is none of that id."""
        with self._lock, self._of(tenant).connection as connection:
            row = connection.execute(
                "SELECT id, source, code, detail, state, deliveries, bytes, first_seen_at, last_seen_at "
                "FROM quarantine WHERE tenant=? AND id=?",
                (tenant, name),
            ).fetchone()
        return msgspec.convert(dict(zip(Quarantined.__struct_fields__, row, strict=True)), Quarantined) if row else None

    def message(self, tenant: str, name: str) -> RawMessage | None:
        """The message as it came, `None` if there is none of that id. Raises `TerminalError` if it cannot be opened."""
        with self._lock, (file := self._of(tenant)).connection:
            kept = file.raw.get(_key(tenant, name))
        if kept is None:
            return None
        if kept.startswith(SEALED):
            raise TerminalError(f"{name} is sealed; set quarantine.key_file to the file with its key")
        return msgspec.msgpack.decode(kept, type=RawMessage)

    def counts(self, tenant: str) -> dict[str, int]:
        """Open entries by code."""
        with self._lock, self._of(tenant).connection as connection:
            return dict(
                connection.execute(
                    "SELECT code, count(*) FROM quarantine WHERE tenant=? AND state='open' GROUP BY code", (tenant,)
                ).fetchall()
            )

    def _place(self, tenant: str) -> str:
        return f"tenants/{tenant}" if tenant in self._tenants and is_tenant(tenant) else UNCLAIMED

    def _of(self, tenant: str) -> _File:
        """The file with the tenant's messages; its connection as a context manager is a transaction."""
        return self._open(self._place(tenant))

    def _open(self, place: str) -> _File:
        file = self._files.get(place)
        if file is None:
            file = self._files[place] = self._opened(place)
            if place != UNCLAIMED and (self._data / UNCLAIMED).exists():
                try:
                    self._claim(place.removeprefix("tenants/"), file)
                except TerminalError as error:
                    log.warning("quarantine_not_claimed", tenant=place.removeprefix("tenants/"), reason=error.reason)
            # The least recently used is closed; there may be thousands of tenants.
            while len(self._files) > FILES_OPEN_MAX:
                self._files.popitem(last=False)[1].connection.close()
        self._files.move_to_end(place)
        return file

    def _opened(self, place: str) -> _File:
        directory = self._data / place
        directory.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(directory / "quarantine.sqlite", check_same_thread=False, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        # What is in here was accepted and is nowhere else once the stream forgets it: every commit is fsynced.
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        return _File(connection, self._raw_store(connection))

    def _claim(self, tenant: str, own: _File) -> None:
        """Move what came for the tenant before it was configured to its own file. Interrupted, it is done again."""
        unclaimed = self._open(UNCLAIMED)
        with unclaimed.connection as connection:
            rows = connection.execute("SELECT * FROM quarantine WHERE tenant=?", (tenant,)).fetchall()
        names = [row[1] for row in rows]
        with own.connection as connection:
            for row, name in zip(rows, names, strict=True):
                if (raw := unclaimed.raw.get(_key(tenant, name))) is not None:
                    own.raw.put(_key(tenant, name), raw)
                    connection.execute(f"INSERT OR IGNORE INTO quarantine VALUES ({','.join('?' * len(row))})", row)  # noqa: S608 - placeholders
        with unclaimed.connection as connection:
            for name in names:
                connection.execute("DELETE FROM quarantine WHERE tenant=? AND id=?", (tenant, name))
                unclaimed.raw.delete(_key(tenant, name))

    def close(self) -> None:
        with self._lock:
            for file in self._files.values():
                file.connection.close()
            self._files.clear()


def _put(file: _File, aside: Aside) -> None:
    name = quarantine_id(aside.source, aside.raw)
    message = RawMessage(source=aside.source, raw=aside.raw, headers=dict(aside.headers))
    file.raw.put(_key(aside.tenant, name), msgspec.msgpack.encode(message))
    file.connection.execute(
        "INSERT INTO quarantine VALUES (?1,?2,?3,?4,?5,?6,'open',1,?7,?7) ON CONFLICT (tenant, id) DO UPDATE SET "
        "code=excluded.code, detail=excluded.detail, state='open', deliveries=deliveries+1, "
        "last_seen_at=excluded.last_seen_at",
        (
            aside.tenant,
            name,
            aside.source,
            aside.code,
            aside.detail[:DETAIL_CHARS_MAX],
            len(aside.raw),
            _text(aside.at),
        ),
    )


def _where(
    tenant: str, *, state: State | None, code: str, source: str, since: datetime | None, until: datetime | None
) -> tuple[str, list[str]]:
    """The condition and its parameters."""
    asked = {
        "state=?": state,
        "code=?": code,
        "source=?": source,
        "first_seen_at>=?": _text(since) if since else "",
        "first_seen_at<?": _text(until) if until else "",
    }
    given = {condition: value for condition, value in asked.items() if value}
    return " AND ".join(["tenant=?", *given]), [tenant, *given.values()]


def _text(at: datetime) -> str:
    """A time as it sorts: in UTC, with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _key(tenant: str, name: str) -> str:
    return f"{tenant}/{name}"


def quarantine_id(source: str, raw: bytes) -> str:
    """The entry of these bytes from this source: the start of their SHA-256."""
    return hashlib.sha256(source.encode() + b"\0" + raw).hexdigest()[:24]
