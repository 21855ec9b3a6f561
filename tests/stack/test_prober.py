"""The prober on a real node: canary answers are right, nobody else sees them, and a spoilt view is found and alerts."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulations.cli import main
from tests.stack.stack import Json, Stack, api_key, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

# An hour is a minute, so that alerts come within seconds.
MORE = """
[prober]
interval_s = 0.1
tenant = "probe"
deadline_s = 30.0
[slo]
time_scale = 60.0
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A node that asks itself canary questions."""
    with Stack(tmp_path_factory.mktemp("probed"), ("acme",), more=MORE) as running:
        yield running


def probes(stack: Stack, outcome: str) -> float:
    found = re.search(rf'^recount_probes_total{{outcome="{outcome}"}} (\S+)$', metrics(stack), re.MULTILINE)
    return float(found[1]) if found else 0.0


def objectives(stack: Stack) -> dict[str, Json]:
    return {each["slo"]: each for each in stack.get("/v1/slo")["slos"]}


def metrics(stack: Stack) -> str:
    return stack.client().get("/metrics").text


def test_what_the_prober_asks_is_answered_rightly_until_a_view_is_spoilt(probed: Stack) -> None:
    until(lambda: probes(probed, "right") >= 8, "canary answers")

    assert [probes(probed, outcome) for outcome in ("wrong", "abstained", "unanswered")] == [0, 0, 0]
    assert probed.payments() == {}
    assert probed.client("acme").get("/v1/probe/payments").status_code == 404
    named = {line.partition("{")[0] for line in metrics(probed).splitlines() if '"probe"' in line}
    assert named <= {"recount_source_messages_total", "recount_source_quarantined_total"}, "no other names a tenant"

    fresh = probed.get("/v1/acme/freshness")["projections"]
    assert {name: each["visible"] for name, each in fresh.items()} == {"payments": 0, "documents": 0}
    until(lambda: objectives(probed)["data-freshness"]["total"] > 0, "freshness is measured")
    assert objectives(probed)["answer-accuracy"]["budget_left"] == 1

    def fired_while_views_are_spoilt() -> list[Json]:
        spoil(probed.data / "tenants" / "probe")
        return [line for line in probed.logged("slo_alert_fired") if line["slo"] == "answer-accuracy"]

    until(fired_while_views_are_spoilt, "an alert on the accuracy of answers")
    assert probes(probed, "wrong") + probes(probed, "abstained") >= 3
    shown = CliRunner().invoke(main, ["slo", "--gateway", probed.url, "--api-key", api_key("acme")])
    assert shown.exit_code == 0
    assert "answer-accuracy: " in shown.stdout
    assert "fires" in shown.stdout


def spoil(tenant: Path) -> None:
    """Edit what the projection keeps behind the log's back: every payment loses its facts."""
    [file] = tenant.glob("g*/facts.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM facts")
    connection.close()
