"""The log is read by position, a page at a time, and nothing that is appended meanwhile is skipped."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.recorder import LogRecorder, open_log
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.feed import Feed, LogEntry, Page, SqliteFeed
from tests.worlds import link, new_log, new_shard, numbered, record

FACTS = "payment.fact_recorded"
LINKS = "payment.linked"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


@pytest.fixture
def feed(recorder: LogRecorder, tmp_path: Path) -> Iterator[SqliteFeed]:
    reading = SqliteFeed(str(tmp_path / "log.sqlite"))
    yield reading
    reading.close()


def positions(page: Page) -> list[int]:
    return [entry.position for entry in page.entries]


def test_an_empty_log_has_nothing_to_read(feed: Feed) -> None:
    assert feed.head() == 0
    assert feed.read(0, limit=10) == Page(entries=[], position=0)


def test_pages_cover_the_log_in_order(feed: Feed, recorder: LogRecorder) -> None:
    new_shard(recorder).handle([record(number) for number in range(1, 8)])
    seen: list[int] = []
    at = 0
    while (page := feed.read(at, limit=3)).position > at:
        seen += positions(page)
        at = page.position

    assert seen == list(range(1, 8))
    assert at == feed.head() == 7
    assert feed.read(at, limit=3) == Page(entries=[], position=7)


def test_other_topics_are_left_out_and_moved_past(feed: Feed, recorder: LogRecorder) -> None:
    new_shard(recorder).handle([record(1), link("ch_1", "pi_1"), record(2), link("ch_2", "pi_1"), record(3)])

    all_links = feed.read(0, limit=10, topics=[LINKS])
    two_links = feed.read(0, limit=2, topics=[LINKS])

    assert (positions(all_links), all_links.position) == ([2, 4], 5)
    assert (positions(two_links), two_links.position) == ([2, 4], 4)
    assert positions(feed.read(0, limit=10, topics=[LINKS, FACTS])) == [1, 2, 3, 4, 5]


class WhileAppending(SqliteFeed):
    """A feed beside a writer that appends an event whenever the head has just been read."""

    def __init__(self, path: str, recorder: LogRecorder) -> None:
        super().__init__(path)
        self._shard = new_shard(recorder)
        self._number = 0

    def head(self) -> int:
        head = super().head()
        self._number += 1
        self._shard.handle([record(self._number)])
        return head


def test_what_is_appended_while_a_page_is_read_comes_with_the_next(recorder: LogRecorder, tmp_path: Path) -> None:
    feed = WhileAppending(str(tmp_path / "log.sqlite"), recorder)
    seen: list[int] = []
    at = 0
    for _ in range(10):
        page = feed.read(at, limit=100, topics=[FACTS])
        seen += positions(page)
        at = page.position

    assert seen == list(range(1, 10))
    feed.close()


def test_a_stream_is_read_by_itself_in_order(feed: Feed, recorder: LogRecorder) -> None:
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


def test_a_feed_cannot_write(feed: SqliteFeed) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        feed._connection.execute("DELETE FROM stored_events")


def test_any_directory_may_hold_the_log(tmp_path: Path) -> None:
    directory = tmp_path / "100% of #1?"
    directory.mkdir()
    recorder = open_log(str(directory / "log.sqlite"))
    new_shard(recorder).handle([record(1)])
    feed = SqliteFeed(str(directory / "log.sqlite"))

    assert feed.head() == 1
    feed.close()
    recorder.datastore.close()
