"""The two stores of a log, for the tests that both have to pass.

Each test gets a place, as a node's settings name it, at which there is no log yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from actors.log import log_at
from actors.postgres_recorder import PostgresLogRecorder
from actors.recorder import LogRecorder
from simulations.postgres_server import PostgresServer

Recorder = LogRecorder | PostgresLogRecorder
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests; none of them stops it."""
    with PostgresServer() as server:
        yield server


class Cell:
    """A role of the test's own on the shared server, with a schema of its name: much cheaper than a database."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        server.execute(f"CREATE ROLE {name} LOGIN", f"CREATE SCHEMA AUTHORIZATION {name}")
        self.server = server
        self.name = name
        self.address = server.address(user=name)

    def through(self, port: int) -> str:
        """The address with another port, from which a proxy leads here."""
        return self.address.replace(f":{self.server.port}/", f":{port}/")

    def execute(self, *statements: str) -> None:
        """Run statements as the role."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def alter(self, settings: str) -> None:
        """Change what the next sessions of the role begin with."""
        self.server.execute(f"ALTER ROLE {self.name} {settings}")

    def end_sessions(self) -> None:
        """End every session of the role, as an administrator or a failover does."""
        self.server.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{self.name}'"  # noqa: S608 - a name of ours
        )


@pytest.fixture
def cell(postgres_server: PostgresServer) -> Cell:
    """Where a log may be made whose sessions and settings are the test's own."""
    return Cell(postgres_server, f"cell_{next(_numbers)}")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.stack)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log is to lie: in each store once."""
    if request.param == "sqlite":
        return str(tmp_path / "log.sqlite")
    cell: Cell = request.getfixturevalue("cell")
    return cell.address


def recorder_at(place: str) -> Recorder:
    """The recorder of a place, made if it is not there."""
    log = log_at(place)
    assert isinstance(log, Recorder)
    return log


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch, wait_s: float = 0.05) -> Iterator[None]:
    """Recorders that are opened in the block wait no longer than this for another writer."""
    with monkeypatch.context() as patched:
        patched.setattr("actors.recorder.LOCK_TIMEOUT_S", wait_s)
        patched.setattr("projections.postgres.LOCK_TIMEOUT_S", wait_s)
        yield
