"""`kill -9` in the middle of 5,000 webhooks: what was accepted is there, once, and every payment is as it is."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from domain.sharding import bucket_of, shard_of
from tests.gateway.sources.examples import event, intent
from tests.stack.processes import alive
from tests.stack.provider import Provider
from tests.stack.stack import Stack, until
from tests.stack.traffic import assert_nothing_lost_and_nothing_twice, traffic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

WEBHOOKS_MIN = 5_000
PAYMENTS = 650
IN_THE_MIDDLE = 2_000
RECOVERY_MAX_S = 10.0
TENANTS = ("shard-down", "intake-down", "bus-down", "gateway-down")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for tests that kill parts of it; each has a tenant of its own."""
    with Stack(tmp_path_factory.mktemp("mortal"), TENANTS) as running:
        yield running


def kill(pid: int) -> float:
    """End a process as a crash does, see that it is gone, and return the time of the kill."""
    assert alive(pid)
    killed_at_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), f"{pid} is gone")
    return killed_at_s


def replaced(stack: Stack, host: str, pid: int) -> Callable[[], bool]:
    return lambda: stack.pid_of(host) not in {0, pid}


def visible(stack: Stack, tenant: str, payment_id: str) -> Callable[[], bool]:
    return lambda: stack.client(tenant).get(f"/v1/{tenant}/payments/{payment_id}").status_code == 200


def of_shard(tenant: str, shard: int) -> str:
    """The id of a payment that a shard hosts."""
    names = (f"pi_probe{number}" for number in range(1_000))
    return next(name for name in names if shard_of(bucket_of(f"payment:{tenant}/{name}"), 2) == shard)


def test_a_payment_shard_that_is_killed_loses_nothing_and_is_back_in_ten_seconds(
    mortal: Stack, record_property: Callable[[str, object], None]
) -> None:
    tenant, expected = "shard-down", traffic(seed=11, payments=PAYMENTS)
    assert len(expected.webhooks) >= WEBHOOKS_MIN
    probe = of_shard("probes", 0)
    with Provider(mortal, tenant, expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        pid = mortal.pid_of("payments-0")
        killed_at_s = kill(pid)
        assert provider.accepted < len(expected.webhooks), "the kill came after the last webhook"
        pending = until(lambda: (lag := mortal.lag()) and lag["ingest_pending"], "messages wait for the shard")
        until(replaced(mortal, "payments-0", pid), "the shard answers from another process")
        replaced_s = time.monotonic() - killed_at_s

    assert_nothing_lost_and_nothing_twice(mortal, tenant, expected)
    record_property("recovered_s", (pending, replaced_s, probe))
