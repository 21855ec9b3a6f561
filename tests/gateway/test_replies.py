"""An answer is said in the chat where it can be: requested once, before the question counts as answered."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from domain.codec import Submission
from domain.effects import EffectRequested, effect_key
from domain.message import Failed, Reply
from gateway.conversations import REPLY_WITHIN
from tests.gateway.test_conversations import CHAT, World, answer_all, wrote
from tests.spec import NOON
from tests.worlds import TENANT, entries_in, new_log


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    log = new_log(tmp_path)
    yield World(tmp_path, log)
    log.datastore.close()


def requested(world: World) -> list[EffectRequested]:
    events = [entry.envelope().event for entry in entries_in(world.recorder)]
    return [event for event in events if isinstance(event, EffectRequested)]


async def test_an_answer_is_said_in_the_chat_for_as_long_as_a_business_may(world: World) -> None:
    world.tell(wrote())

    await answer_all(world.answerer(can_reply=lambda tenant: tenant == TENANT))

    [answer], [said] = world.answered(), requested(world)
    assert (said.effect.kind, said.effect.to, said.effect.text) == ("reply", CHAT, answer.text)
    assert said.effect.key == effect_key(TENANT, answer.answer_id, "reply")
    assert said.effect.not_after == NOON + REPLY_WITHIN


async def test_nothing_is_said_in_a_chat_that_cannot_be_written_to(world: World) -> None:
    world.tell(wrote())

    await answer_all(world.answerer())

    assert len(world.answered()) == 1
    assert requested(world) == []


async def test_what_is_answered_again_after_a_failure_is_said_once(world: World) -> None:
    """The reply was requested, and the answer could not be recorded beside it the first time."""
    world.tell(wrote())
    failures = ["the shard is not there"]

    async def submit(batch: Sequence[Submission]) -> list[Reply]:
        if failures and batch[0].stream.startswith("conversation:"):
            return [Failed(reason=failures.pop(), retryable=True)]
        return await world.submit(batch)

    await answer_all(world.answerer(can_reply=lambda tenant: True, submit=submit))

    assert failures == []
    assert len(world.answered()) == 1
    assert len(requested(world)) == 1
