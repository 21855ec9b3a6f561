"""Phases: each is entered on a condition, left on a condition, and has a time limit. Nothing waits for time alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from domain.errors import TerminalError

LOOK_EVERY_S = 0.1

# What is still missing, in words; empty if the condition holds.
Condition = Callable[[], str | Awaitable[str]]


class PhaseError(TerminalError):
    """A phase that could not be entered, or not be left in time."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the incident.

    Args:
        name: what it is, in words.
        entry: what must hold before; it is looked at until `entry_limit_s` is over.
        act: what is done once it is entered.
        exit: what must hold before it is left.
        limit_s: how long it may take, acting included.
        entry_limit_s: how long entering may take.
    """

    name: str
    entry: Condition
    act: Callable[[], Awaitable[None]]
    exit: Condition
    limit_s: float
    entry_limit_s: float = 10.0


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A phase that was left: when it began and ended, and what its exit condition had waited for last."""

    name: str
    began_at: datetime
    ended_at: datetime
    took_s: float
    waited_for: str


async def awaited(condition: Condition, limit_s: float, *, clock_s: Callable[[], float] = time.monotonic) -> str:
    """Wait until a condition holds; returns what it had waited for last. Raises `PhaseError` when the time is over."""
    deadline_s, waited_for = clock_s() + limit_s, ""
    while True:
        missing = condition()
        if not isinstance(missing, str):
            missing = await missing
        if not missing:
            return waited_for
        waited_for = missing
        if clock_s() >= deadline_s:
            raise PhaseError(f"after {limit_s:g} s there is still missing: {missing}")
        await asyncio.sleep(LOOK_EVERY_S)


async def go_through(
    phase: Phase,
    *,
    clock: Callable[[], datetime],
    clock_s: Callable[[], float] = time.monotonic,
    on_entered: Callable[[Phase], None] = lambda phase: None,
) -> Passed:
    """Enter a phase, act, leave it. Raises `PhaseError` that names the phase and what is missing."""
    try:
        await awaited(phase.entry, phase.entry_limit_s, clock_s=clock_s)
    except PhaseError as error:
        raise PhaseError(f"{phase.name} could not begin: {error.reason}") from error
    began_at, began_s = clock(), clock_s()
    on_entered(phase)
    try:
        async with asyncio.timeout(phase.limit_s):
            await phase.act()
    except TimeoutError as error:
        raise PhaseError(f"{phase.name}: what is done took more than {phase.limit_s:g} s") from error
    try:
        waited_for = await awaited(phase.exit, phase.limit_s - (clock_s() - began_s), clock_s=clock_s)
    except PhaseError as error:
        raise PhaseError(f"{phase.name}: {error.reason}") from error
    return Passed(
        name=phase.name,
        began_at=began_at,
        ended_at=clock(),
        took_s=round(clock_s() - began_s, 2),
        waited_for=waited_for,
    )
