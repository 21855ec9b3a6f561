"""Time is virtual, killed processes do nothing more, paused ones wait."""

import asyncio

import pytest

from simulations.virtual_loop import News, Process, VirtualLoop, current_process


def new_loop() -> VirtualLoop:
    return VirtualLoop(lambda: 0, lambda: 0.01)  # type: ignore[abstract]  # as the world makes it


def started(loop: VirtualLoop, process: Process, told: list[str]) -> None:
    """Something in the process that speaks every second."""

    async def speak() -> None:
        while True:
            await asyncio.sleep(1)
            own = current_process()
            assert own is not None
            told.append(f"{own.name} at {loop.time():.1f}")

    process.context.run(loop.create_task, speak())


def test_an_hour_passes_at_once() -> None:
    loop = new_loop()
    loop.run(asyncio.sleep(3_600))
    assert loop.time() == 3_600
    loop.close()


def test_what_waits_for_what_can_never_come_is_said_and_not_waited_for() -> None:
    loop = new_loop()

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing is left to happen"):
        loop.run(wait())
    loop.close()


def test_a_killed_process_does_nothing_more() -> None:
    loop, told = new_loop(), list[str]()
    process = Process("shard", 1)

    async def live() -> None:
        started(loop, process, told)
        await asyncio.sleep(2.5)
        loop.kill(process)
        await asyncio.sleep(10)

    loop.run(live())
    assert told == ["shard at 1.0", "shard at 2.0"]
    loop.close()


def test_a_paused_process_goes_on_where_it_was() -> None:
    loop, told = new_loop(), list[str]()
    process = Process("shard", 1)

    async def live() -> None:
        started(loop, process, told)
        await asyncio.sleep(1.5)
        process.is_paused = True
        await asyncio.sleep(10)
        loop.resume(process)
        await asyncio.sleep(1.2)

    loop.run(live())
    assert told == ["shard at 1.0", "shard at 11.5", "shard at 12.5"]
    loop.close()


def test_what_takes_a_thread_in_production_takes_a_moment_here() -> None:
    loop = new_loop()

    async def work() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 42), loop.time()

    assert loop.run(work()) == (42, 0.01)
    loop.close()


def test_an_error_that_nobody_hears_of_is_told() -> None:
    loop = new_loop()

    async def fail(reason: str) -> None:
        raise ValueError(reason)

    async def live() -> None:
        heard, _ = loop.create_task(fail("heard")), loop.create_task(fail("unheard"))
        await asyncio.wait([heard])
        assert isinstance(heard.exception(), ValueError)

    loop.run(live())
    [unheard] = loop.unheard()
    assert unheard.endswith("ValueError: unheard")
    loop.close()


def test_news_reach_all_who_wait_and_a_timeout_ends_the_wait() -> None:
    loop, news, heard = new_loop(), News(), list[float]()

    async def listen(timeout_s: float) -> None:
        await news.wait(timeout_s)
        heard.append(loop.time())

    async def live() -> None:
        waiting = [loop.create_task(listen(timeout_s)) for timeout_s in (1, 60)]
        await asyncio.sleep(5)
        news.tell()
        await asyncio.gather(*waiting)

    loop.run(live())
    assert heard == [1, 5]
    loop.close()
