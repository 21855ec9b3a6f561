"""What operators see: correlation ids, log lines, hints, lag, readiness, metrics."""

import json

import nats
import pytest

from tests.stack.stack import Json, Stack, until
from tests.stack.story import PAYMENTS, TENANT, Story

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def requests_logged(stack: Stack, correlation_id: str) -> list[Json]:
    """The gateway's lines about a request, which it writes when the answer is out."""

    def lines() -> list[Json]:
        return [line for line in stack.logged("request") if line["correlation_id"] == correlation_id]

    logged: list[Json] = until(lines, f"a line about {correlation_id}")
    return logged


def test_the_correlation_id_of_a_webhook_is_found_wherever_it_went(stack: Stack, story: Story) -> None:
    name = f"order-{story.number}.a:b_c"

    story.tell("intent", "payment_intent.succeeded", story.intent(), correlation_id=name)

    (entry,) = story.timeline()
    assert entry["correlation_id"] == name
    (line,) = requests_logged(stack, name)
    assert (line["method"], line["path"], line["status"]) == ("POST", f"/v1/{TENANT}/webhooks/stripe", 202)
    assert (line["tenant"], line["source"]) == (TENANT, "stripe")
    assert line["id"].startswith("INGEST:")
    batches = until(
        lambda: [line for line in stack.hosts_logged("batch") if name in line["correlation_id"]], "the intake says so"
    )
    assert batches[0]["recorded"] == 1
    (envelope,) = [each for _, stream, each in stack.log() if stream == f"payment:{TENANT}/{story.payment}"]
    assert envelope.trace.correlation_id == name


def test_every_request_has_one_line_and_gives_its_correlation_id_back(stack: Stack) -> None:
    for offered, path in (("mine-1", PAYMENTS), ("mine-2", "/nowhere"), ("not one!", PAYMENTS), ("x" * 65, PAYMENTS)):
        response = stack.client(TENANT).get(path, headers={"X-Correlation-Id": offered})
        given = response.headers["x-correlation-id"]
        assert (given == offered) == offered.startswith("mine")
        lines = requests_logged(stack, given)
        assert [(line["path"], line["status"]) for line in lines] == [(path, response.status_code)]


async def test_whoever_listens_on_the_bus_hears_that_facts_changed(stack: Stack, story: Story) -> None:
    client = await nats.connect(stack.nats_url)
    hints = await client.subscribe(f"facts.{TENANT}")
    await client.flush()

    story.paid()

    heard: list[Json] = []
    while not any(story.payment in hint["changed"] for hint in heard):
        heard.append(json.loads((await hints.next_msg(timeout=20)).data))
    await client.close()
    assert heard[-1]["position"] <= stack.drained()["head"]
    assert f"customer:{story.customer}" in heard[-1]["changed"]


def test_the_lag_is_nothing_when_all_is_visible(stack: Stack, story: Story) -> None:
    story.paid()

    lag = stack.drained()

    assert lag.keys() == {"ingest_pending", "head", "projected"}
    assert lag["projected"].keys() >= {"payments"}
    assert lag["head"] >= story.view()["position"]


def test_a_tenant_sees_how_soon_its_facts_are_visible(stack: Stack, story: Story) -> None:
    before = stack.get(f"/v1/{TENANT}/freshness", TENANT)["projections"]["payments"]["visible"]
    story.paid()
    stack.drained()

    fresh = stack.get(f"/v1/{TENANT}/freshness", TENANT)["projections"]

    assert fresh.keys() == {"payments", "documents"}
    assert fresh["payments"]["visible"] >= before + 2
    assert 0 <= fresh["payments"]["p50_s"] <= fresh["payments"]["p99_s"]
    assert stack.client("globex").get(f"/v1/{TENANT}/freshness").status_code == 404


def test_the_objectives_stand_with_the_least_budget_first(stack: Stack) -> None:
    found = stack.get("/v1/slo")

    left = [each["budget_left"] for each in found["slos"]]
    assert left == sorted(left)
    assert len(left) == 5
    assert found["time_scale"] == 1
    assert stack.client().get("/v1/slo").status_code == 401


def test_readiness_names_every_part(stack: Stack) -> None:
    assert stack.client().get("/healthz").json() == {"status": "alive"}
    ready = stack.client().get("/readyz")

    assert ready.status_code == 200
    assert ready.json()["is_ready"] is True
    hosts = {"payments-0", "payments-1", "knowledge-0", "intake-0"}
    assert ready.json()["parts"].keys() >= hosts | {"nats", "nats_durability", "node"}
    assert len({stack.pid_of(host) for host in hosts}) == len(hosts)


def test_prometheus_reads_the_metrics(stack: Stack, story: Story) -> None:
    story.paid()
    head = stack.drained()["head"]

    def figures() -> dict[str, float]:
        text = stack.client().get("/metrics")
        assert text.headers["content-type"].count("charset") == 1
        lines = [line for line in text.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    found = until(
        lambda: f if (f := figures()).get('recount_host_recorded{host="intake-0"}', 0) > 0 else None, "intake"
    )
    assert found["recount_log_head"] >= head
    assert found['recount_visible_seconds_count{host="knowledge-0",projection="payments"}'] > 0
    assert found['recount_answer_cache_lookups_total{outcome="miss"}'] >= 0
    assert found['recount_host_up{host="payments-0"}'] == 1
    route = 'method="POST",route="/v1/{tenant}/webhooks/{source}",status="202"'
    assert found[f"recount_http_requests_total{{{route}}}"] > 0
    named = {name.partition("{")[0] for name in found if TENANT in name}
    assert named <= {"recount_source_messages_total", "recount_source_quarantined_total"}, "no other names a tenant"
