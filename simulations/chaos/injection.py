"""A fault: where it strikes, what did it, how it shows, and how it is taken back."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from simulations.chaos.target import Target
from simulations.chaos.undo import UndoJournal

BITE_WITHIN_S = 8.0
LOOK_EVERY_S = 0.1


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fault strikes: the node, if there is one, and where its undo is planned."""

    journal: UndoJournal
    target: Target | None = None


class Injection(msgspec.Struct, kw_only=True):
    """A fault in force.

    Args:
        backend: what did it.
        has_bitten: whether it shows; looked at again and again until it does.
        heal: takes it back, before the journal's undo; `None` where that is enough, or where it is over at once.
        undo: the number of its undo in the journal; `None` if there is nothing that could be left behind.
        is_mended: whether what it took away is there again; asked in a thread.
    """

    backend: str
    has_bitten: Callable[[], Awaitable[bool]]
    heal: Callable[[], Awaitable[None]] | None = None
    undo: int | None = None
    is_mended: Callable[[], bool] = lambda: True


async def bites(injection: Injection) -> bool:
    """Whether the fault shows in time."""
    deadline_s = asyncio.get_running_loop().time() + BITE_WITHIN_S
    while not await injection.has_bitten():
        if asyncio.get_running_loop().time() > deadline_s:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True
