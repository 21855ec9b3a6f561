"""The engine tells once what begins to fire and once what ends, counts over restarts and loses nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from structlog.testing import capture_logs

from domain.slo import BurnAlert, Counts, Objective, SloAlert
from gateway.slo import Sample, SloEngine
from gateway.slo_files import Indicator, Selector, ServiceLevel
from gateway.slo_history import SloHistory

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
LEVEL = ServiceLevel(
    objective=Objective(
        name="availability",
        title="Availability",
        description="",
        target=0.99,
        window_s=86_400.0,
        alerts=(BurnAlert(name="page", severity="page", burn_rate=10.0, long_s=3_600.0, short_s=300.0),),
    ),
    indicator=Indicator(
        part=Selector.parse('requests{status="500"}'), total=Selector.parse("requests"), is_part_good=False
    ),
)


class World:
    """An engine, the counters that it looks at, and what it told."""

    def __init__(
        self, history: SloHistory | None = None, *, on_alert: Callable[[SloAlert], None] | None = None
    ) -> None:
        self.told: list[SloAlert] = []
        self.engine = SloEngine([LEVEL], on_alert=on_alert or self.told.append, kept=history)
        self.counters: dict[str, float] = {}
        self.minute = 0

    def minutes(self, count: int, **grows: float) -> None:
        """So many minutes, in each of which the counters grow by so much."""
        for _ in range(count):
            for status, by in grows.items():
                self.counters[status] = self.counters.get(status, 0.0) + by
            samples = [
                Sample(metric="requests", labels={"status": status.removeprefix("_")}, value=value)
                for status, value in self.counters.items()
            ]
            self.engine.observe(samples, BEGIN + timedelta(minutes=self.minute))
            self.minute += 1

    @property
    def counted(self) -> tuple[float, float]:
        [stands] = self.engine.standings()
        return stands.bad, stands.total


def test_an_alert_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    world = World()

    with capture_logs() as lines:
        world.minutes(60, _200=100, _500=0)
        world.minutes(20, _200=100, _500=100)
        world.minutes(60, _200=100, _500=0)

    assert [(alert.slo, alert.alert, alert.is_firing) for alert in world.told] == [
        ("availability", "page", True),
        ("availability", "page", False),
    ]
    [began, ended] = world.told
    assert began.burn_rate is not None
    assert began.burn_rate > 10
    assert ended.at > began.at
    assert ended.budget_left < began.budget_left < 1
    assert [line["event"] for line in lines] == ["slo_alert_fired", "slo_alert_resolved"]


def test_what_was_counted_before_the_first_look_does_not_count() -> None:
    world = World()
    world.counters = {"_200": 1_000_000.0, "_500": 50_000.0}

    world.minutes(3, _200=10)

    assert world.counted == (0.0, 20.0)


def test_a_counter_that_begins_again_goes_on_from_nothing() -> None:
    world = World()
    world.minutes(5, _200=10, _500=1)
    world.counters = {"_200": 0.0, "_500": 0.0}
    world.minutes(5, _200=10, _500=1)

    assert world.counted == (9.0, 99.0)


def test_a_series_that_appears_later_began_at_nothing() -> None:
    world = World()
    world.minutes(2, _200=10)
    world.minutes(1, _200=10, _500=3)

    assert world.counted == (3.0, 23.0)


def test_a_clock_that_is_set_back_counts_nothing_twice_and_loses_nothing() -> None:
    world = World()
    world.minutes(5, _200=10)
    world.minute -= 3
    world.minutes(10, _200=10)

    assert world.counted == (0.0, 140.0)


def test_the_budget_is_not_new_after_a_restart(tmp_path: Path) -> None:
    history = SloHistory(tmp_path / "slo.sqlite", keep_s=86_400.0)
    first = World(history)
    first.minutes(10, _200=10, _500=1)
    history.close()

    reopened = SloHistory(tmp_path / "slo.sqlite", keep_s=86_400.0)
    second = World(reopened)
    second.minute = first.minute
    second.minutes(10, _200=10, _500=1)

    assert second.counted == (18.0, 198.0)
    reopened.close()


def test_what_is_older_than_every_window_is_not_kept(tmp_path: Path) -> None:
    history = SloHistory(tmp_path / "slo.sqlite", keep_s=600.0)
    for minute in range(60):
        history.add(minute * 60.0, {"availability": Counts(bad=0.0, total=1.0)})

    assert [at_s for at_s, _ in history.read("availability")] == [minute * 60.0 for minute in range(49, 60)]
    assert history.last_s() == 59 * 60.0
    assert history.read("another") == []
    history.close()


def test_who_is_told_of_an_alert_may_fail_and_the_node_keeps_counting() -> None:
    def fail(alert: SloAlert) -> None:
        raise RuntimeError(alert.alert)

    world = World(on_alert=fail)
    with capture_logs() as lines:
        world.minutes(10, _200=100)
        world.minutes(5, _500=1_000)

    assert world.engine.firing() == {"availability": {"page"}}
    assert world.counted == (5_000.0, 5_900.0)
    assert [line["event"] for line in lines] == ["slo_alert_fired", "slo_alert_not_taken"]


def test_nothing_that_counts_is_no_sample() -> None:
    world = World()
    world.minutes(5)

    [stands] = world.engine.standings()
    assert (stands.total, stands.budget_left, stands.burns[0].long_rate) == (0.0, 1.0, None)
