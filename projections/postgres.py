"""How a log in PostgreSQL is reached: what every session is told first, and what its errors mean to a caller."""

from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from domain.errors import RetryableError, TerminalError

CONNECT_TIMEOUT_S = 5
# A session of ours that waits longer than this for another, or leaves another waiting, is ended by the server.
LOCK_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 30
# A server that is gone without a word is given up after about as long; the address may name what is better there.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": LOCK_TIMEOUT_S * 1_000,
}
# Session by session: the server's own defaults are for others. What is weaker than an fsync for every commit is raised
# to that, and what is stronger (a standby's word as well) stays.
_SESSION = """
SELECT set_config('statement_timeout', %(statement)s, false), set_config('lock_timeout', %(lock)s, false),
       set_config('idle_in_transaction_session_timeout', %(lock)s, false),
       CASE WHEN %(read_only)s THEN set_config('default_transaction_read_only', 'on', false) END,
       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""


def parameters(address: str) -> dict[str, Any]:
    """What a connection is made with. Raises `TerminalError` for an address that PostgreSQL's library cannot read."""
    try:
        given = conninfo_to_dict(address)
    except psycopg.ProgrammingError as error:
        raise TerminalError(f"store.url is no address of PostgreSQL: {str(error).strip()}") from error
    return {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "recount", **_KEEPALIVE, **given}


def described(address: str) -> str:
    """An address for people: where and which, and no password."""
    given = parameters(address)
    where = given.get("host") or given.get("hostaddr") or "this machine"
    return f"postgresql at {where}, database {given.get('dbname') or given.get('user') or 'by default'}"


def begin_session(connection: Connection[Any], *, read_only: bool = False) -> None:
    """Put a new connection into autocommit and tell the server how long anything may take."""
    connection.autocommit = True
    connection.execute(
        _SESSION,
        {
            "statement": f"{STATEMENT_TIMEOUT_S:g}s",
            "lock": f"{LOCK_TIMEOUT_S:g}s",
            "read_only": read_only,
        },
    )


def server_settings(address: str) -> dict[str, str]:
    """What matters to a log of how a server is set, by the names of PostgreSQL. Raises as reads do."""
    names = ("server_version", "server_encoding", "fsync", "full_page_writes", "transaction_read_only")
    try:
        with psycopg.connect(**parameters(address)) as connection:
            rows = [connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
    except psycopg.Error as error:
        raise failure(error) from error
    return {name: str(row[0]) for name, row in zip(names, rows, strict=True) if row is not None}


def failure(error: psycopg.Error) -> RetryableError | TerminalError:
    """What an error of a read means: to be tried again, or a log that is not there or not ours to read."""
    said = str(error).strip()
    if isinstance(error, psycopg.ProgrammingError):
        return TerminalError(f"the log cannot be read: {said}; is store.url the right database, schema and role?")
    return RetryableError(f"the log cannot be read now: {said}")
