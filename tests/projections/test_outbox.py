"""What is outstanding by the log, and who gets how much of it in hand."""

import sqlite3
from pathlib import Path

import pytest

from domain.effects import RecordEffectOutcome
from domain.errors import FencedError, TerminalError
from domain.payment_saga import PassDeadline, ResolveEscalation
from projections.outbox import Outbox, Room
from tests.domain.examples import at
from tests.effect_worlds import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def claimed(world: World, room: Room, *, owner: str = "one", limit: int = 10, lease_s: float = 60) -> list[str]:
    taken = world.outbox.claim(owner=owner, now=world.clock(), lease_s=lease_s, limit=limit, room=room)
    return [each.effect.key for each in taken]


def test_what_is_due_longest_is_taken_first_and_nothing_before_its_time(world: World) -> None:
    for key, second in (("later", 5), ("first", 1), ("not-yet", 99)):
        world.request(key, due_at=at(second))
    world.outbox.follow()
    world.seconds = 10

    assert claimed(world, Room(tenant_max=9), limit=1) == ["first"]
    assert claimed(world, Room(tenant_max=9)) == ["later"]
    assert claimed(world, Room(tenant_max=9)) == []


def test_a_lease_that_ran_out_is_anybodys(world: World) -> None:
    world.request("n1")
    world.outbox.follow()

    assert claimed(world, Room(tenant_max=9), lease_s=60) == ["n1"]
    world.seconds = 59.999999
    assert claimed(world, Room(tenant_max=9), owner="two") == []
    world.seconds = 60
    assert claimed(world, Room(tenant_max=9), owner="two") == ["n1"]


def test_no_tenant_and_no_account_gets_more_than_its_room(world: World) -> None:
    for number in range(4):
        world.request(f"a{number}")
        world.request(f"b{number}", to="shipping")
        world.request(f"g{number}", tenant="globex")
    world.outbox.follow()
    room = Room(tenant_max=3, in_hand={"globex": 2}, accounts={("acme", "notify/orders"): 1})

    taken = claimed(world, room)

    assert [key[0] for key in sorted(taken)] == ["a", "b", "b", "g"]


def test_an_event_that_cannot_be_read_does_not_stop_the_others(world: World, tmp_path: Path) -> None:
    world.request("n1")
    world.request("n2")
    with sqlite3.connect(tmp_path / "log.sqlite") as log:
        log.execute("UPDATE stored_events SET state=x'c1' WHERE originator_id='effect:acme/n1'")
    log.close()

    world.outbox.follow()

    assert claimed(world, Room(tenant_max=9)) == ["n2"]


def test_a_log_that_ends_before_what_was_read_is_another_one(world: World, tmp_path: Path) -> None:
    world.request("n1")
    world.outbox.follow()
    world.outbox.check_log()
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other")

    with pytest.raises(TerminalError, match="store copy"):
        Outbox(tmp_path / "outbox.sqlite", other.feed).check_log()


def test_an_errand_that_was_given_up_is_listed_with_its_reason_and_a_sagas_effect_is_not(world: World) -> None:
    world.start()
    world.request("n1")
    world.request("n2")
    world.request("g1", tenant="globex")
    world.seconds = 700
    world.tell("pi_1", PassDeadline())
    world.record("pi_1", "pull-1", "gave_up")
    for number, tenant in (("n1", "acme"), ("n2", "acme"), ("g1", "globex")):
        outcome = RecordEffectOutcome(step="", outcome="gave_up", reason=f"{number} is gone")
        world.tell(number, outcome, tenant, "effect")
    world.outbox.follow()

    found = world.outbox.given_up("acme", limit=10)

    assert [(each.effect.key, each.reason, each.attempts) for each in found] == [
        ("n2", "n2 is gone", 1),
        ("n1", "n1 is gone", 1),
    ]
    assert found[0].ended_at == world.clock()
    assert world.outbox.given_up("acme", limit=1) == found[:1]


def test_the_last_one_that_opened_the_outbox_owns_it(world: World) -> None:
    world.request("n1")
    successor = world.open_outbox()

    with pytest.raises(FencedError):
        world.outbox.follow()
    assert not successor.follow()
    assert successor.position() == 1


def test_who_waits_for_a_person_is_listed_until_the_decision(world: World, tmp_path: Path) -> None:
    for payment_id in ("pi_1", "pi_2"):
        world.start(payment_id, waits_max=0)
        world.seconds = 600
        world.tell(payment_id, PassDeadline())
        world.record(payment_id, "pull-1", "gave_up")
    world.outbox.follow()
    first, second = world.outbox.escalations("acme", limit=10)

    assert (first.payment_id, first.number, first.reason) == ("pi_1", 1, "provider_unreadable")
    assert world.outbox.escalations("acme", after=first.position, limit=10) == [second]
    world.tell("pi_1", ResolveEscalation(number=1, resolution="close"))
    world.outbox.follow()
    assert world.outbox.escalations("acme", limit=10) == [second]
    rebuilt = Outbox(tmp_path / "rebuilt.sqlite", world.feed)
    rebuilt.follow()
    assert rebuilt.escalations("acme", limit=10) == [second]
    assert rebuilt.counts(world.clock()).deadlines == 0
