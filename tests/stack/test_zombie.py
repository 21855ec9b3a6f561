"""A payment shard that is paused in the middle of a batch, replaced and let go on: it writes nothing more.

Ray ends a host that was replaced: as soon as it wakes up, and after five seconds though it sleeps. So the zombie is
paused when all that is left to do is its commit, and woken up when the new shard has taken the leases and not yet been
sent the same batch: there the lease alone keeps it from writing.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from domain.sharding import bucket_of, shard_of
from tests.stack.processes import alive, name_of, processes
from tests.stack.provider import Provider
from tests.stack.stack import Stack, until
from tests.stack.traffic import assert_nothing_lost_and_nothing_twice, traffic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

SHARD = 0
SHARD_COUNT = 2
HOST = f"payments-{SHARD}"
LEASE = f"payments/{SHARD}"
PAYMENTS = 680
IN_THE_MIDDLE = 600
TRIALS_MAX = 3
TRIES_MAX = 100
# A batch is decided in a few milliseconds. Twice a second a ping stands in the process's name instead.
DECIDES_MAX_S, LOOK_S = 0.1, 1.0
TENANTS = ("holding", *(f"paused-{trial}" for trial in range(TRIALS_MAX)))


@pytest.fixture(scope="module")
def haunted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for tests that pause a shard; each trial has a tenant of its own."""
    with Stack(tmp_path_factory.mktemp("haunted"), TENANTS) as running:
        yield running


@contextmanager
def log_lock(stack: Stack, timeout_s: float) -> Iterator[None]:
    """Hold the lock that every commit takes. Raises `sqlite3.OperationalError` if another holds it for so long."""
    file = stack.data / "log.sqlite"
    with closing(sqlite3.connect(file, timeout=timeout_s, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def is_handling(pid: int) -> bool:
    return name_of(pid).endswith(".handle")


def waits_for_log(pid: int) -> bool:
    """Whether the process is at a batch for longer than decisions take, while the log is held."""
    given_up_s = time.monotonic() + LOOK_S
    since_s: float | None = None
    while (now_s := time.monotonic()) < given_up_s:
        if not is_handling(pid):
            since_s = None
        elif since_s is None:
            since_s = now_s
        elif now_s - since_s > DECIDES_MAX_S:
            return True
    return False


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: processes()[pid].state.startswith("T"), "the process is stopped")


def pause_before_commit(stack: Stack, provider: Provider) -> int:
    """Stop the shard's process when it has decided a batch and waits for the log; returns its pid."""
    provider.wait_for(IN_THE_MIDDLE)
    pid = stack.pid_of(HOST)
    for _ in range(TRIES_MAX):
        with log_lock(stack, 10):
            if waits_for_log(pid):
                stop(pid)
                return pid
    raise AssertionError("the shard was never met before a commit")


def pause_inside_commit(stack: Stack, provider: Provider) -> int:
    """Stop the shard's process while it holds the log; returns its pid."""
    provider.wait_for(IN_THE_MIDDLE)
    pid = stack.pid_of(HOST)
    for _ in range(TRIES_MAX):
        stop(pid)
        if is_handling(pid) and is_held(stack):
            return pid
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("the shard was never met inside a commit")


def is_held(stack: Stack) -> bool:
    """Whether somebody holds the log for longer than a commit takes."""
    try:
        with log_lock(stack, 0.5):
            return False
    except sqlite3.OperationalError:
        return True


def await_takeover(stack: Stack, paused: int) -> None:
    """Another process has taken the shard's leases."""
    with closing(sqlite3.connect(f"file:{stack.data / 'log.sqlite'}?mode=ro", uri=True)) as connection:

        def owner() -> str:
            found: str = connection.execute("SELECT owner FROM leases WHERE lease=?", (LEASE,)).fetchone()[0]
            return found

        assert owner() == f"{HOST}/{paused}"
        until(lambda: owner() != f"{HOST}/{paused}", "the paused shard's leases are taken", 60)


def await_replacement(stack: Stack, paused: int) -> None:
    until(lambda: stack.pid_of(HOST) not in {0, paused}, "the paused shard is replaced", 60)


def epochs(stack: Stack, *, after: int) -> set[int]:
    """The leases' epochs under which the shard wrote what lies after a position of the log."""
    return {
        envelope.epoch
        for _, stream, envelope in stack.log(after)
        if stream.startswith(("payment:", "webhook:")) and shard_of(bucket_of(stream), SHARD_COUNT) == SHARD
    }


def test_a_shard_that_wakes_up_after_it_was_replaced_writes_nothing(haunted: Stack) -> None:
    for trial in range(TRIALS_MAX):
        tenant, expected = f"paused-{trial}", traffic(seed=55 + trial, payments=PAYMENTS)
        with Provider(haunted, tenant, expected.webhooks) as provider:
            zombie = pause_before_commit(haunted, provider)
            # Before the new shard is sent what the paused one had: then only the lease keeps the old one from writing.
            await_takeover(haunted, zombie)
            head = haunted.log()[-1][0]
            woke_up = alive(zombie)
            if woke_up:
                os.kill(zombie, signal.SIGCONT)
            await_replacement(haunted, zombie)

        assert_nothing_lost_and_nothing_twice(haunted, tenant, expected)
        assert epochs(haunted, after=head) == {max(epochs(haunted, after=0))}, "it wrote under the lease that it lost"
        if woke_up:
            return
    raise AssertionError("no trial counts: each time the paused process was ended before it could wake up")


def test_a_shard_that_is_paused_inside_a_commit_is_replaced_and_nothing_is_lost(haunted: Stack) -> None:
    expected = traffic(seed=66, payments=PAYMENTS)
    with Provider(haunted, "holding", expected.webhooks) as provider:
        zombie = pause_inside_commit(haunted, provider)
        paused_at_s = time.monotonic()
        assert is_held(haunted), "nothing was held up"
        await_replacement(haunted, zombie)

    assert_nothing_lost_and_nothing_twice(haunted, "holding", expected)
    assert not alive(zombie)
    assert time.monotonic() - paused_at_s < 60
