"""The feed of a log, wherever it lies."""

from projections.feed import LogFeed, SqliteFeed

SCHEME = "postgresql://"


def is_address(log: str) -> bool:
    """Whether a log lies in PostgreSQL; otherwise it is a file."""
    return log.startswith(SCHEME)


def feed_at(log: str) -> LogFeed:
    """The feed of the log in a SQLite file or at an address of PostgreSQL. The log is made by whoever appends first."""
    if not is_address(log):
        return SqliteFeed(log)
    from projections.postgres_feed import PostgresFeed  # noqa: PLC0415 - psycopg takes most of a shard's start

    return PostgresFeed(log)
