"""The feed of a log, wherever it lies."""

from projections.feed import LogFeed, SqliteFeed
from projections.postgres import is_address
from projections.postgres_feed import PostgresFeed


def feed_at(log: str) -> LogFeed:
    """The feed of the log in a SQLite file or at an address of PostgreSQL. The log is made by whoever appends first."""
    return PostgresFeed(log) if is_address(log) else SqliteFeed(log)
