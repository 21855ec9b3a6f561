"""When a node has an intake too few, and when one too many: judged by what they take in and how long they are idle.

Behind are intakes that have more to do than they manage: what waits on the stream takes them long at their own rate,
and they are hardly ever idle. A backlog alone says little: what is above a tenant's rate waits there as well, while
they are idle, and no further intake may take it in.
"""

from collections import deque
from collections.abc import Mapping

import msgspec

from domain.watch_settings import ScalingSettings

# A rate is of `behind_s`, and of so long at least: a batch may take seconds.
WINDOW_MIN_S = 3.0
# A batch: so much is always under way.
BACKLOG_MIN = 500
BUSY_MIN = 0.8
# So busy the others would be with one fewer: well below `BUSY_MIN`, or the one that was ended is wanted back.
QUIET_BUSY_MAX = 0.5
# One more intake has helped if so much more is taken in, or what waits takes so much less time.
HELPED_RATE = 1.1
HELPED_DRAIN = 0.8


class IntakeCount(msgspec.Struct, frozen=True, kw_only=True):
    """What an intake counted since its process started: messages, and seconds on its own clock."""

    messages: float
    idle_s: float
    up_s: float


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the intakes had to do lately.

    Args:
        backlog: messages on the stream that are not taken in.
        per_second: how many were taken in.
        busy: the share of their time in which they had no room for more, 0 to 1.
    """

    backlog: int
    per_second: float
    busy: float

    @property
    def drain_s(self) -> float:
        """How long they need for the backlog at that rate, if nothing more comes; infinite if they take in nothing."""
        if self.backlog <= BACKLOG_MIN:
            return 0.0
        return self.backlog / self.per_second if self.per_second else float("inf")


def load_between(before: Mapping[str, IntakeCount], now: Mapping[str, IntakeCount], backlog: int) -> Load | None:
    """What was done between two looks; `None` unless they are of the same processes, and some time lies between."""
    if not now or before.keys() != now.keys():
        return None
    spans_s = {name: now[name].up_s - before[name].up_s for name in now}
    if any(span_s <= 0 or now[name].messages < before[name].messages for name, span_s in spans_s.items()):
        return None
    idle = sum((now[name].idle_s - before[name].idle_s) / span_s for name, span_s in spans_s.items()) / len(now)
    return Load(
        backlog=backlog,
        per_second=sum((now[name].messages - before[name].messages) / span_s for name, span_s in spans_s.items()),
        busy=min(max(1 - idle, 0.0), 1.0),
    )


def is_behind(load: Load, settings: ScalingSettings) -> bool:
    """Whether one more could help: the work is there, and it is the intakes that do not manage it."""
    return load.per_second > 0 and load.busy >= BUSY_MIN and load.drain_s > settings.drain_s


def is_quiet(load: Load, intakes: int) -> bool:
    """Whether one fewer of so many would do. Intakes that take in many small batches look busier than they are."""
    return intakes > 1 and load.busy * intakes / (intakes - 1) <= QUIET_BUSY_MAX


def has_helped(before: Load, now: Load, settings: ScalingSettings) -> bool:
    """Whether it is better with one more: nothing waits long any more, or less long, or more is taken in.

    More may come meanwhile than they all manage: then what waits grows, and the one more helps all the same.
    """
    return (
        not is_behind(now, settings)
        or now.drain_s <= HELPED_DRAIN * before.drain_s
        or now.per_second >= HELPED_RATE * before.per_second
    )


class LoadWatch:
    """Looks at the intakes every second or so, and remembers since when they are behind or quiet.

    Args:
        settings: what is long.
    """

    def __init__(self, settings: ScalingSettings) -> None:
        self._settings = settings
        self._window_s = max(settings.behind_s, WINDOW_MIN_S)
        self._seen: deque[tuple[float, Mapping[str, IntakeCount]]] = deque()
        self._behind_since_s: float | None = None
        self._quiet_since_s: float | None = None
        self.load: Load | None = None

    def forget(self) -> None:
        """Begin anew: what was seen was of another number of intakes, or is not known to go on."""
        self._seen.clear()
        self._behind_since_s = self._quiet_since_s = self.load = None

    def see(self, at_s: float, counts: Mapping[str, IntakeCount], backlog: int) -> None:
        """A look: what each intake counted, and how many messages wait."""
        while len(self._seen) > 1 and self._seen[1][0] <= at_s - self._window_s:
            self._seen.popleft()
        before = self._seen[0] if self._seen else None
        self._seen.append((at_s, counts))
        if before is None or at_s - before[0] < WINDOW_MIN_S:
            return
        self.load = load = load_between(before[1], counts, backlog)
        if load is None:
            self.forget()
            self._seen.append((at_s, counts))
            return
        if not is_behind(load, self._settings):
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = at_s
        if not is_quiet(load, len(counts)):
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = at_s

    def is_behind(self, at_s: float) -> bool:
        """Whether they have been behind for `behind_s`."""
        return self._behind_since_s is not None and at_s - self._behind_since_s >= self._settings.behind_s

    def is_quiet(self, at_s: float) -> bool:
        """Whether they have been quiet for `quiet_s`."""
        return self._quiet_since_s is not None and at_s - self._quiet_since_s >= self._settings.quiet_s
