"""`recount store copy`: a log from one store into another, every event at its position, proved by reading both."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import msgspec

from actors.journal import Journal
from actors.log import log_at
from domain.errors import TerminalError
from domain.settings import BATCH_MAX
from projections.feed import LogEntry, LogFeed
from projections.feeds import feed_at, is_address

Tell = Callable[[str, int, int], None]


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in both stores now.

    Args:
        position: the last position that is in both; `events` of them up to there.
        copied: how many of the events this run has brought.
        sha256: over position, stream, version, topic and bytes of each event in order; the same was read from both.
        behind: how far the source has gone on since.
    """

    position: int
    events: int
    copied: int
    sha256: str
    behind: int


class RunningHash:
    """One digest over a log in order; how its parts were cut makes no difference."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.events = 0

    def add(self, entry: LogEntry) -> None:
        # A text is preceded by its length: no two logs lead to the same bytes.
        texts = (entry.stream.encode(), entry.topic.encode(), entry.state)
        self._hash.update(b"%d %d %d %d %d\n" % (entry.position, entry.version, *map(len, texts)))
        for text in texts:
            self._hash.update(text)
        self.events += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def copy_log(from_: str, to: str, *, on_progress: Tell = lambda words, position, head: None) -> Copied:
    """Bring a log's events and leases into a store that has none of them, or the first of them.

    The source may be written to meanwhile. What is derived (snapshots) is left behind.

    Args:
        from_: a SQLite file or an address of PostgreSQL.
        to: as above; it is made if it is not there.
        on_progress: told (what is done, up to which position, of which) for each page.

    Raises:
        TerminalError: there is no log to copy, or the target holds another one.
        RetryableError: a store does not answer now; run again, it goes on where it was ended.
    """
    if not is_address(from_) and not Path(from_).is_file():
        raise TerminalError(f"there is no log at {from_}")
    if from_ == to:
        raise TerminalError("FROM and TO are the same log")
    try:
        with closing(feed_at(from_)) as source:
            # Read before anything is made: a file that is no log is left as it is.
            head = source.head()
            to_journal, from_journal = Journal(log_at(to)), Journal(log_at(from_))
            with closing(feed_at(to)) as target:
                return _copy(source, head, from_journal, target, to_journal, on_progress)
    except sqlite3.Error as error:
        raise TerminalError(f"a file is no log, or cannot be read: {error}") from error


def _copy(source: LogFeed, head: int, from_: Journal, target: LogFeed, to: Journal, tell: Tell) -> Copied:
    done = target.head()
    of_source, of_target = RunningHash(), RunningHash()
    for ours, theirs in zip_longest(_entries(source, 0, min(done, head)), _entries(target, 0, done)):
        if ours is None or theirs is None or ours != theirs:
            position = min(each.position for each in (ours, theirs) if each is not None)
            raise TerminalError(f"TO holds another log: it differs at position {position}; nothing was changed")
        of_source.add(ours)
        of_target.add(theirs)
        if ours.position % BATCH_MAX == 0:
            tell("compare", ours.position, done)
    before = of_source.events
    # Leases first: whoever held one in the source holds none that is older in the target.
    to.restore([], from_.leases())
    for page in _pages(source, done, head):
        to.restore(page, {})
        for entry in page:
            of_source.add(entry)
        tell("copy", page[-1].position, head)
    for page in _pages(target, done, head):
        for entry in page:
            of_target.add(entry)
        tell("read back", page[-1].position, head)
    if of_source.hexdigest() != of_target.hexdigest():
        raise TerminalError(f"what was read back from TO up to position {head} is not what is in FROM: do not use it")
    return Copied(
        position=head,
        events=of_target.events,
        copied=of_target.events - before,
        sha256=of_target.hexdigest(),
        behind=source.head() - head,
    )


def _pages(feed: LogFeed, after: int, until: int) -> Iterator[list[LogEntry]]:
    """What lies after a position up to another one."""
    while after < until:
        page = feed.read(after, limit=BATCH_MAX)
        entries = [entry for entry in page.entries if entry.position <= until]
        if not entries:
            return
        after = entries[-1].position
        yield entries


def _entries(feed: LogFeed, after: int, until: int) -> Iterator[LogEntry]:
    for page in _pages(feed, after, until):
        yield from page
