"""The function that experiment files call. `recount chaos run` injects by itself; this is for the Chaos Toolkit.

Under its runner there is no node of ours, so that it takes the faults of processes alone, by `pid`.
"""

import asyncio
import os
from contextlib import closing
from typing import Any

from domain.errors import TerminalError
from simulations.chaos import faults
from simulations.chaos.injection import BITE_WITHIN_S, Place, bites
from simulations.chaos.undo import UndoJournal, journals
from simulations.chaos.watchdog import Watchdog


def inject(fault: str, hold_s: float = 0.0, **arguments: Any) -> str:  # noqa: ANN401 - a fault's arguments, JSON
    """Inject a fault, see that it bites, hold it for so long, and take it back; returns what injected it.

    Raises `TerminalError` where it cannot be injected, or does not bite.
    """
    path = journals() / f"{os.getpid()}-{os.urandom(4).hex()}.jsonl"
    path.touch(mode=0o600)
    watchdog = Watchdog(path)
    try:
        with closing(UndoJournal(path)) as journal:
            return asyncio.run(_suffer(fault, Place(journal=journal), hold_s, arguments))
    finally:
        watchdog.stop()


async def _suffer(fault: str, place: Place, hold_s: float, arguments: dict[str, Any]) -> str:
    injection = await faults.inject(fault, place, arguments)
    try:
        if not await bites(injection):
            raise TerminalError(f"{fault} did not bite within {BITE_WITHIN_S:g} s")
        await asyncio.sleep(hold_s)
    finally:
        if injection.heal is not None:
            await injection.heal()
        if injection.undo is not None:
            place.journal.apply(injection.undo)
    return injection.backend
