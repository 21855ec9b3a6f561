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

from actors.recorder import LogRecorder, open_log

# The module of the cases also has some for ciphers, and imports their library, which nothing here needs.
if find_spec("Crypto") is None:
    without_ciphers = ModuleType("eventsourcing.cipher")
    without_ciphers.AESCipher = object  # type: ignore[attr-defined]  # a name to import, and no more
    sys.modules["eventsourcing.cipher"] = without_ciphers
from eventsourcing.tests import persistence as cases

if find_spec("Crypto") is None:
    del sys.modules["eventsourcing.cipher"]


class WithoutPositions(LogRecorder):
    """The cases for aggregate recorders insist that such a one returns no positions; an application's returns them."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class OnFile:
    """Gives the cases their recorder: a log in a new file, whose streams have names, not UUIDs."""

    @pytest.fixture(autouse=True)
    def _on_file(self, tmp_path: Path) -> Iterator[None]:
        before = set(threading.enumerate())
        self._recorder = open_log(str(tmp_path / "log.sqlite"))
        yield
        # `test_concurrent_no_conflicts` does not wait for its readers, and SQLite crashes if closed under them.
        for reader in set(threading.enumerate()) - before:
            reader.join()
        self._recorder.datastore.close()

    def new_originator_id(self) -> str:
        return f"payment:acme/{uuid4().hex}"

    def create_recorder(self) -> LogRecorder:
        return self._recorder


class TestAggregateRecorder(OnFile, cases.AggregateRecorderTestCase):
    def create_recorder(self) -> LogRecorder:
        return WithoutPositions(self._recorder.datastore)


class TestApplicationRecorder(OnFile, cases.ApplicationRecorderTestCase[LogRecorder]):
    pass


class TestNonInterleavingPositions(OnFile, cases.NonInterleavingNotificationIDsBaseCase):
    pass
