"""`kill -9` in the middle of 5,000 webhooks: what was accepted is there, once, and every payment is as it is."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.sharding import bucket_of, shard_of
from tests.gateway.sources.examples import event, intent
from tests.stack.processes import alive, descendants, name_of
from tests.stack.provider import Provider
from tests.stack.stack import Stack, until
from tests.stack.traffic import Expected, assert_nothing_lost_and_nothing_twice, traffic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

WEBHOOKS_MIN = 5_000
PAYMENTS = 680
IN_THE_MIDDLE = 2_000
RECOVERY_MAX_S = 10.0
PROBES = "probes"
TENANTS = (PROBES, "shard-down", "intake-down", "bus-down", "raylet-down", "gateway-down")

figures = logging.getLogger("recovery")  # pytest -o log_cli=true --log-cli-level=INFO


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for tests that kill parts of it; each has a tenant of its own."""
    with Stack(tmp_path_factory.mktemp("mortal"), TENANTS) as running:
        yield running


def webhooks(seed: int) -> Expected:
    expected = traffic(seed=seed, payments=PAYMENTS)
    assert len(expected.webhooks) >= WEBHOOKS_MIN
    return expected


def kill(pid: int) -> float:
    """End a process as a crash does, see that it is gone, and return the time of the kill."""
    assert alive(pid)
    killed_at_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), f"{pid} is gone")
    return killed_at_s


def await_backlog(stack: Stack, provider: Provider) -> None:
    """The fault bites: webhooks are still being sent, and those that were taken wait for what was killed."""
    assert provider.accepted < WEBHOOKS_MIN, "the kill came after the last webhook"
    until(lambda: (lag := stack.lag()) and lag["ingest_pending"] > 0, "messages wait for what was killed")


def await_replacement(stack: Stack, host: str, pid: int, killed_at_s: float) -> float:
    """Another process answers; returns after how many seconds."""
    until(lambda: stack.pid_of(host) not in {0, pid}, f"{host} answers from another process")
    return time.monotonic() - killed_at_s


def await_visible(stack: Stack, payment_id: str, killed_at_s: float) -> float:
    """The payment is there; returns after how many seconds."""
    path = f"/v1/{PROBES}/payments/{payment_id}"
    until(lambda: stack.client(PROBES).get(path).is_success, f"{payment_id} is visible")
    return time.monotonic() - killed_at_s


def probe(stack: Stack, payment_id: str) -> None:
    """Send a webhook about a payment of its own."""
    body = event("payment_intent.succeeded", intent(id=payment_id), id=f"evt_{payment_id}")
    assert stack.post(body, PROBES).status_code == 202


def of_shard(shard: int) -> str:
    """The id of a payment that a shard hosts."""
    names = (f"pi_probe{number}" for number in range(1_000))
    return next(name for name in names if shard_of(bucket_of(f"payment:{PROBES}/{name}"), 2) == shard)


def test_a_payment_shard_that_is_killed_loses_nothing_and_is_back_in_ten_seconds(mortal: Stack) -> None:
    expected = webhooks(seed=11)
    with Provider(mortal, "shard-down", expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        pid = mortal.pid_of("payments-0")
        killed_at_s = kill(pid)
        probe(mortal, of_shard(0))
        await_backlog(mortal, provider)
        visible_s = await_visible(mortal, of_shard(0), killed_at_s)
        answered_s = await_replacement(mortal, "payments-0", pid, killed_at_s)

    assert_nothing_lost_and_nothing_twice(mortal, "shard-down", expected)
    figures.info("visible_s %.1f", visible_s)
    figures.info("answered_s %.1f", answered_s)
    assert max(visible_s, answered_s) < RECOVERY_MAX_S


def test_an_intake_that_is_killed_loses_nothing(mortal: Stack) -> None:
    expected = webhooks(seed=22)
    with Provider(mortal, "intake-down", expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        pid = mortal.pid_of("intake-0")
        killed_at_s = kill(pid)
        probe(mortal, "pi_intake")
        await_backlog(mortal, provider)
        figures.info("visible_s %.1f", await_visible(mortal, "pi_intake", killed_at_s))
        figures.info("answered_s %.1f", await_replacement(mortal, "intake-0", pid, killed_at_s))

    assert_nothing_lost_and_nothing_twice(mortal, "intake-down", expected)


def test_a_bus_that_is_killed_loses_nothing_that_was_accepted(mortal: Stack) -> None:
    expected = webhooks(seed=33)
    with Provider(mortal, "bus-down", expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        pid = mortal.nats_pid()
        killed_at_s = kill(pid)
        assert provider.accepted < WEBHOOKS_MIN, "the kill came after the last webhook"
        until(lambda: mortal.nats_pid() != pid and alive(mortal.nats_pid()), "another nats-server runs")
        figures.info("answered_s %.1f", time.monotonic() - killed_at_s)

    assert provider.refusals == {}, "what the stream did not take lay in the spool"
    assert mortal.logged("spool_began"), "no webhook was under way when the bus was killed"
    assert_nothing_lost_and_nothing_twice(mortal, "bus-down", expected)


def test_a_node_that_loses_its_ray_takes_webhooks_meanwhile_and_starts_it_again(mortal: Stack) -> None:
    expected = webhooks(seed=66)
    with Provider(mortal, "raylet-down", expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        gateway, host = mortal.pid, mortal.pid_of("payments-0")
        [raylet] = [pid for pid in descendants(gateway) if "raylet/raylet" in name_of(pid)]
        mortal.note_orphans()
        killed_at_s = kill(raylet)
        assert provider.accepted < WEBHOOKS_MIN, "the kill came after the last webhook"
        figures.info("answered_s %.1f", await_replacement(mortal, "payments-0", host, killed_at_s))

    assert mortal.pid == gateway
    assert alive(gateway)
    assert provider.failures == 0
    assert [each["parts"] for each in mortal.logged("ray_lost")][-1] == ["raylet"]
    assert_nothing_lost_and_nothing_twice(mortal, "raylet-down", expected)


def test_a_gateway_that_is_killed_and_started_again_takes_webhooks_before_its_hosts_run_and_loses_nothing(
    mortal: Stack,
) -> None:
    expected = webhooks(seed=44)
    with Provider(mortal, "gateway-down", expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        pid, url = mortal.pid, mortal.url
        killed_at_s = time.monotonic()
        mortal.kill()
        assert not alive(pid)
        assert provider.accepted < WEBHOOKS_MIN, "the kill came after the last webhook"
        figures.info("all_gone_s %.1f", time.monotonic() - killed_at_s)
        mortal.begin()
        until(mortal.parts, "the gateway answers")
        probe(mortal, "pi_early")
        figures.info("taken_s %.1f", time.monotonic() - killed_at_s)
        asked = mortal.client(PROBES).post(f"/v1/{PROBES}/ask", json={"question": "Where is my refund for pi_early?"})
        parts = mortal.parts()
        assert (asked.status_code, asked.json()["code"]) == (503, "index.away")
        assert asked.headers["retry-after"] == "1"
        assert {name for name, part in parts.items() if part["is_ready"]} == {
            "nats",
            "nats_durability",
            "log",
            "ledger",
        }
        mortal.await_ready()
        figures.info("ready_s %.1f", time.monotonic() - killed_at_s)
        assert all(part["is_ready"] for part in mortal.parts().values())
        await_visible(mortal, "pi_early", killed_at_s)

    assert mortal.url == url
    assert provider.refusals.keys() <= {0, 503}
    assert provider.failures > 0, "no webhook was under way when the gateway was killed"
    assert_nothing_lost_and_nothing_twice(mortal, "gateway-down", expected)


def test_a_node_that_is_stopped_while_it_starts_ends_everything(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.begin()
    until(lambda: "starting gateway" in stack.log_file.read_text(), "the gateway starts, and its hosts do not run yet")
    assert not stack.logged("host_started")
    stack.stop()
