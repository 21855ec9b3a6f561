"""How stale answers may be, once a second: for how long the oldest thing in the log that is not visible has waited."""

from collections import deque
from collections.abc import Mapping

from prometheus_client import Histogram

from actors.index import PROJECTIONS

STALENESS_SECONDS = Histogram(
    "recount_staleness_seconds",
    "Once a second: for how long the oldest event that is not visible has waited, 0 if all are",
    ["projection"],
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


class Staleness:
    """Compares where the log's head was with how far the projections are, as the gateway hears of them.

    A projection that stands still becomes staler with every second, and so does one of which nothing is heard.
    """

    def __init__(self) -> None:
        self._heads: dict[str, deque[tuple[int, float]]] = {projection: deque() for projection in PROJECTIONS}
        self._last_head = 0
        for projection in PROJECTIONS:
            STALENESS_SECONDS.labels(projection)

    def look(self, head: int, projected: Mapping[str, int], at_s: float) -> dict[str, float]:
        """For how long something has waited to be visible, by projection, and count it.

        Args:
            head: the last position of the log.
            projected: how far each projection is.
            at_s: the time, monotonic.
        """
        stale_s = {}
        for projection, heads in self._heads.items():
            if head > self._last_head:
                heads.append((head, at_s))
            while heads and heads[0][0] <= projected.get(projection, 0):
                heads.popleft()
            stale_s[projection] = at_s - heads[0][1] if heads else 0.0
            STALENESS_SECONDS.labels(projection).observe(stale_s[projection])
        self._last_head = max(head, self._last_head)
        return stale_s
