"""The log's promises: positions are used once, an append is all or nothing, and a fenced writer writes nothing."""

import resource
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteConnection, SQLiteCursor

from actors.recorder import LogRecorder, Snapshot
from domain.errors import FencedError
from tests.actors.processes import append_batches, go, outcome, running
from tests.worlds import new_log

PROCESSES = 2
BATCHES = 60
BATCH = 5


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


def events(stream: str, *versions: int, state: bytes = b"state") -> list[StoredEvent]:
    return [StoredEvent(stream, version, "topic", state) for version in versions]


def versions_of(recorder: LogRecorder, stream: str) -> list[int]:
    return [each.originator_version for each in recorder.select_streams({stream: 0})]


def positions(recorder: LogRecorder) -> list[int]:
    return [each.id for each in recorder.select_notifications(None, 1_000_000)]


def test_an_append_returns_one_position_per_event_in_order(recorder: LogRecorder) -> None:
    assert recorder.append([*events("a", 1, 2), *events("b", 1)], leases={}) == [1, 2, 3]
    assert [(str(each.originator_id), each.id) for each in recorder.select_notifications(None, 10)] == [
        ("a", 1),
        ("a", 2),
        ("b", 3),
    ]


def test_a_position_is_not_used_again_after_the_newest_events_were_deleted(recorder: LogRecorder) -> None:
    recorder.append(events("a", 1, 2, 3), leases={})
    with recorder._writing() as cursor:
        cursor.execute("DELETE FROM stored_events WHERE position > 1")

    assert recorder.append(events("a", 2), leases={}) == [4]


@pytest.mark.parametrize("refused", [events("a", 1), events("a", 3), events("b", 2), events("b", 1, 1)])
def test_a_stale_version_or_a_gap_refuses_the_whole_batch(recorder: LogRecorder, refused: list[StoredEvent]) -> None:
    recorder.append(events("a", 1), leases={})

    with pytest.raises(IntegrityError):
        recorder.append([*events("new", 1, 2), *refused], leases={})

    assert positions(recorder) == [1]
    assert recorder.append(events("new", 1), leases={}) == [2]


def test_a_lease_is_taken_over_by_raising_its_epoch(recorder: LogRecorder) -> None:
    assert recorder.take_leases(["p/1", "p/2"], "first") == {"p/1": 1, "p/2": 1}
    assert recorder.take_leases(["p/2", "p/3"], "second") == {"p/2": 2, "p/3": 1}

    recorder.check_leases({"p/1": 1, "p/2": 2})
    with pytest.raises(FencedError) as fenced:
        recorder.check_leases({"p/1": 1, "p/2": 1})
    assert (fenced.value.lease, fenced.value.held, fenced.value.current) == ("p/2", 1, 2)


def test_a_lease_that_nobody_took_is_not_held(recorder: LogRecorder) -> None:
    with pytest.raises(FencedError, match="at 0"):
        recorder.append(events("a", 1), leases={"p/1": 1})


def test_a_fenced_writer_writes_nothing_not_even_where_nobody_else_wrote(recorder: LogRecorder) -> None:
    held = recorder.take_leases(["p/1", "p/2"], "first")
    recorder.append(events("a", 1), leases=held)
    recorder.take_leases(["p/2"], "second")
    snapshot = Snapshot(stream="untouched", version=1, shape="S", state=b"")

    with pytest.raises(FencedError):
        recorder.append([*events("untouched", 1), *events("a", 2)], leases=held, snapshots=[snapshot])

    assert positions(recorder) == [1]
    assert recorder.select_snapshots(["untouched"]) == []


class Interrupted(LogRecorder):
    """A log whose lease another writer tries to take between the check and the append."""

    rival: LogRecorder

    def _check_leases(self, cursor: SQLiteCursor, leases: Mapping[str, int]) -> None:
        super()._check_leases(cursor, leases)
        with pytest.raises(OperationalError, match="locked"):
            self.rival.take_leases(["p/1"], "second")


def test_nobody_takes_a_lease_between_its_check_and_the_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Interrupted(new_log(tmp_path).datastore)
    monkeypatch.setattr("actors.recorder.LOCK_TIMEOUT_S", 0.01)
    recorder.rival = new_log(tmp_path)
    held = recorder.take_leases(["p/1"], "first")

    recorder.append(events("a", 1), leases=held)

    assert recorder.rival.take_leases(["p/1"], "second") == {"p/1": 2}
    for each in (recorder, recorder.rival):
        each.datastore.close()


def test_a_newer_snapshot_wins_and_an_older_one_changes_nothing(recorder: LogRecorder) -> None:
    def kept(version: int, state: bytes) -> Snapshot:
        recorder.append(
            events("a", version),
            leases={},
            snapshots=[Snapshot(stream="a", version=snapshot_version, shape="S", state=state)],
        )
        return recorder.select_snapshots(["a"])[0]

    snapshot_version = 2
    assert kept(1, b"two").state == b"two"
    snapshot_version = 1
    assert kept(2, b"one").state == b"two"
    snapshot_version = 3
    assert (kept(3, b"three").state, kept(4, b"again").state) == (b"three", b"three")


def test_streams_are_read_from_where_each_was_left(recorder: LogRecorder) -> None:
    recorder.append([*events("a", 1, 2, 3), *events("b", 1)], leases={})

    found = recorder.select_streams({"a": 2, "b": 0, "unknown": 0})

    assert [(each.originator_id, each.originator_version) for each in found] == [("a", 3), ("b", 1)]


def test_positions_are_found_by_version(recorder: LogRecorder) -> None:
    recorder.append([*events("b", 1), *events("a", 1, 2, state=b"A")], leases={})

    assert recorder.select_positions("a", [1, 2, 3]) == {1: (2, b"A"), 2: (3, b"A")}


def test_every_commit_is_fsynced_whatever_sqlite_would_do_unasked(recorder: LogRecorder) -> None:
    with recorder.datastore.get_connection(commit=True) as connection:
        connection.cursor().execute("PRAGMA synchronous=OFF")  # The pool gives the same connection to the next writer.
    with recorder._writing() as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone()[0] == "wal"


def test_a_lock_that_is_never_released_is_an_operational_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.recorder.LOCK_TIMEOUT_S", 0.01)
    recorder = new_log(tmp_path)
    with sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            recorder.append(events("a", 1), leases={})
        other.execute("ROLLBACK")
    other.close()

    assert recorder.append(events("a", 1), leases={}) == [1]
    recorder.datastore.close()


def test_a_full_disk_is_an_operational_error_until_there_is_room(recorder: LogRecorder, tmp_path: Path) -> None:
    recorder.append(events("a", 1), leases={})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = tmp_path / "log.sqlite-wal"
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 10_000, hard))
    try:
        for state in (bytes(100_000), bytes(100_000)):
            with pytest.raises(OperationalError):
                recorder.append(events("a", 2, state=state), leases={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert recorder.append(events("a", 2, state=bytes(100_000)), leases={}) == [2]


def test_after_a_commit_that_failed_the_next_one_begins_anew(
    recorder: LogRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite may leave the transaction open (https://www.sqlite.org/lang_transaction.html, section 3)."""

    def fail(_: SQLiteConnection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as failing:
        failing.setattr(SQLiteConnection, "commit", fail)
        with pytest.raises(OperationalError):
            recorder.append(events("a", 1), leases={})

    assert recorder.append(events("b", 1), leases={}) == [1]
    assert versions_of(recorder, "a") == []


def test_two_processes_append_to_one_file_and_no_event_is_lost(recorder: LogRecorder, tmp_path: Path) -> None:
    streams = [f"stream-{number}" for number in range(PROCESSES)]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(running(append_batches, tmp_path / "log.sqlite", stream, BATCHES, BATCH))
            for stream in streams
        ]
        for writer in writers:
            go(writer)
        given = [msgspec.convert(outcome(writer), list[list[int]]) for writer in writers]

    assert positions(recorder) == list(range(1, PROCESSES * BATCHES * BATCH + 1))
    for stream, batches in zip(streams, given, strict=True):
        flat = [position for batch in batches for position in batch]
        assert flat == sorted(flat)
        # A batch is one transaction: nobody writes in between.
        assert all(batch == list(range(batch[0], batch[0] + BATCH)) for batch in batches)
        assert versions_of(recorder, stream) == list(range(1, BATCHES * BATCH + 1))
    assert sorted(position for batches in given for batch in batches for position in batch) == positions(recorder)
