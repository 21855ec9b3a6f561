"""Any past moment can be had again, beside the log and without touching it."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.answer import AnswerInvalidated
from domain.errors import TerminalError
from domain.ids import stream_id
from gateway.replaying.history import History, Moment, moment
from gateway.replaying.processes import run_here
from gateway.replaying.replay import replay
from gateway.replaying.views import payments_of
from projections.answer_ledger import AnswerLedger
from projections.feed import SqliteFeed
from projections.outbox import Outbox
from projections.payment_view import PaymentStore
from tests.gateway.correcting_world import Refolded, World
from tests.gateway.replaying.past_world import recorder, refund, replayed, world
from tests.spec import NOON
from tests.worlds import TENANT, Clock, entries_in, new_log, new_shard, record

__all__ = ["recorder", "world"]


def views(directory: Path) -> dict[str, Any]:
    history = History(directory)
    store = PaymentStore(payments_of(directory, history, TENANT))
    found = {each.payment_id: each for each in store.payments().payments}
    store.close()
    history.close()
    return found


@pytest.mark.long
async def test_every_moment_is_the_fold_of_what_was_known_then(world: World, tmp_path: Path) -> None:
    for position in range(1, world.head() + 1):
        replayed(world, tmp_path / str(position), position)
        known = Refolded(entry for entry in entries_in(world.recorder) if entry.position <= position)
        found = views(tmp_path / str(position))

        assert found
        for payment_id, view in found.items():
            assert view.facts == len(known.facts(payment_id))


@pytest.mark.long
async def test_parts_that_are_built_side_by_side_come_to_the_same(world: World, tmp_path: Path) -> None:
    alone = replayed(world, tmp_path / "alone", processes=1)
    shared = replayed(world, tmp_path / "shared", processes=3, run=run_here)

    assert shared.state == alone.state
    assert views(tmp_path / "shared") == views(tmp_path / "alone")
    for name in ("facts", "links", "objects", "customers", "payments"):
        rows = [
            _rows(tmp_path / each / "tenants" / TENANT / "g1" / "facts.sqlite", name) for each in ("alone", "shared")
        ]
        assert rows[0] == rows[1]
    assert not (tmp_path / "shared" / "parts").exists()


def _rows(path: Path, table: str) -> list[Any]:
    with sqlite3.connect(path) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table}"))  # noqa: S608 - a name of ours


@pytest.mark.long
async def test_processes_of_their_own_come_to_the_same(world: World, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    apart = replayed(world, tmp_path / "apart", processes=2, show=lambda *each: told.append(each))

    assert apart.state == replayed(world, tmp_path / "here", processes=1).state
    assert {stage for stage, _, _ in told} == {"reading", "building", "joining", "hashing"}
    assert all(done <= total for _, done, total in told)


@pytest.mark.long
async def test_the_first_mention_of_an_object_stays_the_first_in_whatever_part_it_is(
    world: World, tmp_path: Path
) -> None:
    for number in range(40, 60):
        world.fact(refund(number, f"CAP-{number}", "refund:re_9", "succeeded"))
    shared = replayed(world, tmp_path / "shared", processes=4, run=run_here)
    alone = replayed(world, tmp_path / "alone", processes=1)

    assert shared.state == alone.state
    rows = [
        _rows(tmp_path / each / "tenants" / TENANT / "g1" / "facts.sqlite", "objects") for each in ("alone", "shared")
    ]
    assert rows[0] == rows[1]


async def test_the_answers_and_what_was_outstanding_are_there(world: World, tmp_path: Path) -> None:
    done = replayed(world, tmp_path / "then")
    history = History(tmp_path / "then")
    ledger = AnswerLedger(history, tmp_path / "then" / "tenants")
    outbox = Outbox(tmp_path / "then" / "projectors" / "outbox.sqlite", history)

    assert [each.answer_id for each in ledger.store(TENANT).corrections(0, limit=10)] == ["a_1"]
    assert [each.effect.kind for each in outbox.outstanding(TENANT, limit=10)] == ["notify"]
    assert done.position == world.head()
    assert len(world.events(AnswerInvalidated)) == 1
    outbox.close()
    ledger.close()
    history.close()


async def test_a_moment_before_the_correction_does_not_know_of_it(world: World, tmp_path: Path) -> None:
    wrong = next(entry for entry in entries_in(world.recorder) if entry.topic == "answer.invalidated")
    replayed(world, tmp_path / "then", wrong.position - 1)
    history = History(tmp_path / "then")
    ledger = AnswerLedger(history, tmp_path / "then" / "tenants")

    assert ledger.store(TENANT).corrections(0, limit=10) == []
    ledger.close()
    history.close()


async def test_the_log_is_only_read(world: World, tmp_path: Path) -> None:
    log = tmp_path / "live" / "log.sqlite"
    names = set(log.parent.rglob("*"))
    before = [each.read_bytes() for each in (log, log.with_name("log.sqlite-wal"))]
    replayed(world, tmp_path / "then")

    assert [each.read_bytes() for each in (log, log.with_name("log.sqlite-wal"))] == before
    assert set(log.parent.rglob("*")) <= names


async def test_the_same_moment_has_the_same_state_and_another_has_another(world: World, tmp_path: Path) -> None:
    states = [replayed(world, tmp_path / str(number), position).state for number, position in enumerate((9, 9, 10))]

    assert states[0] == states[1] != states[2]


async def test_a_time_is_the_last_position_before_anything_later(world: World, tmp_path: Path) -> None:
    by_time = replayed(world, tmp_path / "time", Moment(at=NOON + timedelta(seconds=3)))

    assert by_time.position == 3
    assert by_time.recorded_at == NOON + timedelta(seconds=3)
    with pytest.raises(TerminalError, match="nothing had been recorded"):
        replayed(world, tmp_path / "early", Moment(at=NOON))


@pytest.mark.long
async def test_a_clock_that_went_back_does_not_bring_in_what_was_recorded_later(tmp_path: Path) -> None:
    recorder = new_log(tmp_path)
    times = iter([NOON, NOON + timedelta(seconds=9), NOON + timedelta(seconds=1)])
    shard = new_shard(recorder, clock=lambda: next(times))
    for number in (1, 2, 3):
        shard.handle([record(number)])
    feed = SqliteFeed(str(tmp_path / "log.sqlite"))

    assert replay(feed, tmp_path / "then", Moment(at=NOON + timedelta(seconds=5))).position == 1
    feed.close()
    recorder.datastore.close()


async def test_one_tenant_is_replayed_without_the_others(world: World, tmp_path: Path) -> None:
    other = new_shard(world.recorder, owner="other", clock=Clock())
    other.handle([msgspec.structs.replace(record(1), stream=stream_id("payment", "other", "pi_1"))])
    done = replayed(world, tmp_path / "then", tenant="other")

    assert (done.events, done.position) == (1, world.head())
    assert not (tmp_path / "then" / "tenants" / TENANT).exists()


async def test_what_cannot_be_replayed_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="beyond the end"):
        replayed(world, tmp_path / "a", world.head() + 1)
    replayed(world, tmp_path / "b")
    with pytest.raises(TerminalError, match="holds a history"):
        replayed(world, tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("812", Moment(position=812)),
        ("2026-03-01T12:00:00Z", Moment(at=NOON)),
        ("2026-03-01T13:00:00+01:00", Moment(at=NOON)),
    ],
)
def test_a_moment_is_a_position_or_a_time(text: str, expected: Moment) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "-3", "2026-03-01T12:00:00", "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(TerminalError, match="write"):
        moment(text)
