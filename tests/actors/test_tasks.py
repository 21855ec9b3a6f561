"""Tasks end when they are told to, also one that swallows the cancellation that comes together with a result."""

import asyncio

import pytest

from actors import tasks


async def test_a_task_that_swallows_a_cancellation_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await tasks.end([task])

    assert task.cancelled()
    assert swallowed == 2


async def test_one_that_failed_is_left_to_whoever_awaits_it() -> None:
    async def failing() -> None:
        raise RuntimeError("the reason")

    failed = asyncio.create_task(failing())
    await asyncio.sleep(0)

    await tasks.end([failed])

    with pytest.raises(RuntimeError, match="the reason"):
        await failed
