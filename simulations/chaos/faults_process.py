"""Faults of processes: killed, stopped, starved of processor time, of files and of memory."""

import asyncio
import os
import resource
import signal

from domain.errors import TerminalError
from simulations.chaos.injection import Injection, Place
from simulations.chaos.processes import Process, cpu_s, is_same, memory_bytes, open_files, process
from simulations.chaos.target import Target
from simulations.chaos.undo import Limit, Resume

MEMORY_ROOM_BYTES = 2 * 1024**2
NEAR_BYTES = 512 * 1024


def _found(target: Target | None, part: str, pid: int) -> Process:
    """The process of a part, or of a pid that the experiment gives."""
    number = pid or (target.pid_of(part) if target is not None else 0)
    found = process(number) if number else None
    if found is None or not found.is_running:
        raise TerminalError(f"there is no process of {part or pid}")
    return found


async def kill(place: Place, *, part: str = "", pid: int = 0) -> Injection:
    """`kill -9`."""
    found = await asyncio.to_thread(_found, place.target, part, pid)
    os.kill(found.pid, signal.SIGKILL)

    async def is_gone() -> bool:
        return not is_same(found.pid, found.started)

    def is_another() -> bool:
        return place.target is None or not part or place.target.pid_of(part) not in {0, found.pid}

    return Injection(backend="SIGKILL", has_bitten=is_gone, is_mended=is_another)


async def pause(place: Place, *, part: str = "", pid: int = 0) -> Injection:
    """SIGSTOP: it lives, its sockets are open, and it does nothing."""
    found = await asyncio.to_thread(_found, place.target, part, pid)
    undo = place.journal.plan(Resume(pid=found.pid, started=found.started))
    os.kill(found.pid, signal.SIGSTOP)

    async def is_stopped() -> bool:
        now = process(found.pid)
        return now is not None and now.is_stopped

    return Injection(backend="SIGSTOP", has_bitten=is_stopped, undo=undo)


async def starve_cpu(place: Place, *, part: str = "", pid: int = 0, share: float = 0.1) -> Injection:
    """It gets that share of the time: stopped and let go on, ten times a second, as a quota does."""
    found = await asyncio.to_thread(_found, place.target, part, pid)
    undo = place.journal.plan(Resume(pid=found.pid, started=found.started))
    period_s, stops = 0.1, 0

    async def throttle() -> None:
        nonlocal stops
        while is_same(found.pid, found.started):
            os.kill(found.pid, signal.SIGSTOP)
            stops += 1
            await asyncio.sleep(period_s * (1 - share))
            os.kill(found.pid, signal.SIGCONT)
            await asyncio.sleep(period_s * share)

    throttling = asyncio.create_task(throttle())
    used_s, begun_s = cpu_s(found.pid), asyncio.get_running_loop().time()

    async def is_starved() -> bool:
        lasted_s = asyncio.get_running_loop().time() - begun_s
        return stops >= 10 and cpu_s(found.pid) - used_s <= 2 * share * lasted_s

    async def let_go() -> None:
        throttling.cancel()
        await asyncio.gather(throttling, return_exceptions=True)

    return Injection(backend="SIGSTOP and SIGCONT in turn", has_bitten=is_starved, heal=let_go, undo=undo)


async def exhaust_files(place: Place, *, part: str = "", pid: int = 0, room: int = 0) -> Injection:
    """It can open no further file or connection (EMFILE)."""
    found = await asyncio.to_thread(_found, place.target, part, pid)
    soft, hard = resource.prlimit(found.pid, resource.RLIMIT_NOFILE)
    undo = place.journal.plan(Limit(pid=found.pid, started=found.started, what="nofile", soft=soft, hard=hard))
    # New descriptors take the lowest free number, and the limit is on the number.
    numbers = open_files(found.pid)
    free = (number for number in range(max(numbers) + room + 2) if number not in numbers)
    limit = [next(free) for _ in range(room + 1)][-1]
    resource.prlimit(found.pid, resource.RLIMIT_NOFILE, (limit, hard))

    async def is_exhausted() -> bool:
        """A new file would get the lowest free number, and that is not below the limit: EMFILE."""
        return set(range(limit)) <= open_files(found.pid)

    return Injection(backend="prlimit RLIMIT_NOFILE", has_bitten=is_exhausted, undo=undo)


async def exhaust_memory(
    place: Place, *, part: str = "", pid: int = 0, room_bytes: int = MEMORY_ROOM_BYTES
) -> Injection:
    """It gets no more memory than it has (ENOMEM)."""
    found = await asyncio.to_thread(_found, place.target, part, pid)
    soft, hard = resource.prlimit(found.pid, resource.RLIMIT_AS)
    undo = place.journal.plan(Limit(pid=found.pid, started=found.started, what="as", soft=soft, hard=hard))
    limit = memory_bytes(found.pid) + room_bytes
    resource.prlimit(found.pid, resource.RLIMIT_AS, (limit, hard))

    async def is_exhausted() -> bool:
        """It has grown to its limit, or was ended by it."""
        return not is_same(found.pid, found.started) or memory_bytes(found.pid) >= limit - NEAR_BYTES

    return Injection(backend="prlimit RLIMIT_AS", has_bitten=is_exhausted, undo=undo)
