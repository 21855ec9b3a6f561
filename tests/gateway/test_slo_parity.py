"""The engine in the node and the rules in Prometheus fire at the same minutes, on the same series.

`promtool test rules` is the other side. It comes with the Debian package `prometheus`; only the program is needed.
"""

import random
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from domain.slo import SloAlert
from gateway.slo import Sample, SloEngine
from gateway.slo_files import service_levels
from tests.tidy.source import ROOT

RULES = ROOT / "ops" / "prometheus" / "slo.rules.yml"
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
MINUTES = 6 * 60
ASK = "/v1/{tenant}/ask"
ALERT = {"no-data": "RecountNothingMeasured"}

Series = dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]


def series(metric: str, per_minute: Callable[[int], float], **labels: str) -> Series:
    """A counter that grows by so much in each minute; after two hours and a half its process begins again at 0."""
    value, values = 1_000.0, []
    for minute in range(MINUTES):
        value = per_minute(minute) if minute == 150 else value + per_minute(minute)
        values.append(value)
    return {(metric, tuple(sorted({"instance": "node", **labels}.items()))): values}


def between(first: int, last: int, value: float, otherwise: float = 0.0) -> Callable[[int], float]:
    return lambda minute: value if first <= minute < last else otherwise


def weather() -> Series:
    """Six hours with everything that an alert is there for, and what none is there for."""
    noise = random.Random(7)
    return {
        # Availability: a short outage, and hours at one error in a hundred, ten times the budget.
        **series("recount_http_requests_total", lambda _: 200.0 + noise.randint(0, 20), route=ASK, status="200"),
        **series("recount_http_requests_total", between(60, 72, 200), route=ASK, status="503"),
        **series("recount_http_requests_total", between(180, 340, 2), route="/v1/{tenant}/payments", status="500"),
        **series("recount_http_requests_total", lambda _: 60.0, route="/metrics", status="500"),
        # Latency: half of all are slow for half an hour.
        **series("recount_http_request_seconds_bucket", between(230, 260, 50, 100), route=ASK, le="0.5"),
        **series("recount_http_request_seconds_bucket", lambda _: 100.0, route=ASK, le="1.0"),
        **series("recount_http_request_seconds_count", lambda _: 100.0, route=ASK),
        # Accuracy: wrong for three quarters of an hour.
        **series("recount_probes_total", between(200, 245, 1, 4), outcome="right"),
        **series("recount_probes_total", between(200, 245, 3), outcome="wrong"),
        **series("recount_probes_total", lambda _: 0.0, outcome="abstained"),
        **series("recount_probes_total", between(0, 100, 5), outcome="unanswered"),
        # Freshness: one projection stands still for twenty minutes; later nobody looks any more.
        **series("recount_staleness_seconds_bucket", between(0, 260, 60), projection="documents", le="2.5"),
        **series(
            "recount_staleness_seconds_bucket",
            lambda minute: 60.0 if minute < 100 or 120 <= minute < 260 else 0.0,
            projection="payments",
            le="2.5",
        ),
        **series("recount_staleness_seconds_count", between(0, 260, 60), projection="documents"),
        **series("recount_staleness_seconds_count", between(0, 260, 60), projection="payments"),
        # Validity: a message an hour is bad of few, which is above the budget and wakes nobody; then many are.
        **series("recount_source_messages_total", between(300, 330, 60, 0.5), tenant="acme", source="stripe"),
        **series(
            "recount_source_quarantined_total",
            lambda minute: 30.0 if 300 <= minute < 330 else float(minute % 60 == 0),
            tenant="acme",
            source="stripe",
        ),
    }


def fired_by_the_engine(found: Series) -> list[frozenset[tuple[str, str, str]]]:
    """Objective, alert and severity of what fires, minute by minute."""
    told: list[SloAlert] = []
    engine = SloEngine(service_levels(), on_alert=told.append)
    fires: set[tuple[str, str, str]] = set()
    by_minute = []
    for minute in range(MINUTES):
        samples = [
            Sample(metric=metric, labels=dict(labels), value=values[minute])
            for (metric, labels), values in found.items()
        ]
        engine.observe(samples, BEGIN + timedelta(minutes=minute))
        while told:
            alert = told.pop()
            name = (alert.slo, alert.alert, alert.severity)
            (fires.add if alert.is_firing else fires.remove)(name)
        by_minute.append(frozenset(fires))
    return by_minute


def expected(fires: frozenset[tuple[str, str, str]]) -> list[dict[str, object]]:
    return [
        {
            "labels": f'ALERTS{{alertname="{ALERT.get(policy, "RecountBudgetBurns")}", alertstate="firing", '
            f'instance="node", policy="{policy}", severity="{severity}", slo="{slo}"}}',
            "value": 1,
        }
        for slo, policy, severity in sorted(fires)
    ]


def test_the_weather_brings_every_alert_and_ends_it() -> None:
    by_minute = fired_by_the_engine(weather())
    seen = {(slo, policy) for fires in by_minute for slo, policy, _ in fires}

    assert seen >= {
        ("availability", "page-quick"),
        ("availability", "page-slow"),
        ("availability", "ticket-quick"),
        ("availability", "ticket-slow"),
        ("answer-latency", "page-quick"),
        ("answer-accuracy", "page-quick"),
        ("data-freshness", "page-quick"),
        ("data-freshness", "no-data"),
        ("ingestion-validity", "page-quick"),
    }
    pages = {slo for fires in by_minute[:300] for slo, _, severity in fires if severity == "page"}
    assert "ingestion-validity" not in pages
    assert all(("answer-latency", "page-quick", "page") not in fires for fires in by_minute[270:])


@pytest.mark.long
def test_prometheus_and_the_node_fire_at_the_same_minutes(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: install the Debian package `prometheus`, or put promtool into the PATH")
    found = weather()
    by_minute = fired_by_the_engine(found)
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": metric + "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}",
                        "values": " ".join(map(str, values)),
                    }
                    for (metric, labels), values in found.items()
                ],
                "promql_expr_test": [
                    {"expr": "ALERTS", "eval_time": f"{minute}m", "exp_samples": expected(fires)}
                    for minute, fires in enumerate(by_minute)
                ],
            }
        ],
    }
    file = tmp_path / "parity.yml"
    file.write_text(yaml.safe_dump(test, sort_keys=False, width=10_000))

    checked = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False, timeout=60)

    assert checked.returncode == 0, (checked.stdout + checked.stderr)[-4_000:]
