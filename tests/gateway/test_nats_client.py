"""A connection to the bus over which nothing is acknowledged ends, and another one is made."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from gateway import nats_client
from gateway.bus import connect
from simulations.chaos import tunnel
from simulations.chaos.links import FAIR, Weather
from simulations.chaos.wire import Wire
from tests.gateway.nats import Told, running

pytestmark = pytest.mark.stack


def unacknowledged_max_ms(client: Client) -> int:
    writer = client._transport._io_writer  # type: ignore[union-attr]
    found: int = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_every_connection_is_told_and_not_the_first_alone(tmp_path: Path) -> None:
    told = Told()
    async with running(tmp_path / "nats", told) as server:
        client = await connect(server.url, name="test", on_reconnected=told.reconnected)
        assert unacknowledged_max_ms(client) == 5_000
        await server.restart()
        await told.until("client_reconnected")

        assert unacknowledged_max_ms(client) == 5_000
        await client.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    if missing := tunnel.missing():
        pytest.skip(f"packets cannot be had here: {missing}")
    made = Wire()
    await made.start()
    yield made
    await made.stop()


async def test_a_cut_link_is_noticed_although_much_waits_to_be_sent(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "UNACKNOWLEDGED_MAX_S", 1.0)
    told = Told()
    async with running(tmp_path / "nats", told, host=wire.host, entering=wire.entering) as server:
        client = await connect(server.url, name="test", on_reconnected=told.reconnected)
        wire.turn(Weather(is_cut=True))
        for _ in range(50):
            await client.publish("a", bytes(100_000))
        asyncio.get_running_loop().call_later(2, wire.turn, FAIR)

        async with asyncio.timeout(10):
            await told.until("client_reconnected")
        await client.close()
