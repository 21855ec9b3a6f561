"""The proxy's weather: fair, slow, lossy, cut; in order, and whole again afterwards."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from simulations.chaos.links import FAIR, HOST, Weather
from simulations.chaos.proxy import Proxy
from tests.simulations.chaos.echo import Client, say_again

pytestmark = pytest.mark.long


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(say_again, HOST, 0)
    made = Proxy(server.sockets[0].getsockname()[1], seed=7)
    await made.start()
    yield made
    await made.stop()
    server.close()


async def test_in_fair_weather_nothing_is_changed(proxy: Proxy) -> None:
    client = await Client.of(HOST, proxy.port)

    for number in range(20):
        await client.round_trip_s(f"message {number}".encode())
    assert (proxy.seen.delayed, proxy.seen.lost, proxy.seen.held) == (0, 0, 0)
    client.close()


async def test_a_delay_is_added_each_way_and_what_is_sent_at_once_is_under_way_together(proxy: Proxy) -> None:
    clients = [await Client.of(HOST, proxy.port) for _ in range(10)]
    proxy.turn(Weather(delay_s=0.05))
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    trips = await asyncio.gather(*(client.round_trip_s(b"hello") for client in clients))
    assert min(trips) >= 0.1
    assert loop.time() - begun_s < len(clients) * 0.1
    for client in clients:
        client.close()


async def test_jitter_does_not_turn_a_connections_bytes_around(proxy: Proxy) -> None:
    client = await Client.of(HOST, proxy.port)
    proxy.turn(Weather(delay_s=0.01, jitter_s=0.01))
    sent = [f"{number:04}".encode() for number in range(50)]

    for each in sent:
        client.writer.write(each)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await client.reader.readexactly(200) == b"".join(sent)
    client.close()


async def test_what_is_lost_is_sent_again_and_holds_up_what_follows(proxy: Proxy) -> None:
    client = await Client.of(HOST, proxy.port)
    proxy.turn(Weather(loss_share=0.3))

    trips = [await client.round_trip_s(b"hello", timeout_s=20) for _ in range(3)]
    assert proxy.seen.lost > 0
    assert max(trips) >= 0.2
    client.close()


async def test_a_cut_link_lets_nothing_through_and_closes_nothing(proxy: Proxy) -> None:
    client = await Client.of(HOST, proxy.port)
    await client.round_trip_s(b"before")
    proxy.turn(Weather(is_cut=True))
    with pytest.raises(TimeoutError):
        await client.round_trip_s(b"during", timeout_s=0.2)
    late = await Client.of(HOST, proxy.port)
    with pytest.raises(TimeoutError):
        await late.round_trip_s(b"anybody", timeout_s=0.2)
    assert proxy.seen.held >= 2

    proxy.turn(FAIR)
    async with asyncio.timeout(5):
        assert await client.reader.readexactly(6) == b"during", "it comes when the link is whole again"
        assert await late.reader.readexactly(7) == b"anybody"
    client.close()
    late.close()


async def test_a_server_that_is_gone_is_gone_through_the_proxy_too(proxy: Proxy) -> None:
    away = Proxy(1)
    await away.start()
    client = await Client.of(HOST, away.port)

    async with asyncio.timeout(5):
        assert await _rest(client) == b""
    client.close()
    await away.stop()


async def _rest(client: Client) -> bytes:
    try:
        return await client.reader.read()
    except ConnectionResetError:
        return b""
