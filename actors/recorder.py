"""The log as one SQLite file, behind the recorder interface of the `eventsourcing` library.

It differs from the library's recorder where a total order needs it to:
- positions are AUTOINCREMENT, so that a position is never used twice (an implicit rowid is reused after a delete);
- a write takes the lock first (BEGIN IMMEDIATE): a read that is upgraded later fails at once when another process
  has written, without waiting (https://www.sqlite.org/isolation.html);
- leases, contiguity and snapshots are checked and written in the transaction that appends.
"""

import itertools
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import IntegrityError, Notification, OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore, SQLiteTransaction

from domain.errors import FencedError
from projections.feed import LogEntry

LOCK_TIMEOUT_S = 10

_EVENTS = """
CREATE TABLE IF NOT EXISTS {table} (
    position INTEGER PRIMARY KEY AUTOINCREMENT, originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL, state BLOB NOT NULL, UNIQUE (originator_id, originator_version))
"""
_LEASES = """
CREATE TABLE IF NOT EXISTS leases (lease TEXT PRIMARY KEY, epoch INTEGER NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID
"""
_SNAPSHOTS = """
CREATE TABLE IF NOT EXISTS snapshots (
    stream TEXT PRIMARY KEY, version INTEGER NOT NULL, shape TEXT NOT NULL, state BLOB NOT NULL)
"""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate's state at a version. `shape` names the state's schema: another one is thrown away and refolded."""

    stream: str
    version: int
    shape: str
    state: bytes


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who took a lease last, and how often it was taken."""

    epoch: int
    owner: str


class ImmediateTransaction(SQLiteTransaction):
    """A transaction that holds the write lock from its first statement on, and whose commit is fsynced."""

    def __enter__(self) -> SQLiteCursor:
        cursor = self.connection.cursor()
        try:
            # Every connection of the pool is told: what it does unasked was chosen when SQLite was compiled.
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error
        return cursor

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(exc_type, exc_val, exc_tb)
        except BaseException:
            # A commit that failed may leave the transaction open, and the connection goes back to the pool.
            self.connection.rollback()
            raise


class LogRecorder(SQLiteApplicationRecorder):
    """The events of one cell in one total order."""

    def construct_create_table_statements(self) -> list[str]:
        return [_EVENTS.format(table=self.events_table_name), _LEASES, _SNAPSHOTS]

    def __init__(self, datastore: SQLiteDatastore, events_table_name: str = "stored_events") -> None:
        super().__init__(datastore, events_table_name)
        # The only thing that is put into a statement here and below is the table's name, which is ours.
        self.insert_events_statement = (
            f"INSERT INTO {events_table_name} "  # noqa: S608 - see above
            "(originator_id, originator_version, topic, state) VALUES (?,?,?,?)"
        )
        self.select_events_statement = (
            "SELECT originator_id, originator_version, topic, state "  # noqa: S608 - see above
            f"FROM {events_table_name} WHERE originator_id=? "
        )
        self.select_max_notification_id_statement = f"SELECT MAX(position) FROM {events_table_name}"  # noqa: S608 - see above

    def create_table(self) -> None:
        """Make what is not there yet."""
        with self._writing() as cursor:
            self._create_table(cursor)

    @contextmanager
    def _writing(self) -> Iterator[SQLiteCursor]:
        with (
            self.datastore.get_connection(commit=True) as connection,
            ImmediateTransaction(connection, commit=True) as cursor,
            cursor,
        ):
            yield cursor

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:  # noqa: ANN401 - the library's signature
        with self._writing() as cursor:
            return self._insert_events(cursor, stored_events, **kwargs)

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        **_: Any,  # noqa: ANN401 - the library's signature
    ) -> Sequence[int]:
        """Insert all in one statement. In one transaction AUTOINCREMENT counts without a gap."""
        c.executemany(
            self.insert_events_statement,
            [(each.originator_id, each.originator_version, each.topic, each.state) for each in stored_events],
        )
        c.execute("SELECT last_insert_rowid()")
        last = c.fetchone()[0]
        return list(range(last - len(stored_events) + 1, last + 1))

    def append(
        self,
        events: Sequence[StoredEvent],
        *,
        leases: Mapping[str, int],
        snapshots: Sequence[Snapshot] = (),
    ) -> Sequence[int]:
        """Append all or nothing and return the positions, one per event.

        Raises:
            FencedError: one of `leases` (lease -> epoch held) was taken by another writer.
            eventsourcing.persistence.IntegrityError: a version is taken already, or would leave a gap.
        """
        with self._writing() as cursor:
            self._check_leases(cursor, leases)
            self._check_contiguity(cursor, events)
            positions = self._insert_events(cursor, events)
            cursor.executemany(
                "INSERT INTO snapshots VALUES (?,?,?,?) ON CONFLICT (stream) DO UPDATE SET "
                "version=excluded.version, shape=excluded.shape, state=excluded.state "
                "WHERE excluded.version > version",
                [(each.stream, each.version, each.shape, each.state) for each in snapshots],
            )
        return positions

    def check_leases(self, leases: Mapping[str, int]) -> None:
        """Raises `FencedError` if one of `leases` (lease -> epoch held) was taken by another writer."""
        with self.datastore.transaction(commit=False) as cursor:
            self._check_leases(cursor, leases)

    def _check_leases(self, cursor: SQLiteCursor, leases: Mapping[str, int]) -> None:
        cursor.execute(f"SELECT lease, epoch FROM leases WHERE lease IN ({_marks(leases)})", tuple(leases))  # noqa: S608 - placeholders only
        check_epochs(leases, dict(cursor.fetchall()))

    def _check_contiguity(self, cursor: SQLiteCursor, events: Sequence[StoredEvent]) -> None:
        for stream, version in predecessors(events):
            cursor.execute(
                f"SELECT 1 FROM {self.events_table_name} WHERE originator_id=? AND originator_version=?",  # noqa: S608 - our own table name
                (stream, version),
            )
            if cursor.fetchone() is None:
                raise gap(stream, version + 1)

    def take_leases(self, leases: Sequence[str], owner: str) -> dict[str, int]:
        """Raise the epoch of every lease in one transaction: whoever held one before can commit no more."""
        with self._writing() as cursor:
            cursor.execute(
                # Without its WHERE the statement is ambiguous (https://www.sqlite.org/lang_upsert.html, 2.2).
                "INSERT INTO leases SELECT value, 1, ? FROM json_each(?) WHERE true ON CONFLICT (lease) DO UPDATE SET "
                "epoch=epoch+1, owner=excluded.owner RETURNING lease, epoch",
                (owner, msgspec.json.encode(leases).decode()),
            )
            epochs: dict[str, int] = dict(cursor.fetchall())
        return {lease: epochs[lease] for lease in leases}

    def select_streams(self, floors: Mapping[str, int]) -> list[StoredEvent]:
        """The events of many streams (stream -> the version to start after), each stream in version order."""
        if not floors:
            return []
        rows = ",".join(["(?,?)"] * len(floors))
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                f"WITH floors (stream, floor) AS (VALUES {rows}) "  # noqa: S608 - placeholders and our own table name
                "SELECT originator_id, originator_version, topic, state FROM floors "
                f"CROSS JOIN {self.events_table_name} ON originator_id=stream AND originator_version>floor "
                "ORDER BY originator_id, originator_version",
                [value for pair in floors.items() for value in pair],
            )
            return [StoredEvent(*row) for row in cursor.fetchall()]

    def select_snapshots(self, streams: Sequence[str]) -> list[Snapshot]:
        """The snapshots that exist for these streams."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                f"SELECT stream, version, shape, state FROM snapshots WHERE stream IN ({_marks(streams)})",  # noqa: S608 - placeholders only
                streams,
            )
            return [Snapshot(stream=row[0], version=row[1], shape=row[2], state=row[3]) for row in cursor.fetchall()]

    def select_positions(self, stream: str, versions: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """Version -> (position, state) of the given versions of a stream, those that exist."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(
                f"SELECT originator_version, position, state FROM {self.events_table_name} "  # noqa: S608 - our own table name
                f"WHERE originator_id=? AND originator_version IN ({_marks(versions)})",
                (stream, *versions),
            )
            return {row[0]: (row[1], row[2]) for row in cursor.fetchall()}

    def restore(self, entries: Sequence[LogEntry]) -> None:
        """Append events under the positions that they have in another log, all or nothing.

        Raises `eventsourcing.persistence.IntegrityError` if one of these positions is passed already, or for a gap in a
        stream.
        """
        with self._writing() as cursor:
            cursor.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name=?", (self.events_table_name,))
            check_beyond(cursor.fetchone()[0], entries)
            self._check_contiguity(cursor, [stored(entry) for entry in entries])
            cursor.executemany(
                f"INSERT INTO {self.events_table_name} VALUES (?,?,?,?,?)",  # noqa: S608 - our own table name
                [(each.position, each.stream, each.version, each.topic, each.state) for each in entries],
            )

    def select_leases(self) -> dict[str, Lease]:
        """Every lease that was ever taken."""
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT lease, epoch, owner FROM leases")
            return {row[0]: Lease(epoch=row[1], owner=row[2]) for row in cursor.fetchall()}

    def restore_leases(self, leases: Mapping[str, Lease]) -> None:
        """Take over leases from another log; an epoch is never lowered."""
        with self._writing() as cursor:
            cursor.executemany(
                "INSERT INTO leases VALUES (?,?,?) ON CONFLICT (lease) DO UPDATE SET epoch=excluded.epoch, "
                "owner=excluded.owner WHERE excluded.epoch > epoch",
                [(lease, each.epoch, each.owner) for lease, each in leases.items()],
            )

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        conditions, params = [], list[int | str]()
        if start is not None:
            conditions.append("position>=?" if inclusive_of_start else "position>?")
            params.append(start)
        if stop is not None:
            conditions.append("position<=?")
            params.append(stop)
        if topics:
            conditions.append(f"topic IN ({_marks(topics)})")
            params.extend(topics)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        statement = (
            "SELECT position, originator_id, originator_version, topic, state "  # noqa: S608 - our own table name
            f"FROM {self.events_table_name} {where}ORDER BY position LIMIT ?"
        )
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute(statement, (*params, limit))
            return [
                Notification(
                    id=row[0],
                    originator_id=self.convert_originator_id(row[1]),
                    originator_version=row[2],
                    topic=row[3],
                    state=row[4],
                )
                for row in cursor.fetchall()
            ]


def check_epochs(leases: Mapping[str, int], epochs: Mapping[str, int]) -> None:
    """Raises `FencedError` unless each lease (-> epoch held) has that epoch still; one never taken is at 0."""
    for lease, held in leases.items():
        current = epochs.get(lease, 0)
        if current != held:
            raise FencedError(lease, held=held, current=current)


def predecessors(events: Sequence[StoredEvent]) -> list[tuple[UUID | str, int]]:
    """The (stream, version) pairs that have to be in the log before a batch, so that no stream gets a gap.

    Raises `eventsourcing.persistence.IntegrityError` for a gap inside of the batch.
    """
    last: dict[UUID | str, int] = {}
    before = []
    for event in events:
        stream, version = event.originator_id, event.originator_version
        if stream not in last and version > 1:
            before.append((stream, version - 1))
        elif version != last.get(stream, 0) + 1:
            raise gap(stream, version)
        last[stream] = version
    return before


def check_beyond(head: int, entries: Sequence[LogEntry]) -> None:
    """Raises `eventsourcing.persistence.IntegrityError` unless entries lie behind a head, in order."""
    positions = [head, *(entry.position for entry in entries)]
    if any(after <= before for before, after in itertools.pairwise(positions)):
        raise IntegrityError(f"positions {positions[1]} to {positions[-1]} do not follow {head} in order")


def stored(entry: LogEntry) -> StoredEvent:
    """What lies under a position, as the library names it."""
    return StoredEvent(entry.stream, entry.version, entry.topic, entry.state)


def gap(stream: UUID | str, version: int) -> IntegrityError:
    """The refusal of a version before which one is missing."""
    return IntegrityError(f"{stream}: version {version} leaves a gap")


def _marks(values: Collection[object]) -> str:
    """A placeholder for each value."""
    return ",".join("?" * len(values))


def open_log(path: str) -> LogRecorder:
    """The log in the file `path`, made if it is not there. WAL, and an fsync for every commit (synchronous FULL)."""
    recorder = LogRecorder(SQLiteDatastore(path, lock_timeout=LOCK_TIMEOUT_S, originator_id_type="text"))
    recorder.create_table()
    return recorder
