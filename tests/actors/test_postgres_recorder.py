"""What is PostgreSQL's own: sessions, roles, tables and what cannot be stored."""

import threading
from collections.abc import Iterator

import pytest
from eventsourcing.persistence import DataError, StoredEvent

from actors.log import log_at
from actors.postgres_recorder import PostgresLogRecorder, open_postgres_log
from actors.recorder import Snapshot
from domain.errors import TerminalError
from projections.postgres import described, parameters
from tests.stores import Cell

pytestmark = pytest.mark.stack


@pytest.fixture
def recorder(cell: Cell) -> Iterator[PostgresLogRecorder]:
    log = open_postgres_log(cell.address)
    yield log
    log.datastore.close()


def test_every_session_has_its_timeouts_and_commits_as_durably_as_asked_or_more(cell: Cell) -> None:
    for asked, given in (("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")):
        cell.alter(f"SET synchronous_commit = {asked}")
        recorder = open_postgres_log(cell.address)
        with recorder._reading() as cursor:
            names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
            row = cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}").fetchone()
        assert row == ("30s", "10s", "10s", given)
        recorder.datastore.close()


@pytest.mark.parametrize(
    ("stream", "version"), [("a\x00b", 1), ("a" + "".join(map(chr, range(33, 9_000))), 1), ("a", 2**63)]
)
def test_content_that_can_never_be_stored_is_told_apart_from_a_server_that_is_away(
    stream: str, version: int, recorder: PostgresLogRecorder
) -> None:
    recorder.insert_events([StoredEvent("a", 2**63 - 1, "topic", b"")])

    with pytest.raises(DataError):
        recorder.append([StoredEvent(stream, version, "topic", b"")], leases={})

    assert recorder.append([StoredEvent("b", 1, "topic", b"")], leases={}) == [2]


def test_snapshots_and_events_are_committed_together_or_not_at_all(recorder: PostgresLogRecorder) -> None:
    snapshot = Snapshot(stream="a\x00b", version=1, shape="S", state=b"")

    with pytest.raises(DataError):
        recorder.append([StoredEvent("a", 1, "topic", b"")], leases={}, snapshots=[snapshot])

    assert recorder.max_notification_id() is None


def test_names_are_compared_as_bytes_whatever_the_database_would_do(recorder: PostgresLogRecorder) -> None:
    """As SQLite does. Another order would put other names into the range of a prefix."""
    with recorder._reading() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text, attname::text FROM pg_attribute JOIN pg_collation ON attcollation = "
            "pg_collation.oid WHERE collname = 'C' AND attrelid::regclass::text IN "
            "('stored_events', 'leases', 'snapshots')"
        )
        assert set(cursor.fetchall()) == {
            ("stored_events", "originator_id"),
            ("stored_events", "topic"),
            ("leases", "lease"),
            ("snapshots", "stream"),
        }


def test_the_tables_are_made_once_although_several_start_at_once(cell: Cell) -> None:
    opened: list[PostgresLogRecorder] = []
    threads = [threading.Thread(target=lambda: opened.append(open_postgres_log(cell.address))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 6
    for recorder in opened:
        recorder.datastore.close()


def test_a_role_that_may_make_no_tables_uses_those_that_are_there(cell: Cell) -> None:
    writer = f"writer_of_{cell.name}"
    cell.server.execute(f"CREATE ROLE {writer} LOGIN")
    address = cell.server.address(user=writer, options=f"-csearch_path={cell.name}")
    cell.execute(f"GRANT USAGE ON SCHEMA {cell.name} TO {writer}")
    with pytest.raises(TerminalError, match="permission denied"):
        log_at(address)
    owner = open_postgres_log(cell.address)
    cell.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {cell.name} TO {writer}")

    recorder = open_postgres_log(address)

    held = recorder.take_leases(["p/1"], "first")
    assert recorder.append([StoredEvent("a", 1, "topic", b"")], leases=held) == [1]
    for each in (recorder, owner):
        each.datastore.close()


def test_an_address_that_cannot_be_read_is_told_without_its_password() -> None:
    with pytest.raises(TerminalError, match=r"store\.url.*nonsense"):
        log_at("postgresql://user:secret@host/database?nonsense=1")
    assert described("postgresql://user:secret@db.example:5432/cell") == "postgresql at db.example, database cell"
    assert parameters("postgresql://host/cell?connect_timeout=1&sslmode=require")["sslmode"] == "require"
