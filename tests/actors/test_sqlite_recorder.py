"""What is SQLite's own: fsync, locks and full disks."""

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError
from eventsourcing.sqlite import SQLiteConnection

from actors.recorder import LogRecorder
from tests.actors.test_recorder import events, versions_of
from tests.worlds import new_log


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


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
