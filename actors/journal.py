"""The journal: one append per batch, fenced, contiguous, all or nothing."""

from collections.abc import Mapping, Sequence

import msgspec
from eventsourcing.persistence import DataError, IntegrityError, OperationalError, PersistenceError, StoredEvent

from actors.recorder import LogRecorder, Snapshot
from domain.codec import Envelope, decode_envelope, encode_envelope
from domain.errors import LostRaceError, RetryableError, TerminalError
from domain.settings import BATCH_MAX


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event in its stream; versions start at 1 and have no gap."""

    stream: str
    version: int
    envelope: Envelope


class Journal:
    """Reads and appends streams. Its callers are the only writers of the streams whose leases they hold."""

    def __init__(self, recorder: LogRecorder) -> None:
        self._recorder = recorder

    def take_leases(self, leases: Sequence[str], owner: str) -> dict[str, int]:
        """Take over the leases: lease -> epoch. Former holders are fenced from here on."""
        return self._recorder.take_leases(leases, owner)

    def load(self, floors: Mapping[str, int]) -> list[Entry]:
        """The events of many streams (stream -> the version to start after), each stream in order."""
        return [
            Entry(stream=str(stored.originator_id), version=stored.originator_version, envelope=decode_envelope(stored.state))
            for stored in self._recorder.select_streams(floors)
        ]

    def snapshots(self, streams: Sequence[str]) -> list[Snapshot]:
        """The snapshots that exist for these streams."""
        return self._recorder.select_snapshots(streams)

    def append(
        self, entries: Sequence[Entry], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> list[int]:
        """Append at most `BATCH_MAX` events in one transaction and return their positions.

        Raises:
            FencedError: a lease was taken by another writer.
            LostRaceError: a stream moved on since it was loaded.
            RetryableError: the store cannot commit now, and nothing was written.
            TerminalError: the store refuses the content, and nothing was written.
        """
        assert 0 < len(entries) <= BATCH_MAX, f"a batch has 1 to {BATCH_MAX} events, not {len(entries)}"
        stored = [
            StoredEvent(entry.stream, entry.version, *encode_envelope(entry.envelope)) for entry in entries
        ]
        try:
            return list(self._recorder.append(stored, leases=leases, snapshots=snapshots))
        except IntegrityError as error:
            if (positions := self._committed(entries)) is not None:
                return positions
            raise LostRaceError(entries[0].stream) from error
        except OperationalError as error:
            # The commit may have happened although its outcome was lost: ask the log before calling it a failure.
            if (positions := self._committed(entries)) is not None:
                return positions
            raise RetryableError(f"the log cannot commit now: {error}") from error
        except (DataError, PersistenceError, OverflowError) as error:
            raise TerminalError(f"the log refuses the batch: {error}") from error

    def _committed(self, entries: Sequence[Entry]) -> list[int] | None:
        """The positions of a batch that is in the log already, by its commit id; `None` if it is not."""
        versions: dict[str, list[int]] = {}
        for entry in entries:
            versions.setdefault(entry.stream, []).append(entry.version)
        try:
            found = {stream: self._recorder.select_positions(stream, each) for stream, each in versions.items()}
        except OperationalError as error:
            raise RetryableError(f"the log cannot be read now: {error}") from error
        positions = []
        for entry in entries:
            position, state = found[entry.stream].get(entry.version, (0, b""))
            if not position or decode_envelope(state).commit != entry.envelope.commit:
                return None
            positions.append(position)
        return positions
