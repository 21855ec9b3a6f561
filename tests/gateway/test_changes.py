"""The listener passes on every change, says when it missed some, and knows when it is deaf."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from actors.changes import AwaitChanges, Change, ChangeLog
from domain.errors import RetryableError
from gateway.changes import DEAF_AFTER_S, Listener

PROJECTIONS = ("payments", "documents")


class Shard:
    """An index shard as its listeners see it: a real change log behind bytes."""

    def __init__(self) -> None:
        self.restart("first")
        self.failures: list[Exception] = []

    def restart(self, incarnation: str) -> None:
        self.log = ChangeLog(incarnation, PROJECTIONS)

    def change(self, position: int, *keys: str) -> None:
        self.log.reached("payments", position, position, {"acme": list(keys)} if keys else {})

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "changes"
        if self.failures:
            raise self.failures.pop(0)
        wanted = msgspec.msgpack.decode(payload, type=AwaitChanges)
        return msgspec.msgpack.encode(await asyncio.to_thread(self.log.after, wanted))


class Heard:
    """A listener, what it passed on in order, and its clock."""

    def __init__(self, call: Callable[[str, bytes], Awaitable[bytes]]) -> None:
        self.told: list[str] = []
        self.now_s = 1_000.0
        self.listener = Listener(
            call, on_change=self._on_change, on_missed=lambda: self.told.append("missed"), clock_s=lambda: self.now_s
        )

    def _on_change(self, change: Change) -> None:
        self.told += [f"{change.position} {key}" for keys in change.changed.values() for key in keys]

    async def listen(self) -> list[str]:
        """What one turn passed on."""
        self.told.clear()
        await self.listener.listen_once(0.01)
        return list(self.told)


@pytest.fixture
def shard() -> Shard:
    return Shard()


@pytest.fixture
def heard(shard: Shard) -> Heard:
    return Heard(shard.call)


async def test_the_first_turn_may_have_missed_everything_and_later_ones_nothing(shard: Shard, heard: Heard) -> None:
    shard.change(1, "pi_1")
    assert await heard.listen() == ["missed", "1 pi_1"]

    shard.change(2, "pi_2")
    shard.change(3, "pi_1", "pi_3")
    assert await heard.listen() == ["2 pi_2", "3 pi_1", "3 pi_3"]
    assert await heard.listen() == []
    assert (heard.listener.projected, heard.listener.head) == ({"payments": 3, "documents": 0}, 3)


async def test_the_first_turn_is_over_at_once_although_nothing_has_changed(heard: Heard) -> None:
    async with asyncio.timeout(5):
        await heard.listener.listen_once(60)
    assert heard.listener.is_hearing()


async def test_a_gap_is_told_before_what_comes_after_it(
    shard: Shard, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await heard.listen()
    monkeypatch.setattr("actors.changes.CHANGES_MAX", 2)
    shard.restart("first")
    for position in range(1, 5):
        shard.change(position, f"pi_{position}")

    assert await heard.listen() == ["missed", "3 pi_3", "4 pi_4"]
    assert await heard.listen() == []


@pytest.mark.parametrize("before", [0, 1, 2, 3])
async def test_another_incarnation_is_told_whatever_its_numbers_are(before: int, shard: Shard, heard: Heard) -> None:
    for position in range(1, before + 1):
        shard.change(position, "pi_1")
    await heard.listen()
    shard.restart("second")
    shard.change(1, "pi_1")
    shard.change(2, "pi_2")

    assert (await heard.listen())[0] == "missed"
    shard.change(3, "pi_3")
    assert await heard.listen() == ["3 pi_3"]


async def test_it_is_deaf_before_the_first_word_and_after_a_silence(heard: Heard) -> None:
    assert not heard.listener.is_hearing()
    await heard.listen()
    assert heard.listener.is_hearing()

    heard.now_s += DEAF_AFTER_S - 0.01
    assert heard.listener.is_hearing()
    heard.now_s += 0.02
    assert not heard.listener.is_hearing()
    await heard.listen()
    assert heard.listener.is_hearing()


async def test_a_call_that_fails_is_no_word(shard: Shard, heard: Heard) -> None:
    await heard.listen()
    heard.now_s += DEAF_AFTER_S
    shard.failures = [RetryableError("no answer")]

    with pytest.raises(RetryableError):
        await heard.listen()

    assert not heard.listener.is_hearing()


async def test_listening_goes_on_after_a_failure(shard: Shard, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.changes.RETRY_S", 0.0)
    monkeypatch.setattr("gateway.changes.LISTEN_S", 0.01)
    shard.failures = [RetryableError("no answer")] * 3
    shard.change(1, "pi_1")
    running = asyncio.create_task(heard.listener.run())
    try:
        assert await heard.listener.wait_for(["payments"], 1, 5)
    finally:
        running.cancel()
    assert heard.told == ["missed", "1 pi_1"]


async def test_a_position_is_waited_for_no_longer_than_allowed(shard: Shard, heard: Heard) -> None:
    assert not await heard.listener.wait_for(["payments"], 1, 0.01)
    waiting = asyncio.create_task(heard.listener.wait_for(["payments"], 2, 5))
    shard.change(1, "pi_1")
    await heard.listen()
    assert not waiting.done()
    shard.change(2)
    await heard.listen()

    assert await waiting
    assert await heard.listener.wait_for(["payments"], 2, 0)
    assert not await heard.listener.wait_for(["payments", "documents"], 2, 0.01)


async def test_looking_passes_nothing_on_and_says_no_more_than_was_asked_for(shard: Shard, heard: Heard) -> None:
    await heard.listen()
    heard.told.clear()
    shard.change(5, "pi_1")

    assert await heard.listener.look(3) == {"payments": 3, "documents": 0}
    assert heard.told == []
    assert await heard.listen() == ["5 pi_1"]
