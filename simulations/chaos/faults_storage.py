"""Faults of disks and clocks: full, failing, wrong."""

import asyncio
import resource
import shutil
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import TerminalError
from simulations.chaos.injection import Injection, Place
from simulations.chaos.shim import Shim
from simulations.chaos.target import Target
from simulations.chaos.undo import Remove, Zero

FILLER = "filler-of-chaos"


async def fill_disk(place: Place) -> Injection:
    """The small file system of the target has no room any more (ENOSPC)."""
    target = place.target
    if target is None or not target.spec.volume:
        raise TerminalError("the target has no small file system: name its volume")
    directory = Path(f"/proc/{target.pid_of('gateway')}/root{target.data / target.spec.volume}")
    filler = directory / FILLER
    undo = place.journal.plan(Remove(path=str(filler)))
    await asyncio.to_thread(_fill, filler)

    async def is_full() -> bool:
        return shutil.disk_usage(directory).free < resource.getpagesize()

    return Injection(backend="tmpfs in a mount namespace", has_bitten=is_full, undo=undo)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (1024**2, resource.getpagesize()):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue  # A smaller piece may fit.


async def fail_fsync(place: Place, *, below: str = "log.sqlite") -> Injection:
    """Every fsync of the files below fails (EIO)."""
    target, shim = _shimmed(place)
    undo = place.journal.plan(Zero(path=str(shim.control)))
    shim.set(fail_fsync=True, prefix=str(target.data / below))

    async def has_failed() -> bool:
        return shim.failures > 0

    return Injection(backend="LD_PRELOAD shim", has_bitten=has_failed, undo=undo)


async def skew_clock(place: Place, *, by_s: float = 3_600.0) -> Injection:
    """The node's wall clock is off."""
    target, shim = _shimmed(place)
    undo = place.journal.plan(Zero(path=str(shim.control)))
    shim.set(clock_offset_s=by_s)
    since = target.log_file.stat().st_size

    async def is_off() -> bool:
        """By the times that the node writes into its own log."""
        stamps = [str(line.get("timestamp", "")) for line in target.logged(since)[0]]
        return any(abs(_ahead_s(stamp) - by_s) < 60 for stamp in stamps if stamp)

    return Injection(backend="LD_PRELOAD shim", has_bitten=is_off, undo=undo)


def _shimmed(place: Place) -> tuple[Target, Shim]:
    if place.target is None or place.target.shim is None:
        raise TerminalError("the target has no shim: is_shimmed is false")
    return place.target, place.target.shim


def _ahead_s(stamp: str) -> float:
    return (datetime.fromisoformat(stamp) - datetime.now(UTC)).total_seconds()
