"""Corrections while something is in the way: of one tenant, of one answer, of the one who is to be told."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from domain.codec import Submission
from domain.ids import stream_id
from domain.message import Failed
from domain.payment_saga import RecordFact
from domain.settings import EffectSettings
from gateway.corrections import SEND_WITHIN
from tests.domain.examples import PAYMENT
from tests.gateway.correcting_world import CAPTURED, FAILED, REFUNDED, World, corrected, settle, told_wrongly
from tests.worlds import new_log


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    log = new_log(tmp_path)
    yield World(tmp_path, log)
    log.datastore.close()


async def test_a_tenant_whose_answers_cannot_be_judged_now_keeps_no_other_tenant_waiting(world: World) -> None:
    await told_wrongly(world)
    await world.answer("b-1", PAYMENT, tenant="globex")
    for told in (CAPTURED, REFUNDED, FAILED):
        world.tell(Submission(stream=stream_id("payment", "globex", PAYMENT), command=RecordFact(fact=told)))
    world.fact(FAILED)
    world.refusals["acme"] = Failed(reason="the log cannot commit now", retryable=True)
    corrector = world.corrector()
    for _ in range(3):
        await corrector.turn()
    assert world.wrong().keys() == {"b-1"}
    assert corrector.position < world.head()

    world.refusals.clear()
    await settle(corrector, world.head)

    assert world.wrong().keys() == {"a-1", "b-1"}


async def test_a_judgement_that_can_never_be_entered_is_let_go(world: World) -> None:
    await told_wrongly(world)
    world.fact(FAILED)
    world.refusals["acme"] = Failed(reason="the batch cannot be encoded", retryable=False)

    with capture_logs() as lines:
        await corrected(world)

    assert [line["code"] for line in lines if line["event"] == "answer_not_judged"] == ["the batch cannot be encoded"]


async def test_what_tells_of_a_correction_is_tried_for_as_long_as_it_makes_sense(world: World) -> None:
    """An endpoint that is away for an hour hears of it all the same."""
    world.ways = ["notify"]
    await told_wrongly(world)
    world.fact(FAILED)
    await corrected(world)

    [effect] = world.effects()

    assert effect.not_after is not None
    longest_s = effect.attempts_max * EffectSettings().retry_max_s / 2
    assert timedelta(seconds=longest_s) > SEND_WITHIN / 2
