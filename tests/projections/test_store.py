"""What is applied and how far: one transaction, whatever goes wrong in between."""

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import FencedError
from projections.store import Store
from tests.worlds import Entries, numbered

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (body BLOB)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "new" / "store.sqlite", SCHEMA)
    yield opened
    opened.close()


def reopened(tmp_path: Path) -> Store:
    return Store(tmp_path / "new" / "store.sqlite", SCHEMA)


def count(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])


def keep(store: Store, position: int, body: bytes = b"") -> None:
    with store.writing(position) as connection:
        connection.execute("INSERT INTO kept VALUES (?)", (body,))


def crash_while_applying(store: Store, position: int) -> None:
    with store.writing(position) as connection:
        connection.execute("INSERT INTO kept VALUES ('')")
        raise KeyboardInterrupt


def test_content_and_checkpoint_are_written_together(store: Store, tmp_path: Path) -> None:
    assert store.position() == 0
    keep(store, 7)
    store.close()

    again = reopened(tmp_path)
    assert (count(again), again.position()) == (1, 7)
    again.close()


def test_a_file_of_another_layout_is_emptied_and_its_former_owner_is_out(store: Store, tmp_path: Path) -> None:
    keep(store, 7)
    newer = Store(tmp_path / "new" / "store.sqlite", SCHEMA, layout=2)

    assert (count(newer), newer.position()) == (0, 0)
    with pytest.raises(FencedError):
        keep(store, 8)
    keep(newer, 3)
    newer.close()
    again = Store(tmp_path / "new" / "store.sqlite", SCHEMA, layout=2)
    assert (count(again), again.position()) == (1, 3)
    again.close()


def test_a_file_that_other_code_filled_is_emptied_and_its_former_owner_is_out(tmp_path: Path) -> None:
    path = tmp_path / "folded.sqlite"
    store = Store(path, SCHEMA, layout=1, code="a")
    keep(store, 7)
    again = Store(path, SCHEMA, layout=1, code="a")
    assert (count(again), again.position()) == (1, 7)
    newer = Store(path, SCHEMA, layout=1, code="b")

    assert (count(newer), newer.position()) == (0, 0)
    with pytest.raises(FencedError):
        keep(again, 8)
    for each in (store, again, newer):
        each.close()


def test_a_file_from_before_the_code_was_named_is_emptied(store: Store, tmp_path: Path) -> None:
    keep(store, 7)
    with store.reading() as connection:
        connection.execute("DROP TABLE folded_by")
    newer = Store(tmp_path / "new" / "store.sqlite", SCHEMA, code="a")

    assert (count(newer), newer.position()) == (0, 0)
    newer.close()


def test_neither_is_written_if_applying_fails(store: Store) -> None:
    keep(store, 7)
    with pytest.raises(KeyboardInterrupt):
        crash_while_applying(store, 8)

    assert (count(store), store.position()) == (1, 7)
    keep(store, 8)
    assert (count(store), store.position()) == (2, 8)


def test_the_checkpoint_never_goes_back(store: Store) -> None:
    keep(store, 7)
    keep(store, 3)

    assert store.position() == 7


def test_a_full_disk_is_an_error_until_there_is_room(store: Store, tmp_path: Path) -> None:
    keep(store, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = tmp_path / "new" / "store.sqlite-wal"
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 10_000, hard))
    try:
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError):
                keep(store, 2, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (count(store), store.position()) == (1, 1)

    keep(store, 2, bytes(100_000))
    assert (count(store), store.position()) == (2, 2)


class Unsteady:
    """A connection whose next commit fails and leaves the transaction open, as SQLite may."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._fails = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement == "COMMIT" and self._fails:
            self._fails = False
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *parameters)


def test_after_a_commit_that_failed_the_next_one_begins_anew(store: Store) -> None:
    store._connection = Unsteady(store._connection)  # type: ignore[assignment]  # it is one in all that matters
    with pytest.raises(sqlite3.OperationalError, match="disk"):
        keep(store, 1)
    assert (count(store), store.position()) == (0, 0)

    keep(store, 1)
    assert (count(store), store.position()) == (1, 1)


def test_a_stream_stays_parked_over_a_restart(store: Store, tmp_path: Path) -> None:
    entries = Entries()
    first, second = entries.fact(numbered(1)), entries.fact(numbered(2))
    store.park(second, "ValueError: no")
    store.park(second, "ValueError: still no")
    store.close()

    again = reopened(tmp_path)

    assert again.is_parked(first.stream)
    assert not again.is_parked("payment:acme/other")
    assert again.parked() == [(2, first.stream, "ValueError: still no")]
    assert again.position() == 2
    again.close()


def test_who_opened_the_file_before_can_write_no_more(tmp_path: Path, store: Store) -> None:
    keep(store, 1)
    owner = reopened(tmp_path)
    keep(owner, 2)

    with pytest.raises(FencedError):
        keep(store, 3)
    assert (owner.position(), count(owner)) == (2, 2)
    owner.close()
