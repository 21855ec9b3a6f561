"""`recount bench ask` finds the answer that was not true at the position that it names."""

from pathlib import Path

import msgspec

from gateway.asking import AnswerJson
from projections.feeds import feed_at
from simulations.bench_ask_changing import Answers, Changing, held_against
from simulations.http_load import LoadResult
from tests.asking_world import AskingWorld, world
from tests.gateway.answering.examples import intent, refund
from tests.worlds import TENANT

__all__ = ["world"]
CAPTURED = intent("pi_1", "captured", customer_id="cus_1")
LOAD = LoadResult(requests=1, errors=0, seconds=1, per_second=1, p50_ms=1, p95_ms=1, p99_ms=1)


async def asked(world: AskingWorld) -> AnswerJson:
    world.settle()
    return await world.ask(TENANT, "Where is my refund for pi_1?")


def held(directory: Path, *answers: AnswerJson) -> Changing:
    bodies = [msgspec.json.encode(each) for each in answers]
    return held_against(feed_at(str(directory / "log.sqlite")), TENANT, Answers(result=LOAD, bodies=bodies, webhooks=1))


async def test_answers_that_were_true_when_they_were_given_are_not_stale(world: AskingWorld, tmp_path: Path) -> None:
    world.pay(TENANT, [CAPTURED])
    before = await asked(world)
    world.pay(TENANT, [refund("pi_1", "re_1", "succeeded", 0.001)])
    after = await asked(world)

    found = held(tmp_path, before, after, msgspec.structs.replace(after, cached=True))

    assert (found.stale_count, found.checked, found.hit_rate) == (0, 2, 0.333)


async def test_an_answer_from_before_a_fact_that_speaks_from_after_it_is_stale(
    world: AskingWorld, tmp_path: Path
) -> None:
    world.pay(TENANT, [CAPTURED])
    before = await asked(world)
    world.pay(TENANT, [refund("pi_1", "re_1", "succeeded", 0.001)])
    after = await asked(world)

    found = held(tmp_path, after, msgspec.structs.replace(before, cached=True, position=after.position))

    assert found.stale_count == 1
    assert found.stale[0].startswith(f"cached, pi_1 at {after.position}: ")
