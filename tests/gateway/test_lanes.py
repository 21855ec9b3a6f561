"""One source's flood keeps nobody, and no message of it is lost on its way through a lane of its own."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerInfo

from domain.tenant_settings import LimitSettings, TenantSettings
from gateway import bus, lanes
from gateway.bus import (
    CONSUMER,
    OWN_LANE_PREFIX,
    Outgoing,
    Publisher,
    acknowledge,
    connect,
    consumers,
    ensure_stream,
    ingest_subject,
    pending,
)
from gateway.lanes import Lanes
from gateway.nats_server import NatsServer
from gateway.rate_limit import RateLimits
from tests.gateway.nats import BYTES_MAX, Told, running

pytestmark = pytest.mark.stack

FLOOD, TRICKLE = ingest_subject("acme", "stripe"), ingest_subject("globex", "stripe")
# What a batch takes an intake, as fast as it ever was.
BATCH_S = 0.01
TENANTS = {"acme": TenantSettings(), "globex": TenantSettings()}


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def server(tmp_path: Path, told: Told) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "nats", told) as started:
        yield started


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    connected = await connect(server.url, name="test")
    await ensure_stream(connected, bytes_max=BYTES_MAX)
    yield connected
    await connected.close()


@asynccontextmanager
async def sorting(
    server: NatsServer, tenants: dict[str, TenantSettings] = TENANTS, *, is_giving_back: bool = False
) -> AsyncIterator[Lanes]:
    """An intake's lanes, at work; at the end it gives back what it has, or dies."""
    working = Lanes(RateLimits(tenants), tenants=tenants.keys(), clock_s=time.monotonic)
    connected = await connect(server.url, name="intake", on_reconnected=working.renew)
    await working.start(connected)
    run = asyncio.create_task(working.run())
    try:
        yield working
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        if is_giving_back:
            await working.give_back()
        await connected.close()


async def publish(client: Client, subject: str, count: int, *, first: int = 0) -> None:
    publisher = Publisher(client)
    bodies = [b"%s %d" % (subject.encode(), number) for number in range(first, first + count)]
    await asyncio.gather(*(publisher.publish(Outgoing(subject, body, {})) for body in bodies))


async def taken_until(
    working: Lanes, client: Client, is_enough: Callable[[list[Msg]], bool], batch_max: int = 100
) -> list[Msg]:
    """What was taken and acknowledged, batch by batch, until it is enough."""
    taken: list[Msg] = []
    async with asyncio.timeout(60):
        while not is_enough(taken):
            batch = await working.take(batch_max, mixed_max=batch_max)
            await asyncio.sleep(BATCH_S)
            await acknowledge(client, batch)
            taken += batch
    return taken


def of(messages: list[Msg], subject: str) -> set[bytes]:
    return {message.data for message in messages if message.subject == subject}


async def own_lanes(client: Client) -> list[str]:
    return [info.name for info in await consumers(client) if info.name.startswith(OWN_LANE_PREFIX)]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the server's answer is yes."""
    async with asyncio.timeout(30):
        while not await is_so():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


async def test_who_sent_little_comes_before_a_flood_that_was_there_first(server: NatsServer, client: Client) -> None:
    await publish(client, FLOOD, 6_000)
    await publish(client, TRICKLE, 20)

    async with sorting(server) as working:
        first = await taken_until(working, client, lambda taken: len(of(taken, TRICKLE)) == 20)
        assert len(first) < 3_000, "the trickle waited for the flood"
        assert len(await own_lanes(client)) == 1
        rest = await taken_until(working, client, lambda taken: len(of(first + taken, FLOOD)) == 6_000)
        assert len(first + rest) < 6_020 + 2 * bus.PULL_CREDIT, "a few twice, not all"

        async def is_drained() -> bool:
            return await pending(client) == 0

        await until(is_drained)


async def test_one_source_alone_in_the_stream_needs_no_lane_of_its_own(server: NatsServer, client: Client) -> None:
    await publish(client, FLOOD, 5_000)

    async with sorting(server) as working:
        taken = await taken_until(working, client, lambda taken: len(of(taken, FLOOD)) == 5_000)

    assert len(taken) == 5_000
    assert await own_lanes(client) == []


async def test_what_is_above_a_tenants_rate_is_delayed_and_not_dropped(server: NatsServer, client: Client) -> None:
    limited = {**TENANTS, "acme": TenantSettings(limits=LimitSettings(rate_per_s=200, burst=10))}
    await publish(client, FLOOD, 600)
    await publish(client, TRICKLE, 600)

    async with sorting(server, limited) as working:
        started_s = time.monotonic()
        first = await taken_until(working, client, lambda taken: len(of(taken, TRICKLE)) == 600)
        assert len(of(first, FLOOD)) <= 10 + 200 * (time.monotonic() - started_s)
        await taken_until(working, client, lambda taken: len(of(first + taken, FLOOD)) == 600)
        assert time.monotonic() - started_s >= (600 - 10) / 200 - 0.1


async def test_a_flood_is_whole_although_the_intake_dies_in_the_middle(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "ACK_WAIT_S", 1)
    await client.jetstream().delete_consumer(bus.STREAM, CONSUMER)
    await ensure_stream(client, bytes_max=BYTES_MAX)
    await publish(client, TRICKLE, 1)
    await publish(client, FLOOD, 5_000)
    async with sorting(server) as dying:
        await dying.take(100, mixed_max=100)  # Never acknowledged: these are from before the lane.
        before = await taken_until(dying, client, lambda taken: len(of(taken, FLOOD)) > 1_500)
        assert len(await own_lanes(client)) == 1
        await dying.take(100, mixed_max=100)  # Nor are these, from the lane.

    await publish(client, FLOOD, 100, first=5_000)
    async with sorting(server) as working:
        await taken_until(working, client, lambda taken: len(of(before + taken, FLOOD)) == 5_100)


async def test_what_an_intake_that_leaves_has_not_taken_in_comes_to_another_at_once(
    server: NatsServer, client: Client
) -> None:
    await publish(client, FLOOD, 4_000)
    async with sorting(server) as staying:
        async with sorting(server, is_giving_back=True) as leaving:
            before = await taken_until(leaving, client, lambda taken: len(of(taken, FLOOD)) > 600)
        left_s = time.monotonic()
        await taken_until(staying, client, lambda taken: len(of(before + taken, FLOOD)) == 4_000)

    assert time.monotonic() - left_s < bus.ACK_WAIT_S - 2, "it was not given back, but waited for"


async def test_a_flood_is_whole_although_an_intake_joins_and_another_dies_while_its_lane_is_open(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "ACK_WAIT_S", 1)
    await client.jetstream().delete_consumer(bus.STREAM, CONSUMER)
    await ensure_stream(client, bytes_max=BYTES_MAX)
    await publish(client, TRICKLE, 1)
    await publish(client, FLOOD, 3_000)
    async with sorting(server) as dying:
        first = await taken_until(dying, client, lambda taken: len(of(taken, FLOOD)) > 600)
        assert len(await own_lanes(client)) == 1
        async with sorting(server) as joining:
            both = await asyncio.gather(
                taken_until(dying, client, lambda taken: len(of(taken, FLOOD)) > 200),
                taken_until(joining, client, lambda taken: len(of(taken, FLOOD)) > 200),
            )
    await publish(client, FLOOD, 100, first=3_000)
    before = [*first, *both[0], *both[1]]
    async with sorting(server) as last:
        await taken_until(last, client, lambda taken: len(of(before + taken, FLOOD)) == 3_100)


async def test_a_flood_is_whole_although_the_server_is_killed_in_the_middle(
    server: NatsServer, client: Client, told: Told
) -> None:
    await publish(client, TRICKLE, 1)
    await publish(client, FLOOD, 5_000)
    async with sorting(server) as working:
        before = await taken_until(working, client, lambda taken: len(of(taken, FLOOD)) > 1_500)
        os.kill(server.pid, signal.SIGKILL)
        await told.until("nats_started", times=2)
        async with asyncio.timeout(bus.ACK_WAIT_S + 30):
            await taken_until(working, client, lambda taken: len(of(before + taken, FLOOD)) == 5_000)


async def test_lanes_end_although_the_answer_comes_together_with_the_cancellation(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def answered_when_cancelled(client: Client) -> list[ConsumerInfo]:
        """As `asyncio.wait_for` of Python 3.11 now and then, in which the client library waits for its answers."""
        if not asked.is_set():
            asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return []

    monkeypatch.setattr(lanes, "consumers", answered_when_cancelled)
    async with asyncio.timeout(20), sorting(server):
        await asked.wait()


async def test_a_lane_that_is_quiet_is_closed_and_what_comes_then_is_taken_in(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOOK_EVERY_S", 0.05), ("QUIET_FOR_S", 0.2), ("CLOSING_FOR_S", 0.5), ("VIEW_MAX_AGE_S", 0.3)):
        monkeypatch.setattr(lanes, name, value)
    await publish(client, TRICKLE, 1)
    await publish(client, FLOOD, 4_000)
    async with sorting(server) as working:
        before = await taken_until(working, client, lambda taken: len(of(taken, FLOOD)) == 4_000)
        (lane,) = await own_lanes(client)
        later: list[Msg] = []

        def never(taken: list[Msg]) -> bool:
            later[:] = taken
            return False

        taking = asyncio.create_task(taken_until(working, client, never))
        sent = await send_until_closed(client)

        async def is_whole() -> bool:
            return len(of(before + later, FLOOD)) == 4_000 + sent

        await until(is_whole)
        taking.cancel()
        assert lane not in await own_lanes(client)


async def send_until_closed(client: Client) -> int:
    """Send a message now and then, until the lane has been closed for a while; returns how many."""
    number, last = 0, None
    while last is None or number < last:
        await publish(client, FLOOD, 1, first=4_000 + number)
        await asyncio.sleep(0.015)
        number += 1
        if last is None and not await own_lanes(client):
            last = number + 20
    return number
