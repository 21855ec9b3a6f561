"""Commands find their shard, share calls, and are answered each in its place."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors.recorder import LogRecorder
from actors.router import Router
from actors.shard import Shard
from domain.codec import decode_submissions, encode_replies
from domain.errors import RetryableError, TerminalError
from domain.message import Accepted, Failed, Unchanged
from domain.settings import BATCH_MAX
from domain.sharding import bucket_of, buckets_of_shard, shard_of
from tests.worlds import LocalHost, entries_in, facts_in, new_log, new_shard, record

SHARDS = 3


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


@pytest.fixture
def shards(recorder: LogRecorder) -> list[Shard]:
    return [new_shard(recorder, buckets=buckets_of_shard(number, SHARDS)) for number in range(SHARDS)]


class Gate:
    """An endpoint whose calls wait until it is opened."""

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self._opened = asyncio.Event()

    def open(self) -> None:
        self._opened.set()

    async def call(self, method: str, payload: bytes) -> bytes:
        await self._opened.wait()
        return await self._host.call(method, payload)


class Deaf:
    """An endpoint that answers with fewer replies than it was given commands."""

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "handle"
        return encode_replies([Unchanged(version=1) for _ in decode_submissions(payload)[1:]])


@pytest.fixture
async def gate(recorder: LogRecorder) -> AsyncIterator[tuple[Gate, LocalHost]]:
    host = LocalHost(new_shard(recorder))
    gate = Gate(host)
    yield gate, host
    gate.open()


async def test_the_replies_are_in_the_order_of_the_commands(shards: list[Shard], recorder: LogRecorder) -> None:
    batch = [record(number, f"pi_{number % 40}") for number in range(200)]
    assert {shard_of(bucket_of(each.stream), SHARDS) for each in batch} == set(range(SHARDS))

    replies = await Router([LocalHost(shard) for shard in shards]).submit(batch)

    by_position = {entry.position: entry for entry in entries_in(recorder)}
    for submission, reply in zip(batch, replies, strict=True):
        assert isinstance(reply, Accepted)
        entry = by_position[reply.position]
        assert (entry.stream, entry.version) == (submission.stream, reply.version)


async def test_no_commands_have_no_replies(recorder: LogRecorder) -> None:
    assert await Router([LocalHost(new_shard(recorder))]).submit([]) == []


async def test_callers_at_the_same_time_share_calls_and_each_gets_its_own_replies(
    gate: tuple[Gate, LocalHost],
) -> None:
    opened, host = gate
    router = Router([opened])
    callers = [asyncio.create_task(router.submit([record(number), record(number)])) for number in range(100)]
    await asyncio.sleep(0)
    opened.open()

    replies = await asyncio.gather(*callers)

    assert [[type(reply) for reply in each] for each in replies] == [[Accepted, Unchanged]] * 100
    assert sum(host.sizes) == 200
    assert len(host.sizes) == 3  # Two were under way at once; all that came meanwhile went out together.


async def test_a_call_never_carries_more_than_it_may(gate: tuple[Gate, LocalHost]) -> None:
    opened, host = gate
    router = Router([opened])
    sizes = [1, BATCH_MAX - 1, 300, 300, 2 * BATCH_MAX + 7]
    numbers = iter(range(10_000))
    callers = [asyncio.create_task(router.submit([record(next(numbers)) for _ in range(size)])) for size in sizes]
    await asyncio.sleep(0)
    opened.open()
    replies = await asyncio.gather(*callers)

    assert [len(each) for each in replies] == sizes
    assert all(isinstance(reply, Accepted) for each in replies for reply in each)
    assert max(host.sizes) <= BATCH_MAX


async def test_a_smaller_limit_holds_for_one_caller_too(recorder: LogRecorder) -> None:
    host = LocalHost(new_shard(recorder))

    replies = await Router([host], batch_max=10).submit([record(number) for number in range(35)])

    assert len(replies) == 35
    assert max(host.sizes) <= 10


async def test_a_shard_that_fails_fails_its_own_commands_only_and_those_may_be_sent_again(
    shards: list[Shard], recorder: LogRecorder
) -> None:
    hosts = [LocalHost(shard) for shard in shards]
    hosts[1] = LocalHost(shards[1], failures=[RetryableError("no answer")])
    router = Router(hosts)
    batch = [record(1, f"pi_{number}") for number in range(50)]

    replies = await router.submit(batch)

    for submission, reply in zip(batch, replies, strict=True):
        if shard_of(bucket_of(submission.stream), SHARDS) == 1:
            assert reply == Failed(reason="no answer", retryable=True)
        else:
            assert isinstance(reply, Accepted)
    again = [submission for submission, reply in zip(batch, replies, strict=True) if isinstance(reply, Failed)]
    assert all(isinstance(reply, Accepted) for reply in await router.submit(again))
    assert len(facts_in(recorder)) == 50


async def test_a_call_that_can_never_succeed_fails_its_commands_for_good(recorder: LogRecorder) -> None:
    router = Router([LocalHost(new_shard(recorder), failures=[TerminalError("the host cannot read it")])])

    assert await router.submit([record(1)]) == [Failed(reason="the host cannot read it", retryable=False)]


async def test_a_mistake_is_told_to_whoever_waits(recorder: LogRecorder) -> None:
    router = Router([LocalHost(new_shard(recorder), failures=[LookupError("ours")])])
    with pytest.raises(LookupError, match="ours"):
        await asyncio.wait_for(router.submit([record(1)]), 5)
    with pytest.raises(OverflowError):
        await asyncio.wait_for(router.submit([record(1, amount_minor=2**70)]), 5)

    assert isinstance((await router.submit([record(1)]))[0], Accepted)


async def test_replies_that_do_not_fit_the_commands_are_no_replies() -> None:
    with pytest.raises(AssertionError, match="2 commands"):
        await asyncio.wait_for(Router([Deaf()]).submit([record(1), record(2)]), 5)


async def test_a_caller_that_goes_away_takes_nobody_with_it(gate: tuple[Gate, LocalHost]) -> None:
    opened, _ = gate
    router = Router([opened], calls_max=1)
    stays, leaves, also_stays = (asyncio.create_task(router.submit([record(number)])) for number in range(3))
    await asyncio.sleep(0)
    leaves.cancel()
    opened.open()

    assert isinstance((await stays)[0], Accepted)
    assert isinstance((await also_stays)[0], Accepted)
    with pytest.raises(asyncio.CancelledError):
        await leaves
