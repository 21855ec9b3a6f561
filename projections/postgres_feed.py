"""Reading a log in PostgreSQL by position.

Appends hold one lock until they are committed (actors/postgres_recorder.py), so that positions become visible in their
order: what lies at or before the head that was read is all there.
"""

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from projections.feed import COLUMNS, POSITION_MAX, LogEntry, Page, entry_of
from projections.postgres import begin_session, failure, parameters

Row = tuple[Any, ...]


class PostgresFeed:
    """One connection, made when it is first needed and again when it was lost; threads take turns.

    Every method raises `RetryableError` while the log cannot be read, `TerminalError` if it is not there.
    """

    def __init__(self, address: str) -> None:
        self._parameters = parameters(address)
        self._connection: Connection[TupleRow] | None = None
        self._lock = threading.Lock()

    def head(self) -> int:
        return int(self._rows("SELECT coalesce(max(position), 0) FROM stored_events")[0][0])

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        head = self.head()
        if head <= after:
            return Page(entries=[], position=after)
        rows = self._rows(
            f"SELECT {COLUMNS} FROM stored_events WHERE position > %s AND position <= %s "  # noqa: S608 - constant columns
            f"{'AND topic = ANY(%s) ' if topics else ''}ORDER BY position LIMIT %s",
            (after, head, *([list(topics)] if topics else []), limit),
        )
        entries = [entry_of(row) for row in rows]
        return Page(entries=entries, position=entries[-1].position if len(entries) == limit else head)

    def stream(self, stream: str) -> list[LogEntry]:
        rows = self._rows(
            f"SELECT {COLUMNS} FROM stored_events WHERE originator_id = %s ORDER BY originator_version",  # noqa: S608 - constant columns
            (stream,),
        )
        return [entry_of(row) for row in rows]

    def latest_streams(
        self, prefix: str, *, before: int | None = None, limit: int, topic: str = ""
    ) -> list[tuple[str, int]]:
        among = "originator_id >= %s AND originator_id < %s"
        names = (prefix, f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}")
        wanted = f" AND originator_id IN (SELECT originator_id FROM stored_events WHERE {among} AND topic = %s)"  # noqa: S608 - constant
        rows = self._rows(
            f"SELECT originator_id, max(position) FROM stored_events WHERE {among}{wanted if topic else ''} "  # noqa: S608 - placeholders only
            "GROUP BY originator_id HAVING max(position) < %s ORDER BY max(position) DESC LIMIT %s",
            (*names, *((*names, topic) if topic else ()), POSITION_MAX if before is None else before, limit),
        )
        return [(row[0], row[1]) for row in rows]

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        with self._lock:
            # What was lost while nobody looked (a restart, a failover) is no reason to fail: reading twice is harmless.
            may_be_stale = self._connection is not None
            while True:
                try:
                    return self._execute(statement, values)
                except psycopg.Error as error:
                    is_lost = self._connection is not None and self._connection.closed
                    if is_lost:
                        self._drop()
                    if not (is_lost and may_be_stale):
                        raise failure(error) from error
                may_be_stale = False

    def _execute(self, statement: str, values: Sequence[object]) -> list[Row]:
        if self._connection is None:
            connection = psycopg.connect(**self._parameters)
            try:
                begin_session(connection, read_only=True)
            except psycopg.Error:
                connection.close()
                raise
            self._connection = connection
        # As bytes: the text form of what is binary is twice as long and has to be read back.
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(statement, values).fetchall()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
