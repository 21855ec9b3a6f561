"""Writes ops/prometheus/slo.rules.yml from the objectives in ops/slo: counts per window, alerts on burn rates.

`.venv/bin/python scripts/write_slo_rules.py`; a test fails while the file says something else. The counts of a window
are recorded once and divided where they are used, so that the guard of low traffic sees counts as well.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from domain.slo import Objective
from gateway.slo_files import ServiceLevel, service_levels

FILE = Path(__file__).resolve().parents[1] / "ops" / "prometheus" / "slo.rules.yml"
RUNBOOK = "docs/runbooks/slo-burns.md"

_INTRO = """\
# Written by scripts/write_slo_rules.py from ops/slo; change those files, then run it.
# slo:bad:5m and slo:total:5m are what was counted in five minutes, by objective (label slo) and node (label instance).
"""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def rules() -> str:
    """The whole file."""
    levels = service_levels()
    groups = [
        {
            "name": "recount-slo",
            "interval": "1m",
            "rules": [rule for level in levels for rule in (*_counts(level), *_alerts(level.objective))],
        },
        {
            # A month is read for the dashboards alone.
            "name": "recount-slo-budgets",
            "interval": "5m",
            "rules": [rule for level in levels for rule in _budget(level)],
        },
    ]
    written: str = yaml.safe_dump({"groups": groups}, sort_keys=False, width=110, allow_unicode=True)
    return _INTRO + written


def _counts(level: ServiceLevel) -> Iterator[dict[str, Any]]:
    """What was counted, for every window of the alerts."""
    windows = {each for alert in level.objective.alerts for each in (alert.long_s, alert.short_s)}
    if level.objective.no_data is not None:
        windows.add(level.objective.no_data.window_s)
    for window_s in sorted(windows):
        yield from _counted(level, window_s)


def _counted(level: ServiceLevel, window_s: float) -> Iterator[dict[str, Any]]:
    window = duration(window_s)
    total = f"sum by (instance) (increase({level.indicator.total.text}[{window}]))"
    part = f"sum by (instance) (increase({level.indicator.part.text}[{window}]))"
    bad = f"clamp_min({total} - {part}, 0)" if level.indicator.is_part_good else part
    yield {"record": f"slo:total:{window}", "expr": total, "labels": {"slo": level.objective.name}}
    yield {"record": f"slo:bad:{window}", "expr": bad, "labels": {"slo": level.objective.name}}


def _alerts(objective: Objective) -> Iterator[dict[str, Any]]:
    chosen = f'{{slo="{objective.name}"}}'
    for alert in objective.alerts:
        long, short = duration(alert.long_s), duration(alert.short_s)
        limit = f"{alert.burn_rate:g} * {objective.budget:.6g}"
        yield {
            "alert": "RecountBudgetBurns",
            "expr": f"slo:bad:{long}{chosen} / slo:total:{long}{chosen} > {limit}"
            f" and slo:bad:{short}{chosen} / slo:total:{short}{chosen} > {limit}"
            f" and slo:bad:{long}{chosen} >= {objective.bad_min:g}",
            "labels": {"slo": objective.name, "policy": alert.name, "severity": alert.severity},
            "annotations": {
                "summary": f"{{{{ $labels.instance }}}}: {objective.title}: in {long}, "
                f"{{{{ $value | humanizePercentage }}}} is bad; {100 * objective.budget:.3g} % may be",
                "runbook": RUNBOOK,
            },
        }
    if objective.no_data is not None:
        window = duration(objective.no_data.window_s)
        yield {
            "alert": "RecountNothingMeasured",
            # Of what was there a window ago: a node that has just started has measured nothing yet.
            "expr": f"slo:total:{window}{chosen} == 0 and slo:total:{window}{chosen} offset {window}",
            "labels": {"slo": objective.name, "policy": objective.no_data.name, "severity": objective.no_data.severity},
            "annotations": {
                "summary": f"{{{{ $labels.instance }}}}: {objective.title}: nothing was measured for {window}",
                "runbook": RUNBOOK,
            },
        }


def _budget(level: ServiceLevel) -> Iterator[dict[str, Any]]:
    """What is left of the budget: 1 is all of it, below 0 the objective is missed."""
    yield from _counted(level, level.objective.window_s)
    window, chosen = duration(level.objective.window_s), f'{{slo="{level.objective.name}"}}'
    yield {
        "record": "slo:budget_left",
        "expr": f"1 - slo:bad:{window}{chosen} / slo:total:{window}{chosen} / {level.objective.budget:.6g}",
        "labels": {"slo": level.objective.name},
    }


def duration(of_s: float) -> str:
    """Seconds as Prometheus writes them: `5m`, `6h`, `30d`."""
    length, unit = next((length, unit) for length, unit in _UNITS if of_s % length == 0)
    return f"{of_s / length:g}{unit}"


def main() -> int:
    FILE.write_text(rules(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
