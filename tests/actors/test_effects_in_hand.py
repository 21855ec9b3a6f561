"""What a runner has in hand is begun by nobody else, and by itself no second time."""

import asyncio
from pathlib import Path

import pytest

from domain.effects import RecordEffectOutcome
from tests.effect_worlds import Provider, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_of_two_runners_one_has_an_effect_in_hand(world: World) -> None:
    notify = Provider()
    notify.is_free.clear()
    first, second = world.runner({"notify": notify}, "one"), world.runner({"notify": notify}, "two")
    for number in range(10):
        world.request(f"n{number}")
    while await first.turn() or await second.turn():
        pass
    await second.turn()
    notify.is_free.set()
    await first.settled()
    await second.settled()

    assert sorted(each.key for each in notify.asked) == [f"n{number}" for number in range(10)]


async def test_an_outcome_that_comes_late_lets_nobody_begin_what_is_in_hand(world: World) -> None:
    notify = Provider()
    notify.is_free.clear()
    runner = world.runner({"notify": notify})
    world.request("n1")
    await runner.turn()
    await notify.is_asked.wait()
    late = RecordEffectOutcome(step="", outcome="failed", retry_at=world.clock())
    world.tell("n1", late, category="effect")

    await runner.turn()
    await asyncio.sleep(0)
    assert len(notify.asked) == 1
    notify.is_free.set()
    await world.perform(runner)

    assert notify.at_once_max == 1
