"""Writes the dashboards in ops/grafana with Grafana's own builders, so that the JSON is what this Grafana reads.

`python scripts/write_dashboards.py` with the package `grafana-foundation-sdk` for Grafana 11.6, which is only needed
here; what it writes is committed, and a test compares the two where the package is installed. `ops/docker-compose.yml`
loads them.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / "ops" / "grafana"
PACKAGE = "grafana_foundation_sdk"
NODE = 'instance=~"$instance"'
WEBHOOKS, ASK = 'route="/v1/{tenant}/webhooks/{source}"', 'route="/v1/{tenant}/ask"'
WIDTH, HEIGHT = 12, 8


class Panel(NamedTuple):
    """A graph: what it shows, in which unit, and its series as (expression, legend)."""

    title: str
    unit: str
    series: Sequence[tuple[str, str]]
    description: str = ""
    is_above_0: bool = True


def _quantiles(metric: str, more: str = "") -> list[tuple[str, str]]:
    chosen = f"{NODE},{more}" if more else NODE
    return [
        (f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{chosen}}}[1m])))", name)
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def _share(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def _by_host(figure: str) -> list[tuple[str, str]]:
    return [(f"recount_host_{figure}{{{NODE}}}", "{{host}}")]


def _rate_by_host(figure: str, legend: str = "{{host}}") -> tuple[str, str]:
    return (f"sum by (host) (rate(recount_host_{figure}{{{NODE}}}[1m]))", legend)


def _requests(route: str) -> list[tuple[str, str]]:
    return [(f"sum by (status) (rate(recount_http_requests_total{{{NODE},{route}}}[1m]))", "{{status}}")]


NODE_PANELS = [
    Panel(
        "Webhooks by outcome", "reqps", _requests(WEBHOOKS), "202 is durable. 503: not now, the provider sends again."
    ),
    Panel("Questions by outcome", "reqps", _requests(ASK)),
    Panel("Time to answer a question", "s", _quantiles("recount_http_request_seconds", ASK)),
    Panel("Time to take a webhook", "s", _quantiles("recount_http_request_seconds", WEBHOOKS)),
    Panel(
        "Intake: messages",
        "ops",
        [
            (f"sum(rate(recount_host_recorded{{{NODE}}}[1m]))", "new"),
            (f'sum(rate(recount_host_unchanged{{{NODE},host=~"intake-.*"}}[1m]))', "known already"),
            (f"sum(rate(recount_host_quarantined{{{NODE}}}[1m]))", "put aside"),
        ],
        "Messages settled by the intakes.",
    ),
    Panel(
        "Log: events appended",
        "ops",
        [_rate_by_host("events"), (f"deriv(recount_log_head{{{NODE}}}[1m])", "the whole log")],
        "The whole log has the answers too.",
    ),
    Panel("Payments projection: time behind the log", "ms", _by_host("lag_ms"), "0 when it is not behind."),
    Panel(
        "Events parked",
        "short",
        _by_host("parked"),
        "Since the host started; the table in the tenant's store remembers all.",
    ),
    Panel("Hosts that answer", "short", _by_host("up")),
    Panel("Hosts replaced", "short", _by_host("replacements")),
    Panel(
        "Answer cache",
        "ops",
        [
            (f"sum by (outcome) (rate(recount_answer_cache_lookups_total{{{NODE}}}[1m]))", "{{outcome}}"),
            (f"rate(recount_answer_cache_invalidations_total{{{NODE}}}[1m])", "invalidations"),
            (f"rate(recount_answer_cache_refusals_total{{{NODE}}}[1m])", "refusals"),
        ],
        "Bypass: the cache was not asked. Refusal: something changed while the answer was made.",
    ),
    Panel(
        "Answer cache: hit rate",
        "percentunit",
        [
            (
                _share(
                    f'sum(rate(recount_answer_cache_lookups_total{{{NODE},outcome="hit"}}[5m]))',
                    f"sum(rate(recount_answer_cache_lookups_total{{{NODE}}}[5m]))",
                ),
                "hits",
            )
        ],
    ),
    Panel("Aggregates in memory", "short", _by_host("aggregates")),
    Panel(
        "Events per transaction",
        "short",
        [(_share(_rate_by_host("events")[0], _rate_by_host("appends")[0]), "{{host}}")],
        "How well commits are shared.",
    ),
    Panel(
        "Commands refused, failed, overtaken",
        "ops",
        [
            _rate_by_host(figure, f"{{{{host}}}} {figure.replace('_', ' ')}")
            for figure in ("rejected", "failed", "lost_races", "bisections")
        ],
    ),
    Panel(
        "What waits",
        "short",
        [(f"recount_outstanding{{{NODE}}}", "{{what}}"), (f"recount_effects_overdue_seconds{{{NODE}}}", "overdue, s")],
        "Effects to be done, deadlines awaited, escalations for a person.",
    ),
]
SLO_PANELS = [
    Panel(
        "Error budget left",
        "percentunit",
        [(f"slo:budget_left{{{NODE}}}", "{{slo}}")],
        "Of thirty days; below 0 the objective is missed.",
        is_above_0=False,
    ),
    Panel(
        "Share of bad events in an hour",
        "percentunit",
        [(f"slo:bad:1h{{{NODE}}} / slo:total:1h{{{NODE}}}", "{{slo}}")],
    ),
    Panel(
        "Alerts that fire",
        "short",
        [(f'ALERTS{{{NODE},alertstate="firing",slo!=""}}', "{{slo}} {{policy}}")],
        "docs/runbooks/slo-burns.md says what to do.",
    ),
    Panel(
        "Events counted in an hour",
        "short",
        [(f"slo:total:1h{{{NODE}}}", "{{slo}}")],
        "Few events make a loud ratio: below a number of bad ones no alert fires.",
    ),
    Panel(
        "Canary answers",
        "ops",
        [(f"sum by (outcome) (rate(recount_probes_total{{{NODE}}}[5m]))", "{{outcome}}")],
        "Questions whose answers are known; prober.interval_s turns them on.",
    ),
    Panel("Time to answer a canary question", "s", _quantiles("recount_probe_answer_seconds")),
    Panel("Canary webhook to visible in answers", "s", _quantiles("recount_probe_visible_seconds")),
    Panel("Recorded to visible: payments", "s", _quantiles("recount_visible_seconds", 'projection="payments"')),
    Panel("Recorded to visible: documents", "s", _quantiles("recount_visible_seconds", 'projection="documents"')),
    Panel(
        "Invalid messages",
        "percentunit",
        [
            (
                _share(
                    f"sum by (tenant, source) (rate(recount_source_quarantined_total{{{NODE}}}[1h]))",
                    f"sum by (tenant, source) (rate(recount_source_messages_total{{{NODE}}}[1h]))",
                ),
                "{{tenant}} {{source}}",
            )
        ],
    ),
]
DASHBOARDS: Mapping[str, tuple[str, Sequence[Panel]]] = {
    "recount": ("Recount", NODE_PANELS),
    "recount-slo": ("Recount: objectives", SLO_PANELS),
}


def dashboards() -> dict[Path, str]:
    """Every file and what has to be in it. Raises `ModuleNotFoundError` without the package."""
    # By name: the package is no dependency, and its absence is none of the type checker's business.
    encoder = import_module(f"{PACKAGE}.cog.encoder").JSONEncoder(sort_keys=True, indent=2)
    return {
        FOLDER / f"{uid}.json": f"{encoder.encode(_dashboard(uid, title, panels))}\n"
        for uid, (title, panels) in DASHBOARDS.items()
    }


def _dashboard(uid: str, title: str, panels: Sequence[Panel]) -> Any:  # noqa: ANN401 - a model of the package
    builders = import_module(f"{PACKAGE}.builders.dashboard")
    models = import_module(f"{PACKAGE}.models.dashboard")
    source = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
    built = (
        builders.Dashboard(title)
        .uid(uid)
        .tags(["recount"])
        .timezone("utc")
        .refresh("10s")
        .time("now-1h", "now")
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            builders.QueryVariable("instance")
            .label("Node")
            .datasource(source)
            .query("label_values(recount_log_head, instance)")
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    )
    for number, panel in enumerate(panels):
        position = models.GridPos(h=HEIGHT, w=WIDTH, x=number % 2 * WIDTH, y=number // 2 * HEIGHT)
        built = built.with_panel(_graph(number + 1, panel, source).grid_pos(position))
    return built.build()


def _graph(number: int, panel: Panel, source: Any) -> Any:  # noqa: ANN401 - builders of the package
    graph = import_module(f"{PACKAGE}.builders.timeseries").Panel()
    query = import_module(f"{PACKAGE}.builders.prometheus").Dataquery
    graph = graph.id(number).title(panel.title).description(panel.description).datasource(source).unit(panel.unit)
    if panel.is_above_0:
        graph = graph.min(0)
    for letter, (expression, legend) in zip("ABCDEFGH", panel.series, strict=False):
        graph = graph.with_target(query().ref_id(letter).expr(expression).legend_format(legend))
    return graph


def main() -> int:
    try:
        written = dashboards()
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"{error}: install grafana-foundation-sdk for Grafana 11.6, here or in an environment of its own\n"
        )
        return 1
    for file, text in written.items():
        file.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
