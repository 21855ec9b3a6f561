"""Budgets, burn rates and when they wake somebody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.slo import BurnAlert, Counts, History, NoDataAlert, Objective, compressed, firing, standing

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
PAGE = BurnAlert(name="page", severity="page", burn_rate=14.4, long_s=HOUR, short_s=5 * MINUTE)
MISSING = NoDataAlert(name="missing", severity="ticket", window_s=HOUR)
OBJECTIVE = Objective(
    name="availability",
    title="Availability",
    description="",
    target=0.99,
    window_s=30 * DAY,
    bad_min=5,
    alerts=(PAGE,),
    no_data=MISSING,
)


def history(*minutes: tuple[float, float]) -> History:
    """Bad and total of each minute."""
    kept = History(30 * DAY, MINUTE)
    for number, (bad, total) in enumerate(minutes):
        kept.add(number * MINUTE, Counts(bad=bad, total=total))
    return kept


def fires(*minutes: tuple[float, float], objective: Objective = OBJECTIVE) -> set[str]:
    return firing(objective, standing(objective, history(*minutes)))


GOOD, BAD = (0.0, 100.0), (50.0, 100.0)


def test_the_budget_that_is_left_is_what_was_not_spent_of_it() -> None:
    assert standing(OBJECTIVE, history(GOOD, *[(0.5, 100.0)] * 10)).budget_left == pytest.approx(0.5)
    assert standing(OBJECTIVE, history(GOOD, *[(2.0, 100.0)] * 10)).budget_left == pytest.approx(-1.0)


def test_nothing_counted_is_nothing_spent() -> None:
    stands = standing(OBJECTIVE, History(DAY, MINUTE))

    assert stands.budget_left == 1.0
    assert (stands.burns[0].long_rate, stands.burns[0].is_firing) == (None, False)


def test_an_outage_fires_when_it_has_burnt_enough_of_the_hour() -> None:
    hour = [GOOD] * 61

    # Half of all is bad: fifty times the budget. 14.4 times of an hour is reached after 17.3 minutes.
    assert fires(*hour, *[BAD] * 17) == set()
    assert fires(*hour, *[BAD] * 18) == {"page"}


def test_an_outage_that_is_over_fires_no_more_once_the_short_window_is_clean() -> None:
    outage = [*[GOOD] * 61, *[BAD] * 30]

    assert fires(*outage, *[GOOD] * 3) == {"page"}
    assert fires(*outage, *[GOOD] * 5) == set()


def test_a_few_bad_events_of_few_do_not_fire() -> None:
    quiet = [(0.0, 0.1)] * 61

    assert fires(*quiet, *[(1.0, 1.0)] * 4) == set()
    assert fires(*quiet, *[(1.0, 1.0)] * 5) == {"page"}


def test_what_is_measured_always_and_is_not_measured_any_more_fires() -> None:
    assert fires(*[(0.0, 60.0)] * 10, *[(0.0, 0.0)] * 59) == set()
    assert fires(*[(0.0, 60.0)] * 10, *[(0.0, 0.0)] * 60) == {"missing"}


def test_what_has_only_begun_misses_nothing() -> None:
    assert fires(*[(0.0, 0.0)] * 61) == set()
    assert fires(*[(0.0, 0.0)] * 62) == {"missing"}


def test_a_compressed_objective_does_in_seconds_what_the_other_does_in_hours() -> None:
    quick = compressed(OBJECTIVE, 1_440)
    kept = History(quick.window_s, MINUTE / 1_440)
    minutes = [*[GOOD] * 61, *[BAD] * 18]
    for number, (bad, total) in enumerate(minutes):
        kept.add(number * MINUTE / 1_440, Counts(bad=bad, total=total))

    assert quick.window_s == 1_800
    assert firing(quick, standing(quick, kept)) == fires(*minutes) == {"page"}


@pytest.mark.parametrize("late_s", [-20.0, 0.0, 20.0])
def test_samples_that_come_a_little_early_or_late_are_in_the_window_that_they_belong_to(late_s: float) -> None:
    kept = History(DAY, MINUTE)
    for number in range(20):
        kept.add(number * MINUTE + (late_s if number % 2 else 0.0), Counts(bad=0.0, total=1.0))

    assert kept.last(5 * MINUTE).total == 5


counts = st.tuples(st.integers(0, 50), st.integers(50, 100))


@given(st.lists(counts, min_size=2, max_size=200), st.integers(1, 120))
def test_a_window_holds_what_was_counted_in_it(minutes: list[tuple[int, int]], window: int) -> None:
    kept = history(*((float(bad), float(total)) for bad, total in minutes))

    inside = minutes[1:][-window:]
    assert kept.last(window * MINUTE) == Counts(bad=sum(b for b, _ in inside), total=sum(t for _, t in inside))


@given(st.lists(counts, min_size=30, max_size=200))
def test_what_is_forgotten_is_older_than_every_window(minutes: list[tuple[int, int]]) -> None:
    kept = History(20 * MINUTE, MINUTE)
    for number, (bad, total) in enumerate(minutes):
        kept.add(number * MINUTE, Counts(bad=bad, total=total))

    inside = minutes[-20:]
    assert kept.last(20 * MINUTE) == Counts(bad=sum(b for b, _ in inside), total=sum(t for _, t in inside))
    assert len(kept._at_s) <= 24
