"""Whatever happens to the server or the way to it: what was acknowledged is there once, and nothing else is."""

import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import DataError, PersistenceError, StoredEvent

from actors.journal import Entry, Journal
from actors.log import log_at
from actors.postgres_recorder import PostgresLogRecorder, open_postgres_log
from actors.recorder import Snapshot
from domain.codec import Envelope
from domain.errors import FencedError, RetryableError, TerminalError
from domain.payment_saga import FactRecorded
from domain.settings import BATCH_MAX
from projections.postgres import described, parameters
from projections.postgres_feed import PostgresFeed
from simulations.postgres_server import PostgresServer
from tests.cutting_proxy import CuttingProxy, When
from tests.spec import NOON
from tests.stores import impatient
from tests.worlds import numbered

pytestmark = pytest.mark.stack

STREAM = "payment:acme/pi_1"


def entry(version: int = 1, stream: str = STREAM, *, commit: str = "ours") -> Entry:
    envelope = Envelope(event=FactRecorded(fact=numbered(version)), recorded_at=NOON, commit=commit)
    return Entry(stream=stream, version=version, envelope=envelope)


class Server:
    """The shared server, and a database of the test's own on it."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server = server
        self.database = database
        self.address = server.address(database)

    def through(self, proxy: CuttingProxy) -> str:
        return self.address.replace(f":{self.server.port}/", f":{proxy.port}/")

    def execute(self, *statements: str) -> None:
        self.server.execute(*statements, database=self.database)

    def end_sessions(self) -> None:
        """End every session in the database, as an administrator or a failover does."""
        self.server.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self.database}'"  # noqa: S608 - a name of ours
        )


_numbers = iter(range(1, 1_000))


@pytest.fixture
def server(postgres_server: PostgresServer) -> Server:
    database = f"failing_{next(_numbers)}"
    postgres_server.execute(f"CREATE DATABASE {database}")
    return Server(postgres_server, database)


@pytest.fixture
def recorder(server: Server) -> Iterator[PostgresLogRecorder]:
    log = open_postgres_log(server.address)
    yield log
    log.datastore.close()


@pytest.fixture
def feed(server: Server, recorder: PostgresLogRecorder) -> Iterator[PostgresFeed]:
    reading = PostgresFeed(server.address)
    yield reading
    reading.close()


def commits(feed: PostgresFeed) -> list[tuple[int, str]]:
    """(position, commit id) of everything in the log."""
    return [(each.position, each.envelope().commit) for each in feed.read(0, limit=100).entries]


def appended(journal: Journal, given: Entry) -> list[int]:
    """Append as a shard's callers do: once more after what may be tried again."""
    try:
        return journal.append([given], leases={})
    except RetryableError:
        return journal.append([given], leases={})


def test_sessions_that_were_ended_while_nobody_used_them_are_replaced_unnoticed(
    server: Server, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    journal = Journal(recorder)
    journal.append([entry(1)], leases={})
    assert feed.head() == 1
    server.end_sessions()

    assert journal.append([entry(2)], leases={}) == [2]
    assert feed.head() == 2


class EndedInTheMiddle(PostgresLogRecorder):
    """A log whose sessions are ended once, between the lock and the insert of an append."""

    server: Server | None = None

    def _check_leases(self, cursor: Any, leases: Mapping[str, int]) -> None:
        server, self.server = self.server, None
        if server is not None:
            server.end_sessions()
        super()._check_leases(cursor, leases)


def test_an_append_whose_session_was_ended_wrote_nothing_and_may_be_tried_again(
    server: Server, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    ended = EndedInTheMiddle(recorder.datastore)
    journal = Journal(ended)
    held = journal.take_leases(["p/1"], "first")
    ended.server = server

    with pytest.raises(RetryableError, match="terminating connection"):
        journal.append([entry(1)], leases=held)

    assert commits(feed) == []
    assert journal.append([entry(1)], leases=held) == [1]


@pytest.mark.parametrize("when", ["before", "after", "at reply"])
def test_the_outcome_of_a_commit_whose_reply_was_lost_is_read_back(
    when: When, server: Server, feed: PostgresFeed
) -> None:
    is_committed = when != "before"
    with CuttingProxy(server.server.port) as proxy:
        recorder = open_postgres_log(server.through(proxy))
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
    server: Server, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    server.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'",
        "CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON stored_events DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    with CuttingProxy(server.server.port) as proxy:
        cut = open_postgres_log(server.through(proxy))
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
    server: Server, recorder: PostgresLogRecorder, feed: PostgresFeed
) -> None:
    journal = Journal(recorder)
    journal.append([entry(1)], leases={})
    server.execute(f"ALTER DATABASE {server.database} SET default_transaction_read_only = on")
    server.end_sessions()

    with pytest.raises(RetryableError, match="read-only"):
        journal.append([entry(2)], leases={})
    assert (feed.head(), len(journal.load({STREAM: 0}))) == (1, 1)

    # It is another session that may write again: the one that may not is not kept.
    server.server.execute(f"ALTER DATABASE {server.database} RESET default_transaction_read_only")
    assert appended(journal, entry(2)) == [2]


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
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.execute(
        f"CREATE ROLE few_{server.database} LOGIN CONNECTION LIMIT 1",
        f"GRANT CREATE ON SCHEMA public TO few_{server.database}",
    )
    address = server.address.replace("postgres@", f"few_{server.database}@")
    monkeypatch.setattr("actors.postgres_recorder.CONNECT_TIMEOUT_S", 1)
    recorder = open_postgres_log(address)
    journal = Journal(recorder)
    journal.append([entry(1)], leases={})
    server.end_sessions()
    with psycopg.connect(address):
        with pytest.raises(RetryableError, match="too many connections"):
            journal.append([entry(2)], leases={})
        with pytest.raises(RetryableError, match="too many connections"):
            PostgresFeed(address).head()

    assert appended(journal, entry(2)) == [2]
    recorder.datastore.close()


def test_a_writer_that_stops_in_the_middle_of_an_append_is_put_out_of_the_way(
    server: Server, recorder: PostgresLogRecorder, feed: PostgresFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with impatient(monkeypatch, 0.3):
        stopped = open_postgres_log(server.address)
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


def test_every_session_has_its_timeouts_and_commits_as_durably_as_asked_or_more(server: Server) -> None:
    for asked, given in (("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")):
        server.execute(f"ALTER DATABASE {server.database} SET synchronous_commit = {asked}")
        recorder = open_postgres_log(server.address)
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


def test_the_tables_are_made_once_although_several_start_at_once(server: Server) -> None:
    opened: list[PostgresLogRecorder] = []
    threads = [threading.Thread(target=lambda: opened.append(open_postgres_log(server.address))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 6
    for recorder in opened:
        recorder.datastore.close()


def test_a_role_that_may_make_no_tables_uses_those_that_are_there(server: Server) -> None:
    role = f"writer_{server.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    address = server.address.replace("postgres@", f"{role}@")
    with pytest.raises(TerminalError, match="permission denied"):
        log_at(address)
    owner = open_postgres_log(server.address)
    server.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")

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
