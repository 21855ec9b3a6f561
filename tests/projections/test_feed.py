"""The log is read by position, a page at a time, and nothing that is appended meanwhile is skipped."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.recorder import open_log
from domain.errors import RetryableError, TerminalError
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.feed import Feed, LogEntry, LogFeed, Page, SqliteFeed
from projections.feeds import feed_at, is_address
from projections.postgres_feed import PostgresFeed
from tests.stores import Cell, Recorder, recorder_at
from tests.worlds import link, new_shard, numbered, record

FACTS = "payment.fact_recorded"
LINKS = "payment.linked"


@pytest.fixture
def recorder(place: str) -> Iterator[Recorder]:
    log = recorder_at(place)
    yield log
    log.datastore.close()


@pytest.fixture
def feed(recorder: Recorder, place: str) -> Iterator[LogFeed]:
    reading = feed_at(place)
    yield reading
    reading.close()


def positions(page: Page) -> list[int]:
    return [entry.position for entry in page.entries]


def test_an_empty_log_has_nothing_to_read(feed: Feed) -> None:
    assert feed.head() == 0
    assert feed.read(0, limit=10) == Page(entries=[], position=0)


def test_pages_cover_the_log_in_order(feed: Feed, recorder: Recorder) -> None:
    new_shard(recorder).handle([record(number) for number in range(1, 8)])
    seen: list[int] = []
    at = 0
    while (page := feed.read(at, limit=3)).position > at:
        seen += positions(page)
        at = page.position

    assert seen == list(range(1, 8))
    assert at == feed.head() == 7
    assert feed.read(at, limit=3) == Page(entries=[], position=7)


def test_other_topics_are_left_out_and_moved_past(feed: Feed, recorder: Recorder) -> None:
    new_shard(recorder).handle([record(1), link("ch_1", "pi_1"), record(2), link("ch_2", "pi_1"), record(3)])

    all_links = feed.read(0, limit=10, topics=[LINKS])
    two_links = feed.read(0, limit=2, topics=[LINKS])

    assert (positions(all_links), all_links.position) == ([2, 4], 5)
    assert (positions(two_links), two_links.position) == ([2, 4], 4)
    assert positions(feed.read(0, limit=10, topics=[LINKS, FACTS])) == [1, 2, 3, 4, 5]


class WhileAppending:
    """A feed beside a writer that appends an event whenever the head has just been read."""

    recorder: Recorder
    number = 0

    def head(self) -> int:
        head: int = super().head()  # type: ignore[misc]  # of the feed that it is mixed into
        if not self.number:
            self.shard = new_shard(self.recorder)
        self.number += 1
        self.shard.handle([record(self.number)])
        return head


class SqliteWhileAppending(WhileAppending, SqliteFeed):
    pass


class PostgresWhileAppending(WhileAppending, PostgresFeed):
    pass


def test_what_is_appended_while_a_page_is_read_comes_with_the_next(recorder: Recorder, place: str) -> None:
    feed = (PostgresWhileAppending if is_address(place) else SqliteWhileAppending)(place)
    feed.recorder = recorder
    seen: list[int] = []
    at = 0
    for _ in range(10):
        page = feed.read(at, limit=100, topics=[FACTS])
        seen += positions(page)
        at = page.position

    assert seen == list(range(1, 10))
    feed.close()


def test_a_stream_is_read_by_itself_in_order(feed: Feed, recorder: Recorder) -> None:
    new_shard(recorder).handle([record(1), record(1, "pi_2"), link("pi_1", "pi_9")])

    first, second = feed.stream("payment:acme/pi_1")

    assert (first.position, first.version, first.topic) == (1, 1, FACTS)
    assert (second.position, second.version, second.topic) == (3, 2, LINKS)
    assert first.envelope().event == FactRecorded(fact=numbered(1))
    assert second.envelope().event == PaymentLinked(payment_id="pi_9")
    assert feed.stream("payment:acme/unknown") == []


def test_an_entry_knows_its_tenant_and_key() -> None:
    entry = LogEntry(position=1, stream="webhook:acme/stripe/evt_1", version=1, topic="webhook.seen", state=b"\xc1")

    assert (entry.tenant, entry.key) == ("acme", "stripe/evt_1")
    with pytest.raises(msgspec.DecodeError):
        entry.envelope()


def test_the_newest_streams_of_a_name_are_found(feed: LogFeed, recorder: Recorder) -> None:
    new_shard(recorder).handle(
        [record(1, "pi_B"), record(1, "pi_a"), link("pi_B", "pi_9"), record(1, "pi_\u00e9"), record(1, "qi_1")]
    )

    found = feed.latest_streams("payment:acme/pi_", limit=10)

    assert found == [("payment:acme/pi_\u00e9", 4), ("payment:acme/pi_B", 3), ("payment:acme/pi_a", 2)]
    assert feed.latest_streams("payment:acme/pi_", limit=1, before=4) == found[1:2]
    assert feed.latest_streams("payment:acme/pi_", limit=10, topic=LINKS) == found[1:2]
    assert feed.latest_streams("payment:acme/pi_", limit=10, before=3, topic=LINKS) == []


def test_names_are_in_the_order_of_their_bytes(feed: LogFeed, recorder: Recorder) -> None:
    """Another order would put other names into the range of a prefix."""
    new_shard(recorder).handle([record(1, key) for key in ("b", "B", "_", "~", "\u00e9")])

    assert [stream for stream, _ in feed.latest_streams("payment:acme/B", limit=10)] == ["payment:acme/B"]
    assert len(feed.latest_streams("payment:acme/", limit=10)) == 5


def test_a_feed_cannot_write(feed: LogFeed) -> None:
    if isinstance(feed, SqliteFeed):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            feed._connection.execute("DELETE FROM stored_events")
    else:
        assert isinstance(feed, PostgresFeed)
        with pytest.raises(RetryableError, match="read-only"):
            feed._rows("DELETE FROM stored_events")


@pytest.mark.stack
def test_a_place_without_a_log_will_not_do(cell: Cell) -> None:
    feed = feed_at(cell.address)

    with pytest.raises(TerminalError, match=r"(?s)stored_events.*store\.url"):
        feed.head()
    feed.close()


def test_any_directory_may_hold_the_log(tmp_path: Path) -> None:
    directory = tmp_path / "100% of #1?"
    directory.mkdir()
    recorder = open_log(str(directory / "log.sqlite"))
    new_shard(recorder).handle([record(1)])
    feed = SqliteFeed(str(directory / "log.sqlite"))

    assert feed.head() == 1
    feed.close()
    recorder.datastore.close()
