"""The recorder passes the cases that the `eventsourcing` library ships for whoever writes one."""

import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from actors.postgres_recorder import PostgresLogRecorder, open_postgres_log
from actors.recorder import LogRecorder, open_log
from tests.stores import Cell

# The module of the cases also has some for ciphers, and imports their library, which nothing here needs.
if find_spec("Crypto") is None:
    without_ciphers = ModuleType("eventsourcing.cipher")
    without_ciphers.AESCipher = object  # type: ignore[attr-defined]  # a name to import, and no more
    sys.modules["eventsourcing.cipher"] = without_ciphers
from eventsourcing.tests import persistence as cases

if find_spec("Crypto") is None:
    del sys.modules["eventsourcing.cipher"]


class WithoutPositions:
    """The cases for aggregate recorders insist that such a one returns no positions; an application's returns them."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)  # type: ignore[misc]  # of the recorder that it is mixed into


class SqliteWithoutPositions(WithoutPositions, LogRecorder):
    pass


class PostgresWithoutPositions(WithoutPositions, PostgresLogRecorder):
    pass


class Cases:
    """Gives the cases names of streams that are no UUIDs."""

    def new_originator_id(self) -> str:
        return f"payment:acme/{uuid4().hex}"


class OnFile(Cases):
    """Gives the cases their recorder: a log in a new file."""

    @pytest.fixture(autouse=True)
    def _on_file(self, tmp_path: Path) -> Iterator[None]:
        before = set(threading.enumerate())
        self._recorder = open_log(str(tmp_path / "log.sqlite"))
        yield
        # `test_concurrent_no_conflicts` does not wait for its readers, and SQLite crashes if closed under them.
        for reader in set(threading.enumerate()) - before:
            reader.join()
        self._recorder.datastore.close()

    def create_recorder(self) -> LogRecorder:
        return self._recorder


@pytest.mark.stack
class OnPostgres(Cases):
    """Gives the cases their recorder: a log in a new schema."""

    @pytest.fixture(autouse=True)
    def _on_postgres(self, cell: Cell) -> Iterator[None]:
        before = set(threading.enumerate())
        self._recorder = open_postgres_log(cell.address)
        pool = set(threading.enumerate()) - before
        yield
        for reader in set(threading.enumerate()) - before - pool:
            reader.join()
        self._recorder.datastore.close()

    def create_recorder(self) -> PostgresLogRecorder:
        return self._recorder


class TestSqliteAggregateRecorder(OnFile, cases.AggregateRecorderTestCase):
    def create_recorder(self) -> LogRecorder:
        return SqliteWithoutPositions(self._recorder.datastore)


class TestSqliteApplicationRecorder(OnFile, cases.ApplicationRecorderTestCase[LogRecorder]):
    pass


class TestSqliteNonInterleavingPositions(OnFile, cases.NonInterleavingNotificationIDsBaseCase):
    pass


class TestPostgresAggregateRecorder(OnPostgres, cases.AggregateRecorderTestCase):
    def create_recorder(self) -> PostgresLogRecorder:
        return PostgresWithoutPositions(self._recorder.datastore)


class TestPostgresApplicationRecorder(OnPostgres, cases.ApplicationRecorderTestCase[PostgresLogRecorder]):
    pass


class TestPostgresNonInterleavingPositions(OnPostgres, cases.NonInterleavingNotificationIDsBaseCase):
    pass
