"""Service level objectives: what is promised, how fast its error budget burns, and when that wakes somebody.

Alerts follow the Google SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": a long window says that much of
the budget is gone, a short one that it is still being spent. Counts are of events: those that came, and those of them
that were bad.
"""

from array import array
from bisect import bisect_left
from datetime import datetime
from typing import Literal

import msgspec

Severity = Literal["page", "ticket"]


class BurnAlert(msgspec.Struct, frozen=True, kw_only=True):
    """Fires while the budget burns faster than `burn_rate` over both windows.

    At a burn rate of 1 the budget of the objective's window is gone exactly when that window is over.
    """

    name: str
    severity: Severity
    burn_rate: float
    long_s: float
    short_s: float


class NoDataAlert(msgspec.Struct, frozen=True, kw_only=True):
    """Fires when nothing was counted for `window_s`, of what always has something to count."""

    name: str
    severity: Severity
    window_s: float


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised: in any `window_s`, at least the share `target` of all events is good.

    `bad_min` is the guard of low traffic: below so many bad events in its long window no alert fires, for one of twenty
    requests alone would be fifty times the budget of 99.9 %.
    """

    name: str
    title: str
    description: str
    target: float
    window_s: float
    bad_min: float = 0.0
    alerts: tuple[BurnAlert, ...] = ()
    no_data: NoDataAlert | None = None

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return 1.0 - self.target

    @property
    def severities(self) -> dict[str, Severity]:
        """The names of all its alerts, and how urgent each is."""
        missing = () if self.no_data is None else (self.no_data,)
        return {alert.name: alert.severity for alert in (*self.alerts, *missing)}


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Events in a window, and the bad ones among them."""

    bad: float
    total: float

    def burn_rate(self, budget: float) -> float | None:
        """How many times faster than allowed the budget is spent; `None` where nothing was counted."""
        return self.bad / self.total / budget if self.total > 0 else None


class History:
    """What was counted, sample by sample, for as long as the longest window looks back.

    A window holds the samples from its beginning to its end, both included: what `increase()` of Prometheus 2 sees.

    Args:
        keep_s: the longest window.
        step_s: the time between two samples. They come when they can: one that is half a step too old is still taken to
            lie at the beginning of a window.
    """

    def __init__(self, keep_s: float, step_s: float) -> None:
        self._keep_s = keep_s
        self._slack_s = step_s / 2
        self._at_s = array("d")
        self._bad = array("d")
        self._total = array("d")

    def add(self, at_s: float, grown: Counts) -> None:
        """A sample at a time later than all before: what was counted since the last one."""
        assert not self._at_s or at_s > self._at_s[-1], "samples come in the order of time"
        before_bad, before_total = (self._bad[-1], self._total[-1]) if self._at_s else (0.0, 0.0)
        self._at_s.append(at_s)
        self._bad.append(before_bad + grown.bad)
        self._total.append(before_total + grown.total)
        # A tenth too many is kept, so that what is too old is not moved away sample by sample.
        if self._at_s[0] < at_s - 1.1 * self._keep_s:
            old = bisect_left(self._at_s, at_s - self._keep_s - self._slack_s)
            del self._at_s[:old], self._bad[:old], self._total[:old]

    def last(self, window_s: float) -> Counts:
        """What was counted in the window that ends with the last sample."""
        if not self._at_s:
            return Counts(bad=0.0, total=0.0)
        first = bisect_left(self._at_s, self._at_s[-1] - window_s - self._slack_s)
        return Counts(bad=self._bad[-1] - self._bad[first], total=self._total[-1] - self._total[first])

    def reaches_back(self, window_s: float) -> bool:
        """Whether there are samples from before the window."""
        return bool(self._at_s) and self._at_s[0] < self._at_s[-1] - window_s - self._slack_s


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """How one alert stands. A rate is `None` where nothing was counted."""

    alert: str
    severity: Severity
    threshold: float
    long_s: float
    short_s: float
    long_rate: float | None
    short_rate: float | None
    is_firing: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an objective stands: what was counted in its window, and what is left of the budget (1 is all of it)."""

    slo: str
    title: str
    target: float
    window_s: float
    bad: float
    total: float
    budget_left: float
    burns: tuple[Burn, ...]
    is_without_data: bool


class SloAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert began to fire, or ended. What remedies, and who is told, begin with this.

    `burn_rate` is that of the long window when it changed; `None` for an alert that misses data.
    """

    slo: str
    alert: str
    severity: Severity
    is_firing: bool
    at: datetime
    burn_rate: float | None
    budget_left: float


def standing(objective: Objective, history: History) -> Standing:
    """How an objective stands at the last sample."""
    counted = history.last(objective.window_s)
    spent = counted.burn_rate(objective.budget)
    no_data = objective.no_data
    return Standing(
        slo=objective.name,
        title=objective.title,
        target=objective.target,
        window_s=objective.window_s,
        bad=counted.bad,
        total=counted.total,
        budget_left=1.0 if spent is None else 1.0 - spent,
        burns=tuple(_burn(objective, alert, history) for alert in objective.alerts),
        is_without_data=no_data is not None
        and history.reaches_back(no_data.window_s)
        and history.last(no_data.window_s).total == 0,
    )


def _burn(objective: Objective, alert: BurnAlert, history: History) -> Burn:
    long, short = history.last(alert.long_s), history.last(alert.short_s)
    long_rate, short_rate = long.burn_rate(objective.budget), short.burn_rate(objective.budget)
    return Burn(
        alert=alert.name,
        severity=alert.severity,
        threshold=alert.burn_rate,
        long_s=alert.long_s,
        short_s=alert.short_s,
        long_rate=long_rate,
        short_rate=short_rate,
        is_firing=long_rate is not None
        and short_rate is not None
        and long_rate > alert.burn_rate
        and short_rate > alert.burn_rate
        and long.bad >= objective.bad_min,
    )


def firing(objective: Objective, stands: Standing) -> set[str]:
    """The names of the alerts that fire."""
    found = {burn.alert for burn in stands.burns if burn.is_firing}
    if objective.no_data is not None and stands.is_without_data:
        found.add(objective.no_data.name)
    return found


def compressed(objective: Objective, time_scale: float) -> Objective:
    """The same objective in a world whose time passes `time_scale` times faster: every window is so much shorter."""
    no_data = objective.no_data
    return msgspec.structs.replace(
        objective,
        window_s=objective.window_s / time_scale,
        alerts=tuple(
            msgspec.structs.replace(each, long_s=each.long_s / time_scale, short_s=each.short_s / time_scale)
            for each in objective.alerts
        ),
        no_data=no_data and msgspec.structs.replace(no_data, window_s=no_data.window_s / time_scale),
    )
