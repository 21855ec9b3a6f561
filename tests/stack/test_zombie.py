"""A payment shard that is paused, replaced and let go on: it may wake up, and it writes nothing more."""

import os
import signal
from collections.abc import Iterator

import pytest

from domain.sharding import bucket_of, shard_of
from tests.stack.processes import alive
from tests.stack.provider import Provider
from tests.stack.stack import Stack, until
from tests.stack.traffic import assert_nothing_lost_and_nothing_twice, traffic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TENANT = "paused"
SHARD = 0
SHARD_COUNT = 2
IN_THE_MIDDLE = 600


@pytest.fixture(scope="module")
def haunted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("haunted"), (TENANT,)) as running:
        yield running


def epochs(stack: Stack) -> dict[int, list[int]]:
    """The epochs of the payment shard's commits in log order, by bucket."""
    found: dict[int, list[int]] = {}
    for _, stream, envelope in stack.log():
        bucket = bucket_of(stream)
        if stream.startswith(("payment:", "webhook:")) and shard_of(bucket, SHARD_COUNT) == SHARD:
            found.setdefault(bucket, []).append(envelope.epoch)
    return found


def test_a_shard_that_wakes_up_after_it_was_replaced_writes_nothing(haunted: Stack) -> None:
    expected = traffic(seed=55, payments=400)
    with Provider(haunted, TENANT, expected.webhooks) as provider:
        provider.wait_for(IN_THE_MIDDLE)
        zombie = haunted.pid_of(f"payments-{SHARD}")
        os.kill(zombie, signal.SIGSTOP)
        # What is on its way to the paused process waits there, and is decided when it wakes up.
        until(lambda: (lag := haunted.lag()) and lag["ingest_pending"] > 0, "messages wait for the paused shard")
        until(lambda: haunted.pid_of(f"payments-{SHARD}") not in {0, zombie}, "the paused shard is replaced", 60)
        assert alive(zombie), "the paused process is gone: nobody woke up"
        os.kill(zombie, signal.SIGCONT)

    assert_nothing_lost_and_nothing_twice(haunted, TENANT, expected)
    of_bucket = epochs(haunted)
    assert max(map(max, of_bucket.values())) > 1, "the new shard never wrote"
    assert {bucket: each for bucket, each in of_bucket.items() if each != sorted(each)} == {}, "a stale lease wrote"
    assert haunted.logged("host_replaced")
