"""The two stores of a log, for the tests that both have to pass.

Each test gets a place, as a node's settings name it, at which there is no log yet.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

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


@pytest.fixture
def postgres_place(postgres_server: PostgresServer) -> str:
    """The address of a schema of the test's own."""
    schema = f"log_{next(_numbers)}"
    postgres_server.execute(f"CREATE SCHEMA {schema}")
    return postgres_server.address(options=f"-csearch_path={schema}")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.stack)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a log is to lie: in each store once."""
    if request.param == "sqlite":
        return str(tmp_path / "log.sqlite")
    address: str = request.getfixturevalue("postgres_place")
    return address


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
