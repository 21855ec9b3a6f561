"""Reading the log by position. Polling is the truth; a hint only wakes the poll."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from domain.codec import Envelope, decode_envelope
from domain.ids import split_stream_id

COLUMNS = "position, originator_id, originator_version, topic, state"
POSITION_MAX = 2**63 - 1


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event where it lies in the log. It is decoded when it is applied, so that one that cannot be is parked."""

    position: int
    stream: str
    version: int
    topic: str
    state: bytes

    @property
    def tenant(self) -> str:
        return split_stream_id(self.stream)[1]

    @property
    def key(self) -> str:
        return split_stream_id(self.stream)[2]

    def envelope(self) -> Envelope:
        """Raises `msgspec.DecodeError` for bytes that no version of this program wrote."""
        return decode_envelope(self.state)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of the wanted topics after a position, and how far the log was read to find them."""

    entries: list[LogEntry]
    position: int


class Feed(Protocol):
    """A log that can be read by position."""

    def head(self) -> int:
        """The last position, 0 for an empty log."""
        ...

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        """Up to `limit` entries after a position, in order."""
        ...

    def stream(self, stream: str) -> list[LogEntry]:
        """All entries of one stream, in order."""
        ...


class LogFeed(Feed, Protocol):
    """The feed of a log on a disk, whose streams can be found by their names."""

    def latest_streams(
        self, prefix: str, *, before: int | None = None, limit: int, topic: str = ""
    ) -> list[tuple[str, int]]:
        """The streams whose names begin with `prefix`, and where the last event of each lies, the newest first.

        `before` leaves out what was appended to since that position; `topic` those that have no such event. Without it
        an index alone is read.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class SqliteFeed:
    """Reads the log's SQLite file. One connection, so one thread at a time."""

    def __init__(self, path: str) -> None:
        uri = f"{Path(path).resolve().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)

    def head(self) -> int:
        return int(self._connection.execute("SELECT coalesce(max(position), 0) FROM stored_events").fetchone()[0])

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        # The head is read first: what is appended in between lies behind it and is read the next time.
        head = self.head()
        if head <= after:
            return Page(entries=[], position=after)
        wanted = f" AND topic IN ({','.join('?' * len(topics))})" if topics else ""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM stored_events WHERE position>? AND position<=?{wanted} ORDER BY position LIMIT ?",  # noqa: S608 - placeholders only
            (after, head, *topics, limit),
        ).fetchall()
        entries = [entry_of(row) for row in rows]
        return Page(entries=entries, position=entries[-1].position if len(entries) == limit else head)

    def stream(self, stream: str) -> list[LogEntry]:
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM stored_events WHERE originator_id=? ORDER BY originator_version",  # noqa: S608 - constant columns
            (stream,),
        ).fetchall()
        return [entry_of(row) for row in rows]

    def latest_streams(
        self, prefix: str, *, before: int | None = None, limit: int, topic: str = ""
    ) -> list[tuple[str, int]]:
        among = "originator_id>=? AND originator_id<?"
        names = (prefix, f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}")
        wanted = f" AND originator_id IN (SELECT originator_id FROM stored_events WHERE {among} AND topic=?)"  # noqa: S608 - constant
        return self._connection.execute(
            f"SELECT originator_id, max(position) AS last FROM stored_events WHERE {among}{wanted if topic else ''} "  # noqa: S608 - placeholders only
            "GROUP BY originator_id HAVING last<? ORDER BY last DESC LIMIT ?",
            (*names, *((*names, topic) if topic else ()), POSITION_MAX if before is None else before, limit),
        ).fetchall()

    def close(self) -> None:
        self._connection.close()


def entry_of(row: Sequence[Any]) -> LogEntry:
    """The entry in a row of `COLUMNS`."""
    return LogEntry(position=row[0], stream=row[1], version=row[2], topic=row[3], state=row[4])
