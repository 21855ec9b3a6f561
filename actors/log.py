"""The log wherever it lies: what the journal needs of a recorder, and which one stands behind a place."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from eventsourcing.persistence import StoredEvent

from actors.recorder import Lease, Snapshot, open_log
from projections.feed import LogEntry
from projections.feeds import is_address


class Log(Protocol):
    """The events of one cell in one total order, with the leases of those who may append.

    Reads raise `eventsourcing.persistence.PersistenceError` while the log cannot be read.
    """

    def append(
        self, events: Sequence[StoredEvent], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> Sequence[int]:
        """Append all or nothing and return the positions, one per event.

        Raises:
            FencedError: one of `leases` (lease -> epoch held) was taken by another writer.
            eventsourcing.persistence.IntegrityError: a version is taken already, or would leave a gap.
            eventsourcing.persistence.DataError: the content can never be stored.
            eventsourcing.persistence.PersistenceError: it failed now, and may have been committed all the same.
        """
        ...

    def check_leases(self, leases: Mapping[str, int]) -> None:
        """Raises `FencedError` if one of `leases` (lease -> epoch held) was taken by another writer."""
        ...

    def take_leases(self, leases: Sequence[str], owner: str) -> dict[str, int]:
        """Raise the epoch of every lease in one transaction: whoever held one before can commit no more."""
        ...

    def select_streams(self, floors: Mapping[str, int]) -> list[StoredEvent]:
        """The events of many streams (stream -> the version to start after), each stream in version order."""
        ...

    def select_snapshots(self, streams: Sequence[str]) -> list[Snapshot]:
        """The snapshots that exist for these streams."""
        ...

    def select_positions(self, stream: str, versions: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """Version -> (position, state) of those versions of a stream that are committed; the others never will be."""
        ...

    def restore(self, entries: Sequence[LogEntry]) -> None:
        """Append events under the positions that they have in another log, all or nothing.

        Raises `eventsourcing.persistence.IntegrityError` if one of these positions is passed already, or for a gap in a
        stream.
        """
        ...

    def select_leases(self) -> dict[str, Lease]:
        """Every lease that was ever taken."""
        ...

    def restore_leases(self, leases: Mapping[str, Lease]) -> None:
        """Take over leases from another log; an epoch is never lowered."""
        ...


def log_at(place: str) -> Log:
    """The log in a SQLite file or at an address of PostgreSQL, made if it is not there.

    Raises `RetryableError` if it cannot be opened now, `TerminalError` if it never can.
    """
    if not is_address(place):
        return open_log(place)
    from actors.postgres_recorder import open_postgres_log  # noqa: PLC0415 - psycopg takes most of a shard's start

    return open_postgres_log(place)


def place_of(url: str, data: Path) -> str:
    """Where the log lies that `store.url` names, on a node that keeps its data in a directory."""
    return str(data / "log.sqlite") if url == "sqlite" else url
