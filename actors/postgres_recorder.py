"""The log as tables of PostgreSQL, behind the recorder interface of the `eventsourcing` library.

Of the library the pool and the errors are used, not its recorder (docs/decisions/0013-positions-in-postgresql.md):
- every append updates the one row of `log_head` first. The row is the lock of the log and its counter: positions become
  visible in their order, without gaps, and are never used twice, whatever happens to a transaction;
- leases, contiguity and snapshots are checked and written in the transaction that appends;
- no pipeline, which can hang for good on what is large; no NOTIFY, which all commits of a server queue for; and what
  may have been committed is not sent again unasked.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    DataError,
    Notification,
    OperationalError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
    Subscription,
)
from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection, Cursor
from psycopg.rows import DictRow, TupleRow, dict_row, tuple_row
from psycopg_pool import PoolTimeout

from actors.recorder import Lease, Snapshot, check_beyond, check_epochs, gap, predecessors, stored
from domain.errors import RetryableError, TerminalError
from projections.feed import LogEntry
from projections.postgres import CONNECT_TIMEOUT_S, begin_session, described, parameters

CONNECTIONS_MAX = 4

# Names are compared as bytes, as SQLite does, so that a range of names is the same in both. `position` is in the index
# of streams so that the newest streams are found there alone.
_TABLES = """
CREATE TABLE IF NOT EXISTS stored_events (
    position bigint PRIMARY KEY, originator_id text COLLATE "C" NOT NULL, originator_version bigint NOT NULL,
    topic text COLLATE "C" NOT NULL, state bytea NOT NULL,
    UNIQUE (originator_id, originator_version) INCLUDE (position));
CREATE TABLE IF NOT EXISTS leases (lease text COLLATE "C" PRIMARY KEY, epoch bigint NOT NULL, owner text NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (
    stream text COLLATE "C" PRIMARY KEY, version bigint NOT NULL, shape text NOT NULL, state bytea NOT NULL);
CREATE TABLE IF NOT EXISTS log_head (is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), position bigint NOT NULL)
    WITH (fillfactor = 10);
INSERT INTO log_head (position) VALUES (0) ON CONFLICT DO NOTHING
"""
_EVENT = "originator_id, originator_version, topic, state"


class LogDatastore(PostgresDatastore):
    """The library's pool, whose connections are made with the whole of an address and have their timeouts set."""

    def __init__(self, address: str) -> None:
        given = parameters(address)
        super().__init__(
            dbname="",
            host="",
            port="",
            user="",
            password="",
            connect_timeout=CONNECT_TIMEOUT_S,
            pool_size=1,
            max_overflow=CONNECTIONS_MAX - 1,
            pre_ping=True,
            originator_id_type="text",
        )
        # The library passes on five parts of an address; the others (TLS, several hosts) count as well.
        self.pool.kwargs = {**given, "row_factory": dict_row}
        # Its pauses double while the server is away, and nobody would find out that it is back.
        self.pool.reconnect_timeout = CONNECT_TIMEOUT_S
        self._parameters = given

    def after_connect_func(self) -> Any:  # noqa: ANN401 - as in the library
        return begin_session

    @contextmanager
    def get_connection(self) -> Iterator[Connection[DictRow]]:
        try:
            with super().get_connection() as connection:
                yield connection
        except OperationalError as error:
            if isinstance(error.__cause__, PoolTimeout) and (reason := self._why_not()):
                raise OperationalError(reason) from error
            raise

    def _why_not(self) -> str:
        """Why no connection can be made; the pool keeps that to itself."""
        try:
            psycopg.connect(**self._parameters).close()
        except psycopg.OperationalError as error:
            return str(error).strip()
        return ""


class PostgresLogRecorder(ApplicationRecorder):
    """The events of one cell in one total order, in the schema that comes first in the role's search path."""

    def __init__(self, datastore: LogDatastore) -> None:
        self.datastore = datastore

    def create_table(self) -> None:
        """Make what is not there yet. A role that may not make tables can use those that are there."""
        with self._reading() as cursor:
            if cursor.execute("SELECT to_regclass('log_head')").fetchone() != (None,):
                return
        with self.datastore.transaction(commit=True) as cursor_of_rows:
            # Several processes start at once, and IF NOT EXISTS alone fails in all but one of them.
            cursor_of_rows.execute("SELECT pg_advisory_xact_lock(hashtext('recount.create_table'))")
            cursor_of_rows.execute(_TABLES)

    @contextmanager
    def _reading(self) -> Iterator[Cursor[TupleRow]]:
        """Reads of their own: each statement sees what was committed when it began."""
        # As bytes: the text form of what is binary is twice as long and has to be read back.
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            yield cursor

    @contextmanager
    def _writing(self, *, adding: int = 0) -> Iterator[tuple[Cursor[TupleRow], int]]:
        """A transaction that holds the log's lock from its first statement on; the head of the log before it.

        A statement sees what was committed before it began: the ones after the lock see all that was ever appended.
        """
        with self.datastore.get_connection() as connection:
            try:
                with connection.transaction(), connection.cursor(binary=True, row_factory=tuple_row) as cursor:
                    head = cursor.execute(
                        "UPDATE log_head SET position = position + %s RETURNING position"
                        if adding
                        else "SELECT position + %s FROM log_head FOR UPDATE",
                        (adding,),
                    ).fetchone()
                    if head is None:
                        raise ProgrammingError("the log has no head: its tables were not made by this program")
                    yield cursor, head[0] - adding
            except psycopg.errors.ProgramLimitExceeded as error:
                raise DataError(str(error)) from error
            except psycopg.errors.ReadOnlySqlTransaction:
                # It may be read-only for good: a new connection finds the server that is not, if the address names it.
                connection.close()
                raise

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
        before = predecessors(events)
        with self._writing(adding=len(events)) as (cursor, head):
            self._check_leases(cursor, leases)
            _check_contiguity(cursor, before)
            positions = range(head + 1, head + 1 + len(events))
            _insert(cursor, positions, events)
            if snapshots:
                _insert_snapshots(cursor, snapshots)
        return list(positions)

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:  # noqa: ANN401 - the library's signature
        if not stored_events:
            return []
        with self._writing(adding=len(stored_events)) as (cursor, head):
            positions = range(head + 1, head + 1 + len(stored_events))
            _insert(cursor, positions, stored_events)
        return list(positions)

    def check_leases(self, leases: Mapping[str, int]) -> None:
        """Raises `FencedError` if one of `leases` (lease -> epoch held) was taken by another writer."""
        with self._reading() as cursor:
            self._check_leases(cursor, leases)

    def _check_leases(self, cursor: Cursor[TupleRow], leases: Mapping[str, int]) -> None:
        if not leases:
            return
        cursor.execute("SELECT lease, epoch FROM leases WHERE lease = ANY(%s)", (list(leases),))
        check_epochs(leases, dict(cursor.fetchall()))

    def take_leases(self, leases: Sequence[str], owner: str) -> dict[str, int]:
        """Raise the epoch of every lease in one transaction: whoever held one before can commit no more."""
        with self._writing() as (cursor, _):
            cursor.execute(
                "INSERT INTO leases SELECT lease, 1, %s FROM unnest(%s::text[]) AS taken (lease) "
                "ON CONFLICT (lease) DO UPDATE SET epoch = leases.epoch + 1, owner = excluded.owner "
                "RETURNING lease, epoch",
                (owner, list(leases)),
            )
            epochs: dict[str, int] = dict(cursor.fetchall())
        return {lease: epochs[lease] for lease in leases}

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        with self._reading() as cursor:
            cursor.execute(
                f"SELECT {_EVENT} FROM stored_events WHERE originator_id = %s "  # noqa: S608 - constant columns
                "AND originator_version > coalesce(%s::bigint, -1) "
                "AND originator_version <= coalesce(%s::bigint, 9223372036854775807) "
                f"ORDER BY originator_version {'DESC' if desc else 'ASC'} LIMIT %s::bigint",
                (originator_id, gt, lte, limit),
            )
            return [StoredEvent(*row) for row in cursor.fetchall()]

    def select_streams(self, floors: Mapping[str, int]) -> list[StoredEvent]:
        """The events of many streams (stream -> the version to start after), each stream in version order."""
        if not floors:
            return []
        with self._reading() as cursor:
            # LATERAL with an order of its own is never turned into a scan of the whole log, however many are asked for.
            cursor.execute(
                f"SELECT {_EVENT} FROM unnest(%s::text[], %s::bigint[]) AS floors (stream, floor), "  # noqa: S608 - constant columns
                f"LATERAL (SELECT {_EVENT} FROM stored_events WHERE originator_id = stream "
                "AND originator_version > floor ORDER BY originator_version) AS events "
                "ORDER BY originator_id, originator_version",
                (list(floors), list(floors.values())),
            )
            return [StoredEvent(*row) for row in cursor.fetchall()]

    def select_snapshots(self, streams: Sequence[str]) -> list[Snapshot]:
        """The snapshots that exist for these streams."""
        with self._reading() as cursor:
            cursor.execute(
                "SELECT stream, version, shape, state FROM snapshots WHERE stream = ANY(%s)", (list(streams),)
            )
            return [Snapshot(stream=row[0], version=row[1], shape=row[2], state=row[3]) for row in cursor.fetchall()]

    def select_positions(self, stream: str, versions: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """Version -> (position, state) of the given versions of a stream, those that exist.

        Under the lock of the log: a commit whose reply was lost may still be on its way in the server, and holds it.
        """
        with self._writing() as (cursor, _):
            cursor.execute(
                "SELECT originator_version, position, state FROM stored_events "
                "WHERE originator_id = %s AND originator_version = ANY(%s)",
                (stream, list(versions)),
            )
            return {row[0]: (row[1], row[2]) for row in cursor.fetchall()}

    def restore(self, entries: Sequence[LogEntry]) -> None:
        """Append events under the positions that they have in another log, all or nothing.

        Raises `eventsourcing.persistence.IntegrityError` if one of these positions is passed already, or for a gap in a
        stream.
        """
        events = [stored(entry) for entry in entries]
        before = predecessors(events)
        with self._writing() as (cursor, head):
            check_beyond(head, entries)
            _check_contiguity(cursor, before)
            _insert(cursor, [entry.position for entry in entries], events)
            cursor.execute("UPDATE log_head SET position = %s", (entries[-1].position,))

    def select_leases(self) -> dict[str, Lease]:
        """Every lease that was ever taken."""
        with self._reading() as cursor:
            cursor.execute("SELECT lease, epoch, owner FROM leases")
            return {row[0]: Lease(epoch=row[1], owner=row[2]) for row in cursor.fetchall()}

    def restore_leases(self, leases: Mapping[str, Lease]) -> None:
        """Take over leases from another log; an epoch is never lowered."""
        with self._writing() as (cursor, _):
            cursor.execute(
                "INSERT INTO leases SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[]) ON CONFLICT (lease) "
                "DO UPDATE SET epoch = excluded.epoch, owner = excluded.owner WHERE excluded.epoch > leases.epoch",
                (list(leases), [each.epoch for each in leases.values()], [each.owner for each in leases.values()]),
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
        conditions, values = [], list[object]()
        if start is not None:
            conditions.append("position >= %s" if inclusive_of_start else "position > %s")
            values.append(start)
        if stop is not None:
            conditions.append("position <= %s")
            values.append(stop)
        if topics:
            conditions.append("topic = ANY(%s)")
            values.append(list(topics))
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        statement = f"SELECT position, {_EVENT} FROM stored_events {where}ORDER BY position LIMIT %s"  # noqa: S608 - placeholders only
        with self._reading() as cursor:
            cursor.execute(statement, (*values, limit))
            return [Notification(row[1], row[2], row[3], row[4], row[0]) for row in cursor.fetchall()]

    def max_notification_id(self) -> int | None:
        with self._reading() as cursor:
            row = cursor.execute("SELECT max(position) FROM stored_events").fetchone()
            return None if row is None else row[0]

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        raise NotImplementedError("the log is polled by position (projections/feed.py)")


def _insert(cursor: Cursor[TupleRow], positions: Sequence[int], events: Sequence[StoredEvent]) -> None:
    # One statement with one array per column, sent as bytes. Not `executemany`, which is a pipeline underneath.
    cursor.execute(
        "INSERT INTO stored_events "
        "SELECT * FROM unnest(%b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::bytea[])",
        (
            list(positions),
            [str(each.originator_id) for each in events],
            [each.originator_version for each in events],
            [each.topic for each in events],
            [each.state for each in events],
        ),
    )


def _insert_snapshots(cursor: Cursor[TupleRow], snapshots: Sequence[Snapshot]) -> None:
    cursor.execute(
        "INSERT INTO snapshots SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[]) "
        "ON CONFLICT (stream) DO UPDATE SET version = excluded.version, shape = excluded.shape, state = excluded.state "
        "WHERE excluded.version > snapshots.version",
        (
            [each.stream for each in snapshots],
            [each.version for each in snapshots],
            [each.shape for each in snapshots],
            [each.state for each in snapshots],
        ),
    )


def _check_contiguity(cursor: Cursor[TupleRow], before: Sequence[tuple[UUID | str, int]]) -> None:
    if not before:
        return
    cursor.execute(
        "SELECT stream, version FROM unnest(%s::text[], %s::bigint[]) AS wanted (stream, version) WHERE NOT EXISTS "
        "(SELECT FROM stored_events WHERE originator_id = stream AND originator_version = version) LIMIT 1",
        ([str(stream) for stream, _ in before], [version for _, version in before]),
    )
    if (missing := cursor.fetchone()) is not None:
        raise gap(missing[0], missing[1] + 1)


def open_postgres_log(address: str) -> PostgresLogRecorder:
    """The log at an address of PostgreSQL, made if it is not there.

    Raises `RetryableError` if nobody answers there now, `TerminalError` if the address or the role will not do.
    """
    recorder = PostgresLogRecorder(LogDatastore(address))
    try:
        recorder.create_table()
    except PersistenceError as error:
        recorder.datastore.close()
        if isinstance(error, ProgrammingError):
            raise TerminalError(f"the log cannot be made ({described(address)}): {error}") from error
        raise RetryableError(f"the log cannot be opened now ({described(address)}): {error}") from error
    return recorder
