"""The payments view in parts that are built at the same time, and made one.

What is linked belongs together: a part has whole payments, each with every reference that leads to it.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from domain.codec import tag_of
from domain.ids import stream_id
from domain.payment_saga import PaymentLinked
from projections.feed import Feed, LogEntry, Page
from projections.payment_view import PaymentStore

_LINKED = tag_of(PaymentLinked)
_PAGE = 5_000


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One of `count` shares of all payments, counted from 0."""

    number: int = 0
    count: int = 1


class PartFeed:
    """The log as a part sees it: the events of its payments alone."""

    def __init__(self, feed: Feed, part: Part) -> None:
        self._feed = feed
        self._part = part
        self._families = Families(feed) if part.count > 1 else None

    def head(self) -> int:
        return self._feed.head()

    def stream(self, stream: str) -> list[LogEntry]:
        return self._feed.stream(stream)

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        page = self._feed.read(after, limit=limit, topics=topics)
        if self._part.count == 1:
            return page
        mine = [entry for entry in page.entries if self._is_mine(entry.stream)]
        return Page(entries=mine, position=page.position)

    def _is_mine(self, stream: str) -> bool:
        family = stream if self._families is None else self._families.root(stream)
        return zlib.crc32(family.encode()) % self._part.count == self._part.number


class Families:
    """The streams whose facts are one payment's, by the links in a log: union-find."""

    def __init__(self, feed: Feed) -> None:
        self._parents: dict[str, str] = {}
        position, head = 0, feed.head()
        while position < head:
            page = feed.read(position, limit=_PAGE, topics=(_LINKED,))
            for entry in page.entries:
                self._link(entry)
            position = page.position

    def _link(self, entry: LogEntry) -> None:
        try:
            event = entry.envelope().event
        except msgspec.DecodeError:
            return  # Parked where it is applied, and what it would have linked stays apart there too.
        assert isinstance(event, PaymentLinked), f"{entry.topic} is no link"
        one, other = self.root(entry.stream), self.root(stream_id("payment", entry.tenant, event.payment_id))
        self._parents[max(one, other)] = self._parents[min(one, other)] = min(one, other)

    def root(self, stream: str) -> str:
        """The stream that stands for the whole family; itself if nothing is linked to it."""
        root = stream
        while (parent := self._parents.get(root, root)) != root:
            root = parent
        while (parent := self._parents.get(stream, root)) != root:
            self._parents[stream], stream = root, parent
        return root


def absorb(store: PaymentStore, part: Path, position: int) -> None:
    """Take over what a part's store keeps of the same tenant's other payments; `position` is how far all parts are.

    The first mention of an object in the log stays the first, whichever part it was in.
    """
    with store.store.reading() as connection:
        connection.execute("ATTACH ? AS part", (str(part / "facts.sqlite"),))
        try:
            with store.store.writing(position):
                for table in ("facts", "links", "customers", "payments", "parked"):
                    connection.execute(f"INSERT INTO {table} SELECT * FROM part.{table}")  # noqa: S608 - our own names
                connection.execute(
                    "INSERT INTO objects SELECT * FROM part.objects WHERE true ON CONFLICT (object_id) DO UPDATE "
                    "SET reference=excluded.reference, position=excluded.position WHERE excluded.position < position"
                )
        finally:
            connection.execute("DETACH part")
