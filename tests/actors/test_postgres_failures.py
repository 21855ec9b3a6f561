"""Whatever happens to the server or the way to it: what was acknowledged is there once, and nothing else is."""

import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import DataError, PersistenceError, StoredEvent

from actors.journal import Entry, Journal
from actors.postgres_recorder import CONNECTIONS_MAX, PostgresLogRecorder, open_postgres_log
from domain.codec import Envelope
from domain.errors import FencedError, RetryableError, TerminalError
from domain.payment_saga import FactRecorded
from domain.settings import BATCH_MAX
from projections.postgres_feed import PostgresFeed
from simulations.postgres_server import PostgresServer
from tests.cutting_proxy import CuttingProxy, When
from tests.spec import NOON
from tests.stores import Cell, impatient
from tests.worlds import numbered

pytestmark = pytest.mark.stack

STREAM = "payment:acme/pi_1"


def entry(version: int = 1, stream: str = STREAM, *, commit: str = "ours") -> Entry:
    envelope = Envelope(event=FactRecorded(fact=numbered(version)), recorded_at=NOON, commit=commit)
    return Entry(stream=stream, version=version, envelope=envelope)


@pytest.fixture
def recorder(cell: Cell) -> Iterator[PostgresLogRecorder]:
    log = open_postgres_log(cell.address)
    yield log
    log.datastore.close()


@pytest.fixture
def feed(cell: Cell, recorder: PostgresLogRecorder) -> Iterator[PostgresFeed]:
    reading = PostgresFeed(cell.address)
    yield reading
    reading.close()


def commits(feed: PostgresFeed) -> list[tuple[int, str]]:
    """(position, commit id) of everything in the log."""
    return [(each.position, each.envelope().commit) for each in feed.read(0, limit=100).entries]


def appended(journal: Journal, given: Entry) -> list[int]:
    """Append as a shard's callers do: again after what may be tried again, which each session that is kept may meet."""
    for _ in range(CONNECTIONS_MAX):
        try:
            return journal.append([given], leases={})
        except RetryableError:
            continue
    return journal.append([given], leases={})


def test_sessions_that_were_ended_while_nobody_used_them_are_replaced_unnoticed(
    cell: Cell, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    journal = Journal(recorder)
    journal.append([entry(1)], leases={})
    assert feed.head() == 1
    cell.end_sessions()

    assert journal.append([entry(2)], leases={}) == [2]
    assert feed.head() == 2


class EndedInTheMiddle(PostgresLogRecorder):
    """A log whose sessions are ended once, between the lock and the insert of an append."""

    cell: Cell | None = None

    def _check_leases(self, cursor: Any, leases: Mapping[str, int]) -> None:
        cell, self.cell = self.cell, None
        if cell is not None:
            cell.end_sessions()
        super()._check_leases(cursor, leases)


def test_an_append_whose_session_was_ended_wrote_nothing_and_may_be_tried_again(
    cell: Cell, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    ended = EndedInTheMiddle(recorder.datastore)
    journal = Journal(ended)
    held = journal.take_leases(["p/1"], "first")
    ended.cell = cell

    with pytest.raises(RetryableError, match="terminating connection"):
        journal.append([entry(1)], leases=held)

    assert commits(feed) == []
    assert journal.append([entry(1)], leases=held) == [1]


@pytest.mark.parametrize("when", ["before", "after", "at reply"])
def test_the_outcome_of_a_commit_whose_reply_was_lost_is_read_back(when: When, cell: Cell, feed: PostgresFeed) -> None:
    is_committed = when != "before"
    with CuttingProxy(cell.server.port) as proxy:
        recorder = open_postgres_log(cell.through(proxy.port))
        journal = Journal(recorder)
        journal.append([entry(1, commit="before")], leases={})
        proxy.cut(when, b"COMMIT")

        if is_committed:
            assert journal.append([entry(2), entry(3)], leases={}) == [2, 3]
        else:
            with pytest.raises(RetryableError, match="cannot commit now"):
                journal.append([entry(2), entry(3)], leases={})

        assert proxy.cuts == 1
        assert commits(feed) == [(1, "before"), *([(2, "ours"), (3, "ours")] if is_committed else [])]
        recorder.datastore.close()


def test_a_commit_that_is_still_on_its_way_is_waited_for_before_it_is_called_lost(
    cell: Cell, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    cell.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON stored_events DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    with CuttingProxy(cell.server.port) as proxy:
        cut = open_postgres_log(cell.through(proxy.port))
        proxy.cut("after", b"COMMIT")

        assert Journal(cut).append([entry(1)], leases={}) == [1]

        assert proxy.cuts == 1
        cut.datastore.close()
    assert commits(feed) == [(1, "ours")]


def test_while_the_server_is_away_everything_may_be_tried_later_and_what_was_said_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.postgres_recorder.CONNECT_TIMEOUT_S", 1)
    with PostgresServer() as server:
        recorder, feed = open_postgres_log(server.address()), PostgresFeed(server.address())
        journal = Journal(recorder)
        held = journal.take_leases(["p/1"], "first")
        for how, number in ((signal.SIGINT, 1), (signal.SIGQUIT, 2)):
            assert journal.append([entry(number)], leases=held) == [number]
            server.stop(how)

            with pytest.raises(RetryableError, match="refused"):
                journal.append([entry(number + 1)], leases=held)
            with pytest.raises(RetryableError, match="refused"):
                feed.head()
            with pytest.raises(RetryableError, match="refused"):
                open_postgres_log(server.address())

            server.start()
            assert len(commits(feed)) == number
        assert journal.append([entry(3)], leases=held) == [3]
        assert journal.take_leases(["p/1"], "second") == {"p/1": 2}
        with pytest.raises(FencedError):
            journal.append([entry(4)], leases=held)
        feed.close()
        recorder.datastore.close()


def test_a_server_that_is_read_only_may_be_written_to_later(
    cell: Cell, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    journal = Journal(recorder)
    journal.append([entry(1)], leases={})
    cell.alter("SET default_transaction_read_only = on")
    cell.end_sessions()

    with pytest.raises(RetryableError, match="read-only"):
        journal.append([entry(2)], leases={})
    assert (feed.head(), len(journal.load({STREAM: 0}))) == (1, 1)

    # It is another session that may write again: the one that may not is not kept.
    cell.alter("RESET default_transaction_read_only")
    assert appended(journal, entry(2)) == [2]


def test_a_server_without_a_free_connection_may_be_written_to_later() -> None:
    with PostgresServer({"max_connections": "12"}) as server:
        recorder = open_postgres_log(server.address())
        journal = Journal(recorder)
        journal.append([entry(1)], leases={})

        with server.take_connections(), pytest.raises(RetryableError, match="too many clients"):
            journal.append([entry(2)], leases={})

        assert appended(journal, entry(2)) == [2]
        recorder.datastore.close()


def filled(recorder: PostgresLogRecorder) -> tuple[list[StoredEvent], PersistenceError]:
    """Append until the disk is full; the batch that was refused, and how."""
    for number in range(100):
        batch = [
            StoredEvent("a", version, "topic", bytes(1_500))
            for version in range(number * BATCH_MAX + 1, (number + 1) * BATCH_MAX + 1)
        ]
        try:
            recorder.append(batch, leases={})
        except PersistenceError as error:
            return batch, error
    raise AssertionError("the disk is never full")


def test_a_full_disk_is_told_apart_from_bad_content_and_goes_on_when_there_is_room() -> None:
    with PostgresServer() as server:
        server.stop()
        try:
            server.start(small_disk_bytes=8 * 1024**2)
        except TerminalError as error:
            pytest.skip(f"NOT TESTED: a full disk, because no small one can be mounted here: {error}")
        server.execute(
            f"CREATE TABLESPACE small LOCATION '{server.small_disk}'",
            "CREATE TABLE other TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)",
        )
        address = server.address(options="-cdefault_tablespace=small")
        recorder, feed = open_postgres_log(address), PostgresFeed(address)

        refused, refusal = filled(recorder)
        assert not isinstance(refusal, DataError)
        assert isinstance(refusal.__cause__, psycopg.errors.DiskFull)
        head = feed.head()
        with pytest.raises(PersistenceError, match="No space left"):
            recorder.append(refused, leases={})
        assert head >= BATCH_MAX
        assert (feed.head(), len(recorder.select_streams({"a": 0}))) == (head, head)

        server.execute("DROP TABLE other")
        assert recorder.append(refused, leases={}) == list(range(head + 1, head + 1 + BATCH_MAX))
        feed.close()
        recorder.datastore.close()


def test_without_a_connection_left_one_is_waited_for_and_the_reason_is_told(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell.alter("CONNECTION LIMIT 1")
    monkeypatch.setattr("actors.postgres_recorder.CONNECT_TIMEOUT_S", 1)
    recorder = open_postgres_log(cell.address)
    journal = Journal(recorder)
    journal.append([entry(1)], leases={})
    cell.end_sessions()
    with psycopg.connect(cell.address):
        with pytest.raises(RetryableError, match="too many connections"):
            journal.append([entry(2)], leases={})
        with pytest.raises(RetryableError, match="too many connections"):
            PostgresFeed(cell.address).head()

    assert appended(journal, entry(2)) == [2]
    recorder.datastore.close()


def test_a_writer_that_stops_in_the_middle_of_an_append_is_put_out_of_the_way(
    cell: Cell, recorder: PostgresLogRecorder, feed: PostgresFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with impatient(monkeypatch, 0.3):
        stopped = open_postgres_log(cell.address)
    is_in, may_go_on = threading.Event(), threading.Event()

    def stop_in_the_middle() -> None:
        with stopped._writing(adding=1):
            is_in.set()
            may_go_on.wait(10)

    def fail_to_go_on() -> None:
        with pytest.raises(PersistenceError, match="terminating"):
            stop_in_the_middle()

    thread = threading.Thread(target=fail_to_go_on)
    thread.start()
    assert is_in.wait(10)

    assert Journal(recorder).append([entry(1)], leases={}) == [1]

    may_go_on.set()
    thread.join()
    assert commits(feed) == [(1, "ours")]
    stopped.datastore.close()
