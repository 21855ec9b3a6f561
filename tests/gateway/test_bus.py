"""What was published is durable, whole and in order; what was pulled and not acknowledged comes again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from domain.errors import RetryableError, TerminalError
from gateway import bus
from gateway.bus import (
    PUBLISH_ATOMIC_MIN,
    PUBLISH_BATCH_MAX,
    STREAM,
    Outgoing,
    Publisher,
    Pull,
    connect,
    ensure_stream,
    pending,
)
from gateway.nats_server import NatsServer
from tests.gateway.nats import BYTES_MAX, SUBJECT, Told, body, numbered, running

pytestmark = pytest.mark.stack


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def server(tmp_path: Path, told: Told) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "nats", told) as started:
        yield started


@pytest.fixture
async def client(server: NatsServer, told: Told) -> AsyncIterator[Client]:
    connected = await connect(server.url, name="test", on_reconnected=told.reconnected)
    await ensure_stream(connected, bytes_max=BYTES_MAX)
    yield connected
    await connected.close()


@pytest.fixture
async def pull(server: NatsServer, client: Client) -> AsyncIterator[Pull]:
    pulling = Pull()
    connected = await connect(server.url, name="pull", on_reconnected=pulling.renew)
    await pulling.start(connected)
    yield pulling
    await connected.close()


async def publish(client: Client, *messages: Outgoing) -> list[int]:
    """Publish at once; the sequences."""
    publisher = Publisher(client)
    return await asyncio.gather(*(publisher.publish(message) for message in messages))


async def taken(pull: Pull, count: int, batch_max: int = 500) -> list[Msg]:
    """The next `count` messages."""
    messages: list[Msg] = []
    async with asyncio.timeout(30):
        while len(messages) < count:
            batch = await pull.take(batch_max)
            assert len(batch) <= batch_max
            messages += batch
    return messages


async def acknowledge(client: Client, *messages: Msg) -> None:
    """Acknowledge, and wait until the server has done so."""
    await asyncio.gather(*(client.request(message.reply, b"+ACK", timeout=10) for message in messages))


async def test_what_is_published_at_once_is_in_the_stream_in_order_and_whole(client: Client, pull: Pull) -> None:
    bodies = [bytes([number % 256]) * (number % 7) + b"\r\n\x00\xff" for number in range(3 * PUBLISH_BATCH_MAX + 5)]
    outgoing = [Outgoing(SUBJECT, each, {"X-Name": f"{number} \u00e9"}) for number, each in enumerate(bodies)]

    assert await publish(client, *outgoing) == list(range(1, len(bodies) + 1))

    for number, message in enumerate(await taken(pull, len(bodies))):
        assert (message.subject, message.data) == (SUBJECT, bodies[number])
        assert (message.headers or {})["X-Name"] == f"{number} \u00e9"


async def test_one_message_alone_needs_no_batch(client: Client) -> None:
    assert await publish(client, numbered(1, X="y")) == [1]

    assert (await client.jetstream().get_msg(STREAM, 1)).headers == {"X": "y"}


async def test_a_batch_is_taken_whole_or_not_at_all_and_a_full_stream_forgets_nothing(client: Client) -> None:
    await ensure_stream(client, bytes_max=140_000)
    big = [Outgoing(SUBJECT, bytes(8_000), {}) for _ in range(PUBLISH_ATOMIC_MIN + 2)]
    with pytest.raises(RetryableError, match="does not take messages"):
        await publish(client, *big)
    assert (await client.jetstream().stream_info(STREAM)).state.messages == 0

    assert await publish(client, *big[:PUBLISH_ATOMIC_MIN]) == list(range(1, PUBLISH_ATOMIC_MIN + 1))
    with pytest.raises(RetryableError):
        await publish(client, Outgoing(SUBJECT, bytes(30_000), {}))
    assert (await client.jetstream().get_msg(STREAM, 1)).data == big[0].body


async def test_a_message_that_was_in_a_batch_may_be_published_again_with_its_headers(client: Client) -> None:
    """What is sent in again from quarantine carries the headers that the server gave it the first time."""
    await publish(client, *(numbered(number, X=str(number)) for number in range(PUBLISH_ATOMIC_MIN)))
    kept = [(await client.jetstream().get_msg(STREAM, sequence)).headers or {} for sequence in (1, 2, 3)]
    assert "Nats-Batch-Id" in kept[0]
    again = [Outgoing(SUBJECT, b"again", each) for each in kept]

    after = PUBLISH_ATOMIC_MIN + 1
    assert [await publish(client, each) for each in again] == [[after], [after + 1], [after + 2]]
    assert await publish(client, *again[::-1]) == [after + 3, after + 4, after + 5]
    assert (await client.jetstream().get_msg(STREAM, after)).headers == {"X": "0"}


async def test_a_message_that_is_too_large_for_the_server_fails_alone(client: Client) -> None:
    publisher = Publisher(client)
    sent = (numbered(1), Outgoing(SUBJECT, bytes(client.max_payload), {}), numbered(2))
    first, large, second = await asyncio.gather(*map(publisher.publish, sent), return_exceptions=True)

    assert (first, second) == (1, 2)
    assert isinstance(large, TerminalError)
    largest = Outgoing(SUBJECT, bytes(client.max_payload - 1_000), {"X": "y" * 700})
    assert await publish(client, largest, numbered(3)) == [3, 4]


async def test_what_the_server_never_took_is_an_error(
    client: Client, server: NatsServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "PUBLISH_TIMEOUT_S", 0.2)
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(RetryableError):
        await publish(client, *(numbered(number) for number in range(3)))

    await told.until("client_reconnected")
    assert len(await publish(client, numbered(3))) == 1


async def test_a_caller_that_goes_away_takes_no_other_with_it(client: Client) -> None:
    publisher = Publisher(client)
    stays, leaves, also_stays = (asyncio.create_task(publisher.publish(numbered(number))) for number in range(3))
    await asyncio.sleep(0)
    leaves.cancel()

    assert [await stays, await also_stays] == [1, 3]


async def test_the_stream_may_be_ensured_again_with_other_settings(client: Client) -> None:
    await publish(client, numbered(1))
    await ensure_stream(client, bytes_max=BYTES_MAX // 2)

    info = await client.jetstream().stream_info(STREAM)
    assert (info.config.max_bytes, info.state.messages) == (BYTES_MAX // 2, 1)


async def test_messages_are_taken_as_they_come_and_in_order(client: Client, pull: Pull) -> None:
    waiting = asyncio.create_task(taken(pull, 1))
    await publish(client, numbered(0))
    (first,) = await asyncio.wait_for(waiting, bus.PULL_EXPIRES_S / 2)
    await publish(client, *(numbered(number) for number in range(1, 301)))

    rest = await taken(pull, 300, batch_max=70)

    assert [each.data for each in (first, *rest)] == [body(number) for number in range(301)]
    assert await pending(client) == 301
    await acknowledge(client, first, *rest)
    assert await pending(client) == 0


async def test_more_messages_than_the_credit_come_without_a_pause(
    client: Client, pull: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "PULL_CREDIT", 50)
    await publish(client, *(numbered(number) for number in range(1_000)))

    messages = await asyncio.wait_for(taken(pull, 1_000, batch_max=30), bus.PULL_EXPIRES_S)

    assert [each.data for each in messages] == [body(number) for number in range(1_000)]


async def test_a_request_that_ended_is_renewed(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "PULL_EXPIRES_S", 1)
    pulling = Pull()
    connected = await connect(server.url, name="pull")
    await pulling.start(connected)
    for number in range(2):
        assert await pulling.take(10) == []
        await publish(client, numbered(number))
        (message,) = await asyncio.wait_for(taken(pulling, 1), 0.9)
        assert message.data == body(number)
    await connected.close()


async def test_who_asks_anew_loses_nothing_that_is_on_its_way(client: Client, pull: Pull) -> None:
    """What the server sends to a name at which nobody listens any more comes again only after `ACK_WAIT_S`."""
    publishing = asyncio.create_task(publish(client, *map(numbered, range(1_000))))
    while not publishing.done():
        await pull.renew()
        await asyncio.wait([publishing], timeout=0.01)

    async with asyncio.timeout(bus.ACK_WAIT_S / 2):
        messages = await taken(pull, 1_000)
    assert sorted(message.data for message in messages) == sorted(body(number) for number in range(1_000))


async def test_a_message_that_claims_to_be_a_status_is_a_message(client: Client, pull: Pull) -> None:
    """Headers are the sender's: a message that was taken for the server's word would never be acknowledged."""
    await client.publish(SUBJECT, body(1), headers={"Status": "408", "Nats-Pending-Messages": "many"})
    await publish(client, numbered(2))

    assert [each.data for each in await taken(pull, 2)] == [body(1), body(2)]


async def test_what_is_not_acknowledged_comes_again(
    server: NatsServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "ACK_WAIT_S", 1)
    await client.jetstream().delete_consumer(STREAM, bus.CONSUMER)
    await ensure_stream(client, bytes_max=BYTES_MAX)
    await publish(client, numbered(1), numbered(2))
    dying = Pull()
    connected = await connect(server.url, name="dying")
    await dying.start(connected)
    first, second = await taken(dying, 2)
    await acknowledge(client, first)
    await connected.close()

    pulling = Pull()
    connected = await connect(server.url, name="next")
    await pulling.start(connected)
    (again,) = await taken(pulling, 1)

    assert again.data == second.data
    await acknowledge(client, again)
    assert await pending(client) == 0
    await connected.close()


async def test_after_the_server_was_killed_pulling_goes_on(
    server: NatsServer, client: Client, pull: Pull, told: Told
) -> None:
    await publish(client, *(numbered(number) for number in range(10)))
    await acknowledge(client, *await taken(pull, 5, batch_max=5))
    os.kill(server.pid, signal.SIGKILL)
    await told.until("nats_started", times=2)
    # Another connection, which need not come back first: who pulls learns of the new server by itself.
    other = await connect(server.url, name="other")
    await publish(other, *(numbered(number) for number in range(10, 20)))

    # What was acknowledged just before may come again: that is the one promise of a stream that redelivers.
    missing = {body(number) for number in range(5, 20)}
    async with asyncio.timeout(bus.ACK_WAIT_S + 15):
        while missing:
            missing -= {message.data for message in await pull.take(100)}
    await other.close()
    await told.until("client_reconnected")
