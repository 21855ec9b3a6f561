"""One append per batch, and what its caller is told when the outcome is not plain."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    StoredEvent,
)

from actors.journal import Entry, Journal
from actors.postgres_recorder import PostgresLogRecorder
from actors.recorder import LogRecorder, Snapshot
from domain.codec import Envelope
from domain.errors import FencedError, LostRaceError, RetryableError, TerminalError
from domain.payment_saga import FactRecorded
from domain.settings import BATCH_MAX
from tests.spec import NOON
from tests.stores import Recorder, recorder_at
from tests.worlds import numbered

STREAM = "payment:acme/pi_1"


class Fickle:
    """A log whose appends or reads may go wrong, before or after the commit; mixed into the recorder of a store."""

    before: PersistenceError | None = None
    after: PersistenceError | None = None
    reading: PersistenceError | None = None

    def append(
        self, events: Sequence[StoredEvent], *, leases: Mapping[str, int], snapshots: Sequence[Snapshot] = ()
    ) -> Sequence[int]:
        if self.before is not None:
            raise self.before
        positions: Sequence[int] = super().append(events, leases=leases, snapshots=snapshots)  # type: ignore[misc]  # as above
        if self.after is not None:
            raise self.after
        return positions

    def select_positions(self, stream: str, versions: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        self._may_read()
        found: dict[int, tuple[int, bytes]] = super().select_positions(stream, versions)  # type: ignore[misc]  # as above
        return found

    def select_streams(self, floors: Mapping[str, int]) -> list[StoredEvent]:
        self._may_read()
        found: list[StoredEvent] = super().select_streams(floors)  # type: ignore[misc]  # as above
        return found

    def select_snapshots(self, streams: Sequence[str]) -> list[Snapshot]:
        self._may_read()
        found: list[Snapshot] = super().select_snapshots(streams)  # type: ignore[misc]  # as above
        return found

    def _may_read(self) -> None:
        if self.reading is not None:
            raise self.reading


class FickleSqlite(Fickle, LogRecorder):
    pass


class FicklePostgres(Fickle, PostgresLogRecorder):
    pass


@pytest.fixture
def recorder(place: str) -> Iterator[FickleSqlite | FicklePostgres]:
    log = recorder_at(place)
    yield FickleSqlite(log.datastore) if isinstance(log, LogRecorder) else FicklePostgres(log.datastore)
    log.datastore.close()


@pytest.fixture
def journal(recorder: FickleSqlite | FicklePostgres) -> Journal:
    return Journal(recorder)


def entry(version: int = 1, stream: str = STREAM, *, commit: str = "commit-1", customer_id: str = "") -> Entry:
    event = FactRecorded(fact=numbered(version, customer_id=customer_id))
    return Entry(stream=stream, version=version, envelope=Envelope(event=event, recorded_at=NOON, commit=commit))


def count(recorder: Recorder) -> int:
    return len(recorder.select_notifications(None, 1_000))


def test_what_was_appended_is_loaded_from_where_each_stream_was_left(journal: Journal) -> None:
    other = "payment:acme/pi_2"
    assert journal.append([entry(1), entry(2), entry(1, other)], leases={}) == [1, 2, 3]

    assert journal.load({STREAM: 1, other: 0}) == [entry(2), entry(1, other)]


def test_a_batch_that_was_committed_although_the_store_failed_is_known_by_its_positions(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    for failure in (OperationalError("disk I/O error"), InterfaceError("connection closed")):
        recorder.after = failure
        last = count(recorder)

        assert journal.append([entry(last + 1), entry(last + 2)], leases={}) == [last + 1, last + 2]
        assert count(recorder) == last + 2


def test_a_batch_that_was_not_committed_may_be_tried_again(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    recorder.before = OperationalError("database is locked")
    with pytest.raises(RetryableError, match="locked"):
        journal.append([entry()], leases={})
    assert count(recorder) == 0

    recorder.before = None
    assert journal.append([entry()], leases={}) == [1]


def test_an_outcome_that_cannot_be_read_back_may_be_tried_again(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    recorder.after = recorder.reading = OperationalError("disk I/O error")

    with pytest.raises(RetryableError, match="cannot be read"):
        journal.append([entry()], leases={})


def test_a_batch_that_is_in_the_log_already_is_not_a_lost_race(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    batch = [entry(1), entry(2)]
    assert journal.append(batch, leases={}) == [1, 2]

    assert journal.append(batch, leases={}) == [1, 2]
    assert count(recorder) == 2


@pytest.mark.parametrize(
    "ours",
    [
        [entry(1, commit="ours")],
        [entry(1, commit="theirs"), entry(2, commit="ours")],
        [entry(2, commit="ours"), entry(3, commit="ours"), entry(1, "payment:acme/new", commit="ours")],
    ],
)
def test_a_stream_that_another_writer_appended_to_is_a_lost_race(
    ours: list[Entry], journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    journal.append([entry(1, commit="theirs"), entry(2, commit="theirs")], leases={})

    with pytest.raises(LostRaceError):
        journal.append(ours, leases={})

    assert count(recorder) == 2


def test_a_failure_of_the_store_is_not_called_a_refusal_of_the_content(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    recorder.before = PersistenceError("database disk image is malformed")

    with pytest.raises(RetryableError):
        journal.append([entry()], leases={})


@pytest.mark.parametrize("refusal", [IntegrityError("gap"), OperationalError("lost connection")])
def test_another_commit_under_the_same_versions_is_not_ours(
    refusal: PersistenceError, journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    journal.append([entry(1, commit="theirs")], leases={})
    recorder.before = refusal

    with pytest.raises(RetryableError):
        journal.append([entry(1, commit="ours")], leases={})


def test_content_that_the_store_refuses_will_never_be_taken(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    recorder.before = DataError("string or blob too big")

    with pytest.raises(TerminalError, match="too big"):
        journal.append([entry()], leases={})


def test_content_that_cannot_be_encoded_will_never_be_taken(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    with pytest.raises(TerminalError, match="cannot be encoded"):
        journal.append([entry(1), entry(2, customer_id="\udcff")], leases={})

    assert count(recorder) == 0


def test_a_fenced_writer_is_told_so(journal: Journal, recorder: FickleSqlite | FicklePostgres) -> None:
    held = journal.take_leases(["p/1"], "first")
    journal.check_leases(held)
    journal.take_leases(["p/1"], "second")

    with pytest.raises(FencedError):
        journal.append([entry()], leases=held)
    with pytest.raises(FencedError):
        journal.check_leases(held)
    assert count(recorder) == 0


def test_a_log_that_cannot_be_read_now_may_be_read_later(
    journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    recorder.reading = OperationalError("disk I/O error")

    with pytest.raises(RetryableError, match="cannot be read"):
        journal.load({STREAM: 0})
    with pytest.raises(RetryableError, match="cannot be read"):
        journal.snapshots([STREAM])


@pytest.mark.parametrize("state", [b"\xc1", b"\x81\xa1a\x01", b"\x81\xa5event\xa2\xff\xff"])
def test_bytes_that_are_no_event_of_ours_are_named_by_their_place(
    state: bytes, journal: Journal, recorder: FickleSqlite | FicklePostgres
) -> None:
    recorder.append([StoredEvent(STREAM, 1, "payment.fact_recorded", state)], leases={})

    with pytest.raises(TerminalError, match=f"{STREAM}, version 1"):
        journal.load({STREAM: 0})


@pytest.mark.parametrize("size", [0, BATCH_MAX + 1])
def test_a_batch_that_is_empty_or_too_large_is_a_mistake_of_the_caller(size: int, journal: Journal) -> None:
    with pytest.raises(AssertionError):
        journal.append([entry(version) for version in range(1, size + 1)], leases={})
