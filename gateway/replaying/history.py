"""A log's past in a file of its own: every event up to a moment, where it lay, as it was written.

The file is named so that no node takes it for a log of its own: what was outstanding then would be done again.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from actors.log import place_of
from actors.recorder import open_log
from domain.errors import TerminalError
from domain.ids import is_tenant, split_stream_id
from domain.settings import NodeSettings
from projections.feed import Feed, LogEntry, SqliteFeed
from projections.feeds import feed_at, is_address

FILE = "history.sqlite"
PAGE = 5_000
CACHE_KIB = 262_144

Show = Callable[[str, int, int], None]


def unseen(stage: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A log position, or a time of recording: then the last position before anything was recorded after it."""

    position: int | None = None
    at: datetime | None = None


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """The last position of a past, how many events it has, and when the last of them was recorded."""

    position: int
    events: int
    recorded_at: datetime


class _Recorded(msgspec.Struct):
    """As much of an envelope as every schema has."""

    recorded_at: datetime


_recorded = msgspec.msgpack.Decoder(_Recorded).decode


def moment(text: str) -> Moment:
    """`812` or `2026-11-22T10:00:00Z`. Raises `TerminalError` for anything else."""
    if text.isascii() and text.isdigit():
        return Moment(position=int(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise TerminalError(f"{text!r} is no log position and no time; write 812, or 2026-11-22T10:00:00Z") from None
    if at.tzinfo is None:
        raise TerminalError(f"{text!r} has no zone; write {text}Z for UTC")
    return Moment(at=at.astimezone(UTC))


def live_feed(settings: NodeSettings) -> Feed:
    """The node's log, for reading alone; a node may be running on it. Raises `TerminalError` if there is none."""
    place = place_of(settings.store.url, Path(settings.data))
    if not is_address(place) and not Path(place).exists():
        raise TerminalError(f"there is no log in {str(settings.data)!r}; name the node's directory with --data")
    return feed_at(place)


def write_history(feed: Feed, directory: Path, until: Moment, *, tenant: str = "", show: Show = unseen) -> Reached:
    """Copy the events up to a moment, of one tenant if it is named. Raises `TerminalError` where there are none."""
    head = feed.head()
    if until.position is not None and until.position > head:
        raise TerminalError(f"position {until.position} is beyond the end of the log, which is at {head}")
    last = head if until.position is None else until.position
    pages = _pages(feed, last, until.at)
    return write_entries(_watched(pages, tenant, last, show), directory)


def write_entries(pages: Iterable[list[LogEntry]], directory: Path) -> Reached:
    """Make a history of these events. Raises `TerminalError` where there are none."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    if path.exists():
        raise TerminalError(f"{str(directory)!r} holds a history already; name an empty directory")
    open_log(str(path)).datastore.close()
    events, last = 0, None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # A copy: a crash leaves nothing that anyone needs.
        unsafely(connection)
        connection.execute("BEGIN")
        for entries in pages:
            connection.executemany(
                "INSERT INTO stored_events (position, originator_id, originator_version, topic, state) "
                "VALUES (?,?,?,?,?)",
                [(each.position, each.stream, each.version, each.topic, each.state) for each in entries],
            )
            events += len(entries)
            last = entries[-1] if entries else last
        connection.execute("COMMIT")
    if last is None:
        raise TerminalError("nothing had been recorded by then")
    return Reached(position=last.position, events=events, recorded_at=_recorded(last.state).recorded_at)


def unsafely(connection: sqlite3.Connection) -> None:
    """Write without fsync and without a second copy of each page, and keep what is written to in memory."""
    connection.execute("PRAGMA journal_mode=MEMORY")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")


def _pages(feed: Feed, last: int, at: datetime | None) -> Iterator[list[LogEntry]]:
    """The log up to `last`, and before the first event that was recorded after `at`."""
    position = 0
    while position < last:
        page = feed.read(position, limit=PAGE)
        entries = [entry for entry in page.entries if entry.position <= last]
        after = () if at is None else (n for n, each in enumerate(entries) if _recorded(each.state).recorded_at > at)
        if (end := next(iter(after), None)) is not None:
            yield entries[:end]
            return
        yield entries
        position = page.position


def _watched(pages: Iterable[list[LogEntry]], tenant: str, last: int, show: Show) -> Iterator[list[LogEntry]]:
    for entries in pages:
        if entries:
            yield [entry for entry in entries if entry.tenant == tenant] if tenant else entries
            show("reading", entries[-1].position, last)


class History(SqliteFeed):
    """A past that was written by `write_history`. One thread at a time."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory / FILE))

    def streams(self, names: tuple[str, str] = ("", "")) -> Iterator[tuple[str, list[LogEntry]]]:
        """Every stream with its events, by name: from the first of `names` on, up to before the second."""
        first, end = names
        rows = self._connection.execute(
            "SELECT position, originator_id, originator_version, topic, state FROM stored_events "
            "WHERE originator_id>=? AND (?='' OR originator_id<?) ORDER BY originator_id, originator_version",
            (first, end, end),
        )
        for stream, of_stream in groupby(rows, key=lambda row: str(row[1])):
            yield (
                stream,
                [
                    LogEntry(position=row[0], stream=row[1], version=row[2], topic=row[3], state=row[4])
                    for row in of_stream
                ],
            )

    def names(self) -> list[str]:
        """The names of all streams."""
        rows = self._connection.execute("SELECT DISTINCT originator_id FROM stored_events ORDER BY originator_id")
        return [row[0] for row in rows]

    def first(self, since: Moment) -> int:
        """The first position from a moment on: that position, or that of the first event recorded then or later.

        One beyond the last if there is none.
        """
        if since.position is not None:
            return since.position
        assert since.at is not None, "a moment is a position or a time"
        rows = self._connection.execute("SELECT position, state FROM stored_events ORDER BY position")
        found = (position for position, state in rows if _recorded(state).recorded_at >= since.at)
        return next(found, self.head() + 1)

    def count(self) -> int:
        """How many events there are."""
        return int(self._connection.execute("SELECT count(*) FROM stored_events").fetchone()[0])

    def shares(self, count: int) -> list[tuple[str, str]]:
        """The names that part the streams into `count` shares of about as many events."""
        events = self.count()
        ends = [
            self._connection.execute(
                "SELECT originator_id FROM stored_events ORDER BY originator_id LIMIT 1 OFFSET ?",
                (events * number // count,),
            ).fetchone()[0]
            for number in range(1, count)
        ]
        return list(zip(["", *ends], [*ends, ""], strict=True))

    def tenants(self) -> list[str]:
        """Whose streams there are; what a node did to itself is nobody's."""
        rows = self._connection.execute(
            "SELECT DISTINCT substr(originator_id, 1, instr(originator_id, '/')) FROM stored_events"
        )
        return sorted({tenant for row in rows if is_tenant(tenant := split_stream_id(row[0])[1])})
