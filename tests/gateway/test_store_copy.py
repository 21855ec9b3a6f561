"""A log is the same in another store, position by position, however often the copying is interrupted."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from typer.testing import CliRunner

from domain.errors import FencedError, TerminalError
from domain.settings import BATCH_MAX
from gateway.cli import app
from gateway.store_copy import Copied, RunningHash, copy_log
from projections.feed import LogEntry
from tests.stores import Cell, Recorder, recorder_at
from tests.worlds import entries_in, link, new_shard, record

EVENTS = BATCH_MAX + 7


class Places:
    """A log of two pages in one store, and a place in another."""

    def __init__(self, from_: str, to: str) -> None:
        self.from_, self.to = from_, to
        self._opened: list[Recorder] = []
        self.source = self.opened(from_)
        shard = new_shard(self.source, owner="payments-0/1")
        shard.handle([record(number, f"pi_{number % 90}") for number in range(1, EVENTS)])
        shard.handle([link("ch_\u00e9", "pi_1")])

    def opened(self, place: str) -> Recorder:
        self._opened.append(recorder_at(place))
        return self._opened[-1]

    def copy(self) -> Copied:
        return copy_log(self.from_, self.to)

    def close(self) -> None:
        for each in self._opened:
            each.datastore.close()


@pytest.fixture(
    params=["sqlite to sqlite", *(pytest.param(way, marks=pytest.mark.stack) for way in ("there", "and back"))]
)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    file, other = str(tmp_path / "log.sqlite"), str(tmp_path / "other.sqlite")
    if request.param != "sqlite to sqlite":
        cell: Cell = request.getfixturevalue("cell")
        other = cell.address
    made = Places(other, file) if request.param == "and back" else Places(file, other)
    yield made
    made.close()


def test_every_event_is_at_its_position_and_both_digests_agree(places: Places) -> None:
    copied = places.copy()

    there = entries_in(places.opened(places.to))
    assert there == entries_in(places.source)
    expected = RunningHash()
    for entry in there:
        expected.add(entry)
    assert copied == Copied(position=EVENTS, events=EVENTS, copied=EVENTS, sha256=expected.hexdigest(), behind=0)


def test_gaps_between_positions_are_kept_and_what_comes_next_lies_behind_the_last(places: Places) -> None:
    with places.source.datastore.transaction(commit=True) as cursor:
        cursor.execute("DELETE FROM stored_events WHERE originator_id = 'payment:acme/pi_5'")

    copied = places.copy()

    target = places.opened(places.to)
    assert copied.events < copied.position == EVENTS
    assert entries_in(target) == entries_in(places.source)
    assert target.append([StoredEvent("new", 1, "topic", b"")], leases={}) == [EVENTS + 1]


def test_a_copy_goes_on_where_it_was_ended_and_then_has_nothing_to_do(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(words: str, position: int, head: int) -> None:
        if words == "copy":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_log(places.from_, places.to, on_progress=ended)

    first, second = places.copy(), places.copy()
    assert (first.copied, second.copied) == (EVENTS - BATCH_MAX, 0)
    assert first == msgspec.structs.replace(second, copied=first.copied)
    assert entries_in(places.opened(places.to)) == entries_in(places.source)


def test_whoever_was_fenced_in_the_source_is_fenced_in_the_copy(places: Places) -> None:
    new_shard(places.source, owner="payments-0/2")

    places.copy()

    target = places.opened(places.to)
    assert target.select_leases() == places.source.select_leases()
    with pytest.raises(FencedError):
        target.append([StoredEvent("new", 1, "topic", b"")], leases={"payments/7": 1})
    taken = target.take_leases(["payments/7"], "later")
    places.copy()
    target.check_leases(taken)


@pytest.mark.parametrize("column", ["position", "originator_version", "originator_id", "topic", "state"])
def test_a_target_that_differs_in_anything_is_refused_and_left_alone(column: str, places: Places) -> None:
    places.copy()
    target = places.opened(places.to)
    changed = {
        "position": str(EVENTS + 1),
        "originator_version": "2",
        "originator_id": "'payment:acme/other'",
        "topic": "'other'",
        "state": "(SELECT state FROM stored_events WHERE position = 1)",
    }[column]
    with target.datastore.transaction(commit=True) as cursor:
        cursor.execute(f"UPDATE stored_events SET {column} = {changed} WHERE position = {EVENTS}")  # noqa: S608 - words of this test
    before = entries_in(target)

    with pytest.raises(TerminalError, match=f"differs at position {EVENTS}"):
        places.copy()

    assert entries_in(target) == before


def test_a_target_that_has_gone_on_is_another_log(places: Places) -> None:
    places.copy()
    places.opened(places.to).append([StoredEvent("new", 1, "topic", b"")], leases={})

    with pytest.raises(TerminalError, match=f"differs at position {EVENTS + 1}"):
        places.copy()


def test_what_is_changed_on_its_way_is_found_when_it_is_read_back(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = type(places.opened(places.to))
    restore = target.restore

    def restore_badly(self: Recorder, entries: Sequence[LogEntry]) -> None:
        restore(self, [*entries[:-1], msgspec.structs.replace(entries[-1], state=b"")])  # type: ignore[arg-type]  # one of both

    monkeypatch.setattr(target, "restore", restore_badly)

    with pytest.raises(TerminalError, match="do not use it"):
        places.copy()


def test_events_that_come_meanwhile_are_told_of(places: Places) -> None:
    def meanwhile(words: str, position: int, head: int) -> None:
        if words == "copy" and position == head:
            places.source.append([StoredEvent("new", 1, "topic", b"")], leases={})

    assert copy_log(places.from_, places.to, on_progress=meanwhile).behind == 1
    assert (again := places.copy()).copied == 1
    assert again.behind == 0


def test_what_is_no_log_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "facts.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE facts (fact TEXT)")
    connection.close()
    before = file.read_bytes()

    for from_, words in ((str(file), "no log"), (str(tmp_path / "none.sqlite"), "no log at")):
        with pytest.raises(TerminalError, match=words):
            copy_log(from_, str(tmp_path / "new.sqlite"))

    assert file.read_bytes() == before
    assert not (tmp_path / "new.sqlite").exists()


def test_the_command_prints_what_was_proved(tmp_path: Path) -> None:
    places = Places(str(tmp_path / "log.sqlite"), str(tmp_path / "other.sqlite"))

    done = CliRunner().invoke(app, ["store", "copy", places.from_, places.to])
    refused = CliRunner().invoke(app, ["store", "copy", places.from_, places.from_])

    assert done.exit_code == 0
    assert msgspec.json.decode(done.stdout)["events"] == EVENTS
    assert (refused.exit_code, "the same log" in refused.stderr) == (1, True)
    places.close()
