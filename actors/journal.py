"""The journal: one append per batch, fenced, contiguous, all or nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
from eventsourcing.persistence import DataError, IntegrityError, PersistenceError, StoredEvent

from actors.log import Log
from actors.recorder import Lease, Snapshot
from domain.codec import Envelope, decode_envelope, encode_envelope
from domain.errors import LostRaceError, RetryableError, TerminalError
from domain.settings import BATCH_MAX
from projections.feed import LogEntry


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event in its stream; versions start at 1 and have no gap."""

    stream: str
    version: int
    envelope: Envelope


# What msgspec raises for a value that it cannot encode: a lone surrogate, an integer beyond 64 bits, a stray type.
ENCODING_ERRORS = (ValueError, OverflowError, TypeError)


class Journal:
    """Reads and appends streams. Its callers are the only writers of the streams whose leases they hold."""

    def __init__(self, recorder: Log) -> None:
        self._recorder = recorder

    def take_leases(self, leases: Sequence[str], owner: str) -> dict[str, int]:
        """Take over the leases: lease -> epoch. Former holders are fenced from here on.

        Raises `RetryableError` if the store cannot commit now; what was taken all the same has fenced the others.
        """
        with _reading():
            return self._recorder.take_leases(leases, owner)

    def load(self, floors: Mapping[str, int]) -> list[Entry]:
        """The events of many streams (stream -> the version to start after), each stream in order.

        Raises:
            RetryableError: the store cannot be read now.
            TerminalError: what lies there is no event of ours.
        """
        with _reading():
            stored = self._recorder.select_streams(floors)
        return [
            Entry(stream=str(each.originator_id), version=each.originator_version, envelope=_envelope(each))
            for each in stored
        ]

    def snapshots(self, streams: Sequence[str]) -> list[Snapshot]:
        """The snapshots that exist for these streams. Raises `RetryableError` if the store cannot be read now."""
        with _reading():
            return self._recorder.select_snapshots(streams)

    def check_leases(self, leases: Mapping[str, int]) -> None:
        """Raises `FencedError` if a lease was taken by another writer, `RetryableError` if that cannot be read now."""
        with _reading():
            self._recorder.check_leases(leases)

    def append(
        self, entries: Sequence[Entry], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> list[int]:
        """Append at most `BATCH_MAX` events in one transaction and return their positions.

        Raises:
            FencedError: a lease was taken by another writer.
            LostRaceError: a stream moved on since it was loaded.
            RetryableError: the store cannot commit now, and nothing was written.
            TerminalError: the content cannot be encoded or the store refuses it, and nothing was written.
        """
        assert 0 < len(entries) <= BATCH_MAX, f"a batch has 1 to {BATCH_MAX} events, not {len(entries)}"
        try:
            stored = [StoredEvent(entry.stream, entry.version, *encode_envelope(entry.envelope)) for entry in entries]
        except ENCODING_ERRORS as error:
            raise TerminalError(f"the batch cannot be encoded: {error}") from error
        try:
            return list(self._recorder.append(stored, leases=leases, snapshots=snapshots))
        except (DataError, OverflowError) as error:
            raise TerminalError(f"the log refuses the batch: {error}") from error
        except IntegrityError as error:
            if (positions := self._committed(entries)) is not None:
                return positions
            raise LostRaceError(entries[0].stream) from error
        except PersistenceError as error:
            # The commit may have happened although its outcome was lost: ask the log before calling it a failure.
            if (positions := self._committed(entries)) is not None:
                return positions
            raise RetryableError(f"the log cannot commit now: {error}") from error

    def restore(self, entries: Sequence[LogEntry], leases: Mapping[str, Lease]) -> None:
        """Take over a part of another log, with its positions, and leases, whose epochs are never lowered.

        Raises:
            TerminalError: the part does not follow what is in this log, or cannot be kept here.
            RetryableError: it failed now; how far this log goes is to be read again.
        """
        try:
            for start in range(0, len(entries), BATCH_MAX):
                self._recorder.restore(entries[start : start + BATCH_MAX])
            self._recorder.restore_leases(leases)
        except (DataError, IntegrityError, OverflowError) as error:
            raise TerminalError(f"the log refuses a part of another: {error}") from error
        except PersistenceError as error:
            raise RetryableError(f"the log cannot commit now: {error}") from error

    def leases(self) -> dict[str, Lease]:
        """Every lease that was ever taken. Raises `RetryableError` if the store cannot be read now."""
        with _reading():
            return self._recorder.select_leases()

    def _committed(self, entries: Sequence[Entry]) -> list[int] | None:
        """The positions of a batch that is in the log already, by its commit id; `None` if it is not."""
        versions: dict[str, list[int]] = {}
        for entry in entries:
            versions.setdefault(entry.stream, []).append(entry.version)
        with _reading():
            found = {stream: self._recorder.select_positions(stream, each) for stream, each in versions.items()}
        positions = []
        for entry in entries:
            position, state = found[entry.stream].get(entry.version, (0, b""))
            if not position or decode_envelope(state).commit != entry.envelope.commit:
                return None
            positions.append(position)
        return positions


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except PersistenceError as error:
        raise RetryableError(f"the log cannot be read now: {error}") from error


def _envelope(stored: StoredEvent) -> Envelope:
    try:
        return decode_envelope(stored.state)
    except ValueError as error:
        where = f"{stored.originator_id}, version {stored.originator_version}"
        raise TerminalError(f"an event in the log cannot be decoded ({where}): {error}") from error
