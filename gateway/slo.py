"""The node keeps its own error budgets: the counters, windows and alerts of the rules for Prometheus, without one.

Those rules are written from the same files (scripts/write_slo_rules.py), and a test feeds both one series.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from domain.slo import Counts, History, SloAlert, Standing, compressed, firing, standing
from gateway.slo_files import Selector, ServiceLevel
from gateway.slo_history import SloHistory

# Five samples in the shortest window of the alerts.
STEP_S = 60.0

log = structlog.get_logger("slo")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One series as it stands."""

    metric: str
    labels: Mapping[str, str]
    value: float


class _Meter:
    """How much the series of a selector have grown since the last look.

    A counter that is smaller than it was began again at 0, and one that was not there before began at 0. What the first
    look of all finds is not growth.
    """

    def __init__(self, selector: Selector) -> None:
        self._selector = selector
        self._last: dict[tuple[tuple[str, str], ...], float] = {}
        self._has_looked = False

    def grown(self, by_metric: Mapping[str, Sequence[Sample]]) -> float | None:
        """The growth, or `None` while there never was such a series."""
        grown = 0.0
        for sample in by_metric.get(self._selector.metric, ()):
            if self._selector.selects(sample.metric, sample.labels):
                series = tuple(sorted(sample.labels.items()))
                last = self._last.get(series, 0.0 if self._has_looked else sample.value)
                grown += sample.value - last if sample.value >= last else sample.value
                self._last[series] = sample.value
        self._has_looked = True
        return grown if self._last else None


class _Watched:
    """One objective with its meters, its history and what fires."""

    def __init__(self, level: ServiceLevel, time_scale: float) -> None:
        self.objective = compressed(level.objective, time_scale)
        self._part, self._total = _Meter(level.indicator.part), _Meter(level.indicator.total)
        self._is_part_good = level.indicator.is_part_good
        windows = [self.objective.window_s, *(alert.long_s for alert in self.objective.alerts)]
        self.history = History(max(windows), STEP_S / time_scale)
        self.firing: frozenset[str] = frozenset()

    def count(self, by_metric: Mapping[str, Sequence[Sample]]) -> Counts | None:
        """What was counted since the last look; `None` while there is nothing that counts."""
        part, total = self._part.grown(by_metric), self._total.grown(by_metric)
        if total is None:
            return None
        part = part or 0.0
        return Counts(bad=max(total - part, 0.0) if self._is_part_good else part, total=total)

    def changed(self, at: datetime) -> list[SloAlert]:
        """The alerts that began to fire or ended with the last sample."""
        stands = standing(self.objective, self.history)
        fires = firing(self.objective, stands)
        rates = {burn.alert: burn.long_rate for burn in stands.burns}
        before, self.firing = self.firing, frozenset(fires)
        return [
            SloAlert(
                slo=self.objective.name,
                alert=name,
                severity=severity,
                is_firing=name in fires,
                at=at,
                burn_rate=rates.get(name),
                budget_left=stands.budget_left,
            )
            for name, severity in self.objective.severities.items()
            if (name in before) != (name in fires)
        ]


class SloEngine:
    """Burn rates, budgets and alerts of all objectives.

    Args:
        levels: the objectives and their indicators.
        on_alert: told when an alert begins to fire and when it ends: the port for whoever remedies or notifies.
        time_scale: by how much every window is shortened, for simulations.
        kept: what was counted before this start, and where it is kept; `None` keeps nothing.
    """

    def __init__(
        self,
        levels: Sequence[ServiceLevel],
        *,
        on_alert: Callable[[SloAlert], None] = lambda alert: None,
        time_scale: float = 1.0,
        kept: SloHistory | None = None,
    ) -> None:
        self.time_scale = time_scale
        self.step_s = STEP_S / time_scale
        self.metrics = frozenset(
            selector.metric for level in levels for selector in (level.indicator.part, level.indicator.total)
        )
        self._on_alert = on_alert
        self._kept = kept
        self._watched = [_Watched(level, time_scale) for level in levels]
        self._at_s = 0.0
        if kept is not None:
            self._at_s = kept.last_s()
            for each in self._watched:
                for at_s, counts in kept.read(each.objective.name):
                    each.history.add(at_s, counts)

    def observe(self, samples: Iterable[Sample], at: datetime) -> None:
        """Take the series as they stand into account, and tell what began to fire and what ended.

        A time before the last one, of a clock that was set back, is passed over: what grew is in the next sample.
        """
        if at.timestamp() <= self._at_s:
            return
        self._at_s = at.timestamp()
        by_metric: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            by_metric[sample.metric].append(sample)
        added: dict[str, Counts] = {}
        alerts: list[SloAlert] = []
        for each in self._watched:
            if (counts := each.count(by_metric)) is not None:
                each.history.add(self._at_s, counts)
                added[each.objective.name] = counts
                alerts += each.changed(at)
        if self._kept is not None:
            self._kept.add(self._at_s, added)
        for alert in alerts:
            _note(alert)
            try:
                self._on_alert(alert)
            except Exception:
                # The next alert may be for somebody who can act.
                log.exception("slo_alert_not_taken", slo=alert.slo, alert=alert.alert)

    def standings(self) -> list[Standing]:
        """How every objective stands, the one with the least budget left first."""
        stand = [standing(each.objective, each.history) for each in self._watched]
        return sorted(stand, key=lambda each: (each.budget_left, each.slo))

    def firing(self) -> dict[str, frozenset[str]]:
        """The names of the alerts that fire, by objective."""
        return {each.objective.name: each.firing for each in self._watched if each.firing}


def _note(alert: SloAlert) -> None:
    fields = {
        "slo": alert.slo,
        "alert": alert.alert,
        "severity": alert.severity,
        "burn_rate": None if alert.burn_rate is None else round(alert.burn_rate, 2),
        "budget_left": round(alert.budget_left, 4),
    }
    if alert.is_firing:
        log.warning("slo_alert_fired", **fields)
    else:
        log.info("slo_alert_resolved", **fields)
