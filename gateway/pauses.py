"""Sources that are paused: their webhooks are asked to come later, and their APIs are not asked.

Not durable, and never for good: a pause ends by itself, and a node that starts anew finds out anew.
"""

from collections.abc import Callable


class Pauses:
    """Which sources are paused, and for how long. What others publish on the bus is not held up.

    Args:
        clock_s: a clock that never goes back, in seconds.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._until_s: dict[tuple[str, str], float] = {}

    def pause(self, tenant: str, source: str, for_s: float) -> None:
        self._until_s[tenant, source] = self._clock_s() + for_s

    def resume(self, tenant: str, source: str) -> None:
        self._until_s.pop((tenant, source), None)

    def left_s(self, tenant: str, source: str) -> float:
        """For how long the source is still paused, 0 if it is not."""
        return max(0.0, self._until_s.get((tenant, source), 0.0) - self._clock_s())
