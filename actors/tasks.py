"""Tasks that run until they are told to end."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 1.0


def is_to_end() -> bool:
    """Whether the task that asks was cancelled, also if a library has kept that to itself (see `end`).

    A loop in a task group asks this each time round: a group cancels its tasks once and waits for ever.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, as often as it takes, and wait until all have ended; what they raise is theirs.

    A library may keep a cancellation to itself that comes together with what it waits for: `asyncio.wait_for` of Python
    3.11 does (https://github.com/python/cpython/issues/86296), and a loop around it would go on for ever.
    """
    left = [task for task in tasks if not task.done()]
    while left:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN_S)
        left = [task for task in left if not task.done()]
