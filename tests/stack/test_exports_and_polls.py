"""What webhooks missed comes from the provider's API and from its exports, into a whole node."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.api_provider import Provider, running
from tests.gateway.sources.examples import event, intent, refund
from tests.gateway.sources.exports import BALANCE
from tests.stack.stack import Stack, until
from tests.stack.test_commands import recount

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

POLL = """
[tenants.acme.sources.stripe.poll]
url = "{url}/v1/events"
key = "rk_test"
every_s = 0.2
overlap_s = 0.0
lookback_s = 3e9
[tenants.acme.sources.stripe-csv]
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running() as started:
        yield started


def test_a_missed_webhook_is_polled_and_a_missed_refund_is_imported(provider: Provider, tmp_path: Path) -> None:
    stack = Stack(tmp_path, more=POLL.format(url=provider.url))
    provider.add(event("payment_intent.succeeded", intent(), id="evt_1"))
    report = tmp_path / "balance.csv"
    row = BALANCE | {"reporting_category": "refund", "source_id": "re_1", "customer_facing_amount": "-19.00"}
    report.write_text("\n".join(",".join(line) for line in (BALANCE.keys(), row.values(), ["half", "a", "row"])))

    with stack:
        until(lambda: "pi_1" in stack.payments(), "what no webhook told is polled")
        imported = recount("import", "acme", "stripe-csv", report, "--nats", stack.nats_url, "--config", stack.config)
        assert imported.returncode == 0, imported
        assert json.loads(imported.stdout)["unreadable"] == 1
        stack.drained()
        view = stack.get("/v1/acme/payments/pi_1")
        assert [(each["id"], each["status"]) for each in view["refunds"]] == [("re_1", "succeeded")]
        [aside] = stack.get("/v1/acme/quarantine")["entries"]
        assert aside["detail"].startswith("line 3: ")

        stack.kill()
        provider.add(event("refund.failed", refund("failed"), id="evt_2", created=1_772_900_000))
        stack.start()
        until(lambda: len(stack.get("/v1/acme/payments/pi_1")["refunds"]) == 1, "the payment is there again")
        until(
            lambda: stack.get("/v1/acme/payments/pi_1")["refunds"][0]["status"] == "failed",
            "the poller goes on from its cursor",
        )
    assert "ending_before" in provider.asked[-1].params
