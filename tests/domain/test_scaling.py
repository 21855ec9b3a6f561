"""When intakes are behind, when they are quiet, and that neither comes of what passes in a moment."""

import math

import pytest

from domain.scaling import BUSY_MIN, IntakeCount, Load, LoadWatch, has_helped, is_behind, is_quiet, load_between
from domain.watch_settings import ScalingSettings

SETTINGS = ScalingSettings(drain_s=10, behind_s=15, quiet_s=600)


def load(backlog: int = 0, per_second: float = 1_000.0, busy: float = 1.0) -> Load:
    return Load(backlog=backlog, per_second=per_second, busy=busy)


class Looks:
    """A watch that looks every second at intakes which all do the same."""

    def __init__(self) -> None:
        self.watch = LoadWatch(SETTINGS)
        self.at_s = 1_000.0
        self._counts: dict[str, IntakeCount] = {}

    def see(self, seconds: int, *, backlog: int, busy: float, per_second: float = 1_000.0, intakes: int = 1) -> None:
        for _ in range(seconds):
            self.at_s += 1
            self._counts = {
                name: IntakeCount(
                    messages=before.messages + per_second, idle_s=before.idle_s + 1 - busy, up_s=before.up_s + 1
                )
                for name in (f"intake-{number}" for number in range(intakes))
                for before in [self._counts.get(name, IntakeCount(messages=0, idle_s=0, up_s=0))]
            }
            self.watch.see(self.at_s, self._counts, backlog)

    @property
    def is_behind(self) -> bool:
        return self.watch.is_behind(self.at_s)

    @property
    def is_quiet(self) -> bool:
        return self.watch.is_quiet(self.at_s)


@pytest.mark.parametrize(
    ("lately", "expected"),
    [
        (load(backlog=20_000), True),
        (load(backlog=9_000), False),
        (load(backlog=20_000, busy=BUSY_MIN - 0.01), False),
        (load(backlog=20_000, per_second=0), False),
        (load(backlog=400, per_second=1), False),
    ],
    ids=["behind", "soon_drained", "idle_and_above_a_rate", "nothing_moves", "a_batch_under_way"],
)
def test_behind_is_who_works_without_end_and_does_not_come_to_one(lately: Load, *, expected: bool) -> None:
    assert is_behind(lately, SETTINGS) is expected


def test_quiet_is_where_the_others_would_be_idle_half_of_their_time_without_one() -> None:
    assert is_quiet(load(busy=0.25), 2)
    assert not is_quiet(load(busy=0.26), 2)
    assert is_quiet(load(busy=0.33), 3)
    assert not is_quiet(load(busy=0.0), 1)


def test_who_was_just_called_quiet_is_far_from_behind_without_the_one_that_went() -> None:
    for intakes in (2, 3, 8):
        busiest = max(each / 1_000 for each in range(1_001) if is_quiet(load(busy=each / 1_000), intakes))
        without = load(backlog=10**9, busy=busiest * intakes / (intakes - 1))

        assert not is_behind(without, SETTINGS)


def test_one_more_has_helped_if_more_is_taken_in_although_even_more_comes() -> None:
    before = load(backlog=20_000, per_second=1_000)

    assert has_helped(before, load(backlog=60_000, per_second=1_200), SETTINGS)
    assert has_helped(before, load(backlog=15_000, per_second=1_000), SETTINGS)
    assert has_helped(before, load(backlog=0, per_second=10), SETTINGS)
    assert not has_helped(before, load(backlog=20_000, per_second=1_000), SETTINGS)
    assert not has_helped(before, load(backlog=60_000, per_second=1_050), SETTINGS)


def test_what_waits_takes_for_ever_while_nothing_is_taken_in_unless_it_is_a_batch() -> None:
    assert load(backlog=501, per_second=0).drain_s == math.inf
    assert load(backlog=500, per_second=0).drain_s == 0


def test_a_load_is_of_the_same_processes_and_of_their_own_clocks() -> None:
    before = {"intake-0": IntakeCount(messages=100, idle_s=10, up_s=50)}
    after = {"intake-0": IntakeCount(messages=600, idle_s=11, up_s=55)}
    anew = {"intake-0": IntakeCount(messages=0, idle_s=0, up_s=60)}

    assert load_between(before, after, 7) == Load(backlog=7, per_second=100, busy=0.8)
    assert load_between(before, before, 7) is None
    assert load_between(before, anew, 7) is None
    assert load_between(before, {**after, "intake-1": after["intake-0"]}, 7) is None
    assert load_between({}, {}, 7) is None


def test_one_more_is_called_for_when_they_have_been_behind_for_long() -> None:
    looks = Looks()
    looks.see(18, backlog=20_000, busy=1)
    assert not looks.is_behind
    looks.see(1, backlog=20_000, busy=1)

    assert looks.is_behind
    assert not looks.is_quiet


def test_a_moment_in_which_it_is_well_begins_the_wait_anew() -> None:
    looks = Looks()
    looks.see(15, backlog=20_000, busy=1)
    looks.see(1, backlog=5_000, busy=1)
    looks.see(15, backlog=20_000, busy=1)
    assert not looks.is_behind
    looks.see(1, backlog=20_000, busy=1)

    assert looks.is_behind


def test_what_is_above_a_tenants_rate_calls_for_no_further_intake_and_keeps_none() -> None:
    looks = Looks()
    looks.see(700, backlog=200_000, busy=0.1, per_second=100, intakes=2)

    assert not looks.is_behind
    assert looks.is_quiet


def test_one_fewer_is_called_for_when_they_have_been_quiet_for_very_long() -> None:
    looks = Looks()
    looks.see(603, backlog=0, busy=0.2, intakes=2)
    assert not looks.is_quiet
    looks.see(1, backlog=0, busy=0.2, intakes=2)

    assert looks.is_quiet
    looks.see(60, backlog=0, busy=0.7, intakes=2)
    assert not looks.is_quiet


def test_another_number_of_intakes_begins_anew() -> None:
    looks = Looks()
    looks.see(19, backlog=20_000, busy=1)
    assert looks.is_behind
    looks.see(1, backlog=20_000, busy=1, intakes=2)

    assert not looks.is_behind
    assert looks.watch.load is None
