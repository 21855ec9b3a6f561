"""Faults of resources: processes that get too little of the processor's time, of files and of memory."""

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from functools import partial

from simulations.chaos import control_groups
from simulations.chaos.control_groups import Controller, Group, Hierarchy, cpu_limits, memory_limits
from simulations.chaos.faults_process import found_process, is_another
from simulations.chaos.injection import Injection, Place
from simulations.chaos.processes import Process, cpu_s, is_same, memory_bytes, open_files
from simulations.chaos.undo import Limit, Release, Resume

QUOTA = "CPU quota of a control group"
TURNS = "SIGSTOP and SIGCONT in turn"
OUT_OF_MEMORY = "memory limit of a control group"
ADDRESS_SPACE = "prlimit RLIMIT_AS"
MEMORY_ROOM_BYTES = 2 * 1024**2
NEAR_BYTES = 512 * 1024
TURN_S = 0.1
TURNS_MIN = 10


async def starve_cpu(place: Place, *, part: str = "", pid: int = 0, share: float = 0.1) -> Injection:
    """It gets that share of a processor's time, by the tenth of a second."""
    found = await asyncio.to_thread(found_process, place.target, part, pid)
    used_s, begun_s = cpu_s(found.pid), asyncio.get_running_loop().time()

    def is_starved() -> bool:
        lasted_s = asyncio.get_running_loop().time() - begun_s
        return cpu_s(found.pid) - used_s <= 2 * share * lasted_s

    if control_groups.missing("cpu"):
        return await _in_turns(place, found, share, is_starved)
    group, undo = _taken(place, found, "cpu", partial(cpu_limits, share=share))

    async def is_throttled() -> bool:
        return group.throttled >= TURNS_MIN and is_starved()

    return Injection(backend=QUOTA, has_bitten=is_throttled, undo=undo)


async def _in_turns(place: Place, found: Process, share: float, is_starved: Callable[[], bool]) -> Injection:
    """Stopped and let go on, as a quota does."""
    undo = place.journal.plan(Resume(pid=found.pid, started=found.started))
    stops = 0

    async def throttle() -> None:
        nonlocal stops
        while is_same(found.pid, found.started):
            os.kill(found.pid, signal.SIGSTOP)
            stops += 1
            await asyncio.sleep(TURN_S * (1 - share))
            os.kill(found.pid, signal.SIGCONT)
            await asyncio.sleep(TURN_S * share)

    throttling = asyncio.create_task(throttle())

    async def has_bitten() -> bool:
        return stops >= TURNS_MIN and is_starved()

    async def let_go() -> None:
        throttling.cancel()
        await asyncio.gather(throttling, return_exceptions=True)

    return Injection(backend=TURNS, has_bitten=has_bitten, heal=let_go, undo=undo)


async def exhaust_files(place: Place, *, part: str = "", pid: int = 0, room: int = 0) -> Injection:
    """It can open no further file or connection (EMFILE)."""
    found = await asyncio.to_thread(found_process, place.target, part, pid)
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
    """It gets no more memory than it has, and a little: it is killed (SIGKILL) or told (ENOMEM) when it wants more."""
    found = await asyncio.to_thread(found_process, place.target, part, pid)
    if control_groups.missing("memory"):
        return _address_space(place, found, room_bytes)
    # What it has stays on the account of the group that it comes from: the limit is on what it takes from now on.
    group, undo = _taken(place, found, "memory", partial(memory_limits, size_bytes=room_bytes))

    async def is_killed() -> bool:
        return group.killed > 0 and not is_same(found.pid, found.started)

    return Injection(
        backend=OUT_OF_MEMORY,
        has_bitten=is_killed,
        undo=undo,
        is_mended=partial(is_another, place.target, part, found),
    )


def _address_space(place: Place, found: Process, room_bytes: int) -> Injection:
    soft, hard = resource.prlimit(found.pid, resource.RLIMIT_AS)
    undo = place.journal.plan(Limit(pid=found.pid, started=found.started, what="as", soft=soft, hard=hard))
    limit = memory_bytes(found.pid) + room_bytes
    resource.prlimit(found.pid, resource.RLIMIT_AS, (limit, hard))

    async def is_exhausted() -> bool:
        """It has grown to its limit, or was ended by it."""
        return not is_same(found.pid, found.started) or memory_bytes(found.pid) >= limit - NEAR_BYTES

    return Injection(backend=ADDRESS_SPACE, has_bitten=is_exhausted, undo=undo)


def _taken(
    place: Place, found: Process, controller: Controller, limits: Callable[[Hierarchy], dict[str, str]]
) -> tuple[Group, int]:
    """Put a process into a group of its own; the group, and the number of the undo."""
    hierarchy = control_groups.hierarchy(controller)
    assert hierarchy is not None, "it was there when it was probed"
    group = control_groups.new_group(hierarchy)
    undo = place.journal.plan(Release(group=str(group.directory), home=str(hierarchy.of(found.pid))))
    group.make(limits(hierarchy))
    group.take(found.pid)
    return group, undo
