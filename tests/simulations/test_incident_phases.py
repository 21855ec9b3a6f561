"""A phase begins and ends on conditions, and not later than it may; what is missing is said."""

from collections.abc import Callable, Iterator

import pytest

from simulations.incident_phases import Condition, Phase, PhaseError, awaited, go_through
from tests.spec import NOON


def holds() -> str:
    return ""


def after(looks: int, missing: str) -> Callable[[], str]:
    """A condition that holds from so many looks on."""
    left = iter([missing] * looks)
    return lambda: next(left, "")


def ticking(step_s: float = 1.0) -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read."""
    ticks = _ticks(step_s)
    return lambda: next(ticks)


def _ticks(step_s: float) -> Iterator[float]:
    at_s = 0.0
    while True:
        yield at_s
        at_s += step_s


def phase(done: list[str], *, entry: Condition = holds, exit_: Condition = holds) -> Phase:
    async def act() -> None:
        done.append("acted")

    return Phase(name="disorder", entry=entry, act=act, exit=exit_, limit_s=5.0, entry_limit_s=2.0)


async def test_what_a_condition_waited_for_last_is_told() -> None:
    assert await awaited(after(1, "3 answers"), 10.0, clock_s=ticking()) == "3 answers"
    assert await awaited(holds, 10.0, clock_s=ticking()) == ""


async def test_a_condition_may_have_to_be_asked_for() -> None:
    async def ask() -> str:
        return ""

    assert await awaited(ask, 1.0) == ""


async def test_a_phase_acts_between_its_conditions() -> None:
    done: list[str] = []
    entered: list[str] = []

    passed = await go_through(
        phase(done, entry=after(1, "a host"), exit_=after(1, "5 wrong answers")),
        clock=lambda: NOON,
        clock_s=ticking(0.1),
        on_entered=lambda each: entered.append(each.name),
    )

    assert (done, entered) == (["acted"], ["disorder"])
    assert (passed.waited_for, passed.began_at) == ("5 wrong answers", NOON)
    assert passed.took_s > 0


async def test_a_phase_that_cannot_begin_does_nothing() -> None:
    done: list[str] = []

    clock_s = ticking()

    with pytest.raises(PhaseError, match=r"disorder could not begin: after 2 s there is still missing: a host"):
        await go_through(phase(done, entry=lambda: "a host"), clock=lambda: NOON, clock_s=clock_s)

    assert done == []
    assert clock_s() <= 3


@pytest.mark.long
async def test_a_phase_that_does_not_end_in_time_says_what_is_missing() -> None:
    done: list[str] = []

    with pytest.raises(PhaseError, match=r"disorder: after .* s there is still missing: 5 wrong answers"):
        await go_through(phase(done, exit_=lambda: "5 wrong answers"), clock=lambda: NOON, clock_s=ticking())

    assert done == ["acted"]
