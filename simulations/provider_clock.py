"""The simulated provider's time, which can be moved forward, and what is to happen when it gets there."""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta


class VirtualClock:
    """Runs with the clock below it, ahead by all that it was advanced; or stands still until it is advanced.

    Args:
        now: the clock below.
        start: the time to begin at; by default that of the clock below.
        is_frozen: whether only `advance` moves it.
    """

    def __init__(self, now: Callable[[], datetime], *, start: datetime | None = None, is_frozen: bool = False) -> None:
        self._now = now
        self._began_at = now()
        self._start = start or self._began_at
        self._ahead = timedelta()
        self._is_frozen = is_frozen
        # While something due is done, it is the time for which it was planned.
        self._acting_at: datetime | None = None
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._planned = 0

    def __call__(self) -> datetime:
        if self._acting_at is not None:
            return self._acting_at
        passed = timedelta() if self._is_frozen else self._now() - self._began_at
        return self._start + self._ahead + passed

    def plan(self, at: datetime, act: Callable[[], None]) -> None:
        """Have `act` done at a time; of two planned for one time, the first planned is the first done."""
        heapq.heappush(self._agenda, (at, self._planned, act))
        self._planned += 1

    def next_s(self) -> float | None:
        """The seconds until something is due, 0 if it is already; `None` if nothing is planned."""
        return max((self._agenda[0][0] - self()).total_seconds(), 0.0) if self._agenda else None

    def advance(self, by: timedelta) -> None:
        """Let time pass at once, and do what falls due on the way, each at its own time."""
        assert by >= timedelta(), "time passes forward"
        self._ahead += by
        self.catch_up()

    def catch_up(self) -> None:
        """Do all that is due by now."""
        until = self()
        while self._agenda and self._agenda[0][0] <= until:
            at, _, act = heapq.heappop(self._agenda)
            self._acting_at = at
            try:
                act()
            finally:
                self._acting_at = None
