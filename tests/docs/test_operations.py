"""Rules, dashboards and containers as code: current, of metrics that exist, and pointing at files that are there."""

import json
import re
import shutil
import subprocess
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from gateway.slo_files import service_levels
from tests.tidy.source import ROOT

OPS = ROOT / "ops"
RULES = sorted((OPS / "prometheus").glob("*.rules.yml"))
DASHBOARDS = sorted((OPS / "grafana").glob("*.json"))
RECORDED_RE = re.compile(r"\bslo:[a-z0-9_:]+")
PINNED_RE = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?")


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rules(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def test_the_rules_of_the_objectives_are_current() -> None:
    written = script("write_slo_rules")

    assert written.FILE.read_text() == written.rules(), "run scripts/write_slo_rules.py"


def test_every_objective_has_its_alerts_in_both_engines() -> None:
    in_prometheus = {
        (rule["labels"]["slo"], rule["labels"]["policy"], rule["labels"]["severity"])
        for rule in rules(OPS / "prometheus" / "slo.rules.yml")
        if "alert" in rule
    }
    in_the_node = {
        (level.objective.name, alert, severity)
        for level in service_levels()
        for alert, severity in level.objective.severities.items()
    }

    assert in_prometheus == in_the_node


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: install the Debian package `prometheus`, or put promtool into the PATH")

    checked = subprocess.run(
        [promtool, "check", "config", OPS / "prometheus" / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert all(rule_file.name in checked.stdout for rule_file in RULES)


def test_every_recorded_series_that_is_named_is_recorded() -> None:
    recorded = {rule["record"] for file in RULES for rule in rules(file) if "record" in rule}

    for file in [*RULES, *DASHBOARDS]:
        assert set(RECORDED_RE.findall(file.read_text())) <= recorded, file.name


def test_the_dashboards_are_current() -> None:
    if find_spec("grafana_foundation_sdk") is None:
        pytest.skip("grafana-foundation-sdk is not here: install it to check that the dashboards are what it writes")

    for file, text in script("write_dashboards").dashboards().items():
        assert file.read_text() == text, "run scripts/write_dashboards.py"


def test_the_dashboards_show_what_the_script_says() -> None:
    for uid, (title, panels) in script("write_dashboards").DASHBOARDS.items():
        dashboard = json.loads((OPS / "grafana" / f"{uid}.json").read_text())

        assert dashboard["title"] == title
        shown = [
            (panel["title"], [(target["expr"], target["legendFormat"]) for target in panel["targets"]])
            for panel in dashboard["panels"]
        ]
        assert shown == [(panel.title, list(panel.series)) for panel in panels]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OPS / "docker-compose.yml").read_text())
    return found


def test_the_containers_are_of_pinned_versions_and_listen_here_alone() -> None:
    services = compose()["services"]

    assert services.keys() == {"prometheus", "grafana", "postgres", "nats"}
    for name, service in services.items():
        assert PINNED_RE.fullmatch(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert set(service.get("depends_on", ())) <= services.keys()


def test_every_file_that_a_container_reads_is_there() -> None:
    found = compose()
    for name, service in found["services"].items():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert (OPS / source).exists() if source.startswith(".") else source in found["volumes"], (
                f"{name}: {volume}"
            )


def test_prometheus_and_grafana_find_what_they_read() -> None:
    prometheus = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
    [provider] = yaml.safe_load((OPS / "grafana/provisioning/dashboards/recount.yml").read_text())["providers"]
    [datasource] = yaml.safe_load((OPS / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    services = compose()["services"]

    assert sorted(prometheus["rule_files"]) == [file.name for file in RULES]
    assert prometheus["scrape_configs"][0]["job_name"] == "recount", "RecountDown asks for the job"
    mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    assert {f"{provider['options']['path']}/{file.name}" for file in DASHBOARDS} <= mounted
    assert datasource["url"].removeprefix("http://").partition(":")[0] in services
