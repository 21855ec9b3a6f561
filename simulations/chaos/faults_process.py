"""Faults of processes: killed, and stopped."""

import asyncio
import os
import signal
from functools import partial

from domain.errors import TerminalError
from simulations.chaos.injection import Injection, Place
from simulations.chaos.processes import Process, is_same, process
from simulations.chaos.target import Target
from simulations.chaos.undo import Resume


def found_process(target: Target | None, part: str, pid: int) -> Process:
    """The process of a part, or of a pid that the experiment gives."""
    number = pid or (target.pid_of(part) if target is not None else 0)
    found = process(number) if number else None
    if found is None or not found.is_running:
        raise TerminalError(f"there is no process of {part or pid}")
    return found


async def kill(place: Place, *, part: str = "", pid: int = 0) -> Injection:
    """`kill -9`."""
    found = await asyncio.to_thread(found_process, place.target, part, pid)
    os.kill(found.pid, signal.SIGKILL)

    async def is_gone() -> bool:
        return not is_same(found.pid, found.started)

    return Injection(backend="SIGKILL", has_bitten=is_gone, is_mended=partial(is_another, place.target, part, found))


def is_another(target: Target | None, part: str, than: Process) -> bool:
    """Whether a part that lost its process has a new one."""
    return target is None or not part or target.pid_of(part) not in {0, than.pid}


async def pause(place: Place, *, part: str = "", pid: int = 0) -> Injection:
    """SIGSTOP: it lives, its sockets are open, and it does nothing."""
    found = await asyncio.to_thread(found_process, place.target, part, pid)
    undo = place.journal.plan(Resume(pid=found.pid, started=found.started))
    os.kill(found.pid, signal.SIGSTOP)

    async def is_stopped() -> bool:
        now = process(found.pid)
        return now is not None and now.is_stopped

    return Injection(backend="SIGSTOP", has_bitten=is_stopped, undo=undo)
