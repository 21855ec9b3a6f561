"""The log's promises: positions are used once, an append is all or nothing, and a fenced writer writes nothing."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent

from actors.postgres_recorder import PostgresLogRecorder
from actors.recorder import LogRecorder, Snapshot
from domain.errors import FencedError
from domain.settings import BATCH_MAX
from tests.actors.processes import append_batches, go, outcome, running
from tests.stores import Recorder, impatient, recorder_at

PROCESSES = 2
BATCHES = 60
BATCH = 5


@pytest.fixture
def recorder(place: str) -> Iterator[Recorder]:
    log = recorder_at(place)
    yield log
    log.datastore.close()


def events(stream: str, *versions: int, state: bytes = b"state") -> list[StoredEvent]:
    return [StoredEvent(stream, version, "topic", state) for version in versions]


def versions_of(recorder: Recorder, stream: str) -> list[int]:
    return [each.originator_version for each in recorder.select_streams({stream: 0})]


def positions(recorder: Recorder) -> list[int]:
    return [each.id for each in recorder.select_notifications(None, 1_000_000)]


def test_an_append_returns_one_position_per_event_in_order(recorder: Recorder) -> None:
    assert recorder.append([*events("a", 1, 2), *events("b", 1)], leases={}) == [1, 2, 3]
    assert [(str(each.originator_id), each.id) for each in recorder.select_notifications(None, 10)] == [
        ("a", 1),
        ("a", 2),
        ("b", 3),
    ]


def test_a_position_is_not_used_again_after_the_newest_events_were_deleted(recorder: Recorder) -> None:
    recorder.append(events("a", 1, 2, 3), leases={})
    with recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute("DELETE FROM stored_events WHERE position > 1")

    assert recorder.append(events("a", 2), leases={}) == [4]


@pytest.mark.parametrize("refused", [events("a", 1), events("a", 3), events("b", 2), events("b", 1, 1)])
def test_a_stale_version_or_a_gap_refuses_the_whole_batch(recorder: Recorder, refused: list[StoredEvent]) -> None:
    recorder.append(events("a", 1), leases={})

    with pytest.raises(IntegrityError):
        recorder.append([*events("new", 1, 2), *refused], leases={})

    assert positions(recorder) == [1]
    assert recorder.append(events("new", 1), leases={}) == [2]


def test_a_lease_is_taken_over_by_raising_its_epoch(recorder: Recorder) -> None:
    assert recorder.take_leases(["p/1", "p/2"], "first") == {"p/1": 1, "p/2": 1}
    assert recorder.take_leases(["p/2", "p/3"], "second") == {"p/2": 2, "p/3": 1}

    recorder.check_leases({"p/1": 1, "p/2": 2})
    with pytest.raises(FencedError) as fenced:
        recorder.check_leases({"p/1": 1, "p/2": 1})
    assert (fenced.value.lease, fenced.value.held, fenced.value.current) == ("p/2", 1, 2)


def test_a_lease_that_nobody_took_is_not_held(recorder: Recorder) -> None:
    with pytest.raises(FencedError, match="at 0"):
        recorder.append(events("a", 1), leases={"p/1": 1})


def test_a_fenced_writer_writes_nothing_not_even_where_nobody_else_wrote(recorder: Recorder) -> None:
    held = recorder.take_leases(["p/1", "p/2"], "first")
    recorder.append(events("a", 1), leases=held)
    recorder.take_leases(["p/2"], "second")
    snapshot = Snapshot(stream="untouched", version=1, shape="S", state=b"")

    with pytest.raises(FencedError):
        recorder.append([*events("untouched", 1), *events("a", 2)], leases=held, snapshots=[snapshot])

    assert positions(recorder) == [1]
    assert recorder.select_snapshots(["untouched"]) == []


class Interrupted:
    """A log whose lease another writer tries to take between the check and the append."""

    rival: Recorder

    def _check_leases(self, cursor: Any, leases: Mapping[str, int]) -> None:
        super()._check_leases(cursor, leases)  # type: ignore[misc]  # of the recorder that it is mixed into
        with pytest.raises(OperationalError, match=r"locked|lock timeout"):
            self.rival.take_leases(["p/1"], "second")
        with pytest.raises(OperationalError, match=r"locked|lock timeout"):
            self.rival.append(events("b", 1), leases={})


class InterruptedSqlite(Interrupted, LogRecorder):
    pass


class InterruptedPostgres(Interrupted, PostgresLogRecorder):
    pass


def test_nobody_takes_a_lease_or_a_position_between_the_check_and_the_append(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = recorder_at(place)
    recorder = InterruptedSqlite(log.datastore) if isinstance(log, LogRecorder) else InterruptedPostgres(log.datastore)
    with impatient(monkeypatch):
        recorder.rival = recorder_at(place)
        held = recorder.take_leases(["p/1"], "first")

        # Within: a session that the rival has to open anew must not wait longer than the first one may be idle.
        recorder.append(events("a", 1), leases=held)

    assert recorder.rival.take_leases(["p/1"], "second") == {"p/1": 2}
    assert recorder.rival.append(events("b", 1), leases={}) == [2]
    for each in (recorder, recorder.rival):
        each.datastore.close()


def test_a_newer_snapshot_wins_and_an_older_one_changes_nothing(recorder: Recorder) -> None:
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


def test_streams_are_read_from_where_each_was_left(recorder: Recorder) -> None:
    recorder.append([*events("a", 1, 2, 3), *events("b", 1)], leases={})

    found = recorder.select_streams({"a": 2, "b": 0, "unknown": 0})

    assert [(each.originator_id, each.originator_version) for each in found] == [("a", 3), ("b", 1)]


def test_positions_are_found_by_version(recorder: Recorder) -> None:
    recorder.append([*events("b", 1), *events("a", 1, 2, state=b"A")], leases={})

    assert recorder.select_positions("a", [1, 2, 3]) == {1: (2, b"A"), 2: (3, b"A")}


def test_the_largest_batch_of_large_events_is_appended(recorder: Recorder) -> None:
    """Through a pipeline, psycopg 3.3.9 waits for good on a batch like this one."""
    versions = range(1, BATCH_MAX + 1)

    recorder.append(events("a", *versions, state=bytes(20_000)), leases={})

    assert versions_of(recorder, "a") == list(versions)


@pytest.mark.long
def test_two_processes_append_to_one_log_and_no_event_is_lost(recorder: Recorder, place: str) -> None:
    streams = [f"stream-{number}" for number in range(PROCESSES)]
    with ExitStack() as stack:
        writers = [stack.enter_context(running(append_batches, place, stream, BATCHES, BATCH)) for stream in streams]
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
