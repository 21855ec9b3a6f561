"""The nats-server of our own listens where it says, keeps what it acknowledged, and comes back when it dies."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import TerminalError
from gateway.bus import STREAM, Publisher, connect, ensure_stream
from gateway.nats_server import NatsServer
from tests.gateway.nats import BYTES_MAX, Told, body, ended, numbered, running

pytestmark = pytest.mark.stack

# A parent that starts a server, says its process id and is then killed.
PARENT = """
import asyncio, pathlib, sys
from gateway.nats_server import NatsServer

async def main():
    server = NatsServer(pathlib.Path(sys.argv[1]), port=0, on_event=lambda event, fields: None)
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def server(tmp_path: Path, told: Told) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "nats", told) as started:
        yield started


async def test_it_listens_on_the_loopback_interface_and_fsyncs_before_it_acknowledges(
    server: NatsServer, tmp_path: Path
) -> None:
    client = await connect(server.url, name="test")

    assert server.url.startswith("nats://127.0.0.1:")
    assert client.is_connected
    config = (tmp_path / "nats" / "nats.conf").read_text()
    assert "sync_interval: always" in config
    assert 'listen: "127.0.0.1:' in config
    await client.close()


async def test_it_ends_when_it_is_stopped(tmp_path: Path, told: Told) -> None:
    async with running(tmp_path, told) as server:
        pid = server.pid
    await asyncio.wait_for(ended(pid), 5)

    await server.stop()
    assert told.names == ["nats_started"]


async def test_after_it_was_killed_it_comes_back_on_the_same_port_with_what_it_acknowledged(
    server: NatsServer, told: Told
) -> None:
    client = await connect(server.url, name="test", on_reconnected=told.reconnected)
    await ensure_stream(client, bytes_max=BYTES_MAX)
    publisher = Publisher(client)
    sequences = await asyncio.gather(*(publisher.publish(numbered(number)) for number in range(50)))
    url, pid = server.url, server.pid

    os.kill(pid, signal.SIGKILL)
    await told.until("nats_started", times=2)
    await told.until("client_reconnected")

    assert told.names.count("nats_died") == 1
    assert (server.url, server.pid != pid) == (url, True)
    kept = [await client.jetstream().get_msg(STREAM, sequence) for sequence in sequences]
    assert [message.data for message in kept] == [body(number) for number in range(50)]
    await client.close()


async def test_a_restart_that_fails_is_tried_until_it_succeeds(server: NatsServer, told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        server._port = squatter.getsockname()[1]  # As if its own port had been taken while it was dead.
        os.kill(server.pid, signal.SIGKILL)
        await told.until("nats_restart_failed")
    await told.until("nats_started", times=2)

    client = await connect(server.url, name="test")
    assert client.is_connected
    await client.close()


async def test_a_port_that_is_taken_is_said_with_where_to_look(tmp_path: Path, told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = NatsServer(tmp_path, port=taken.getsockname()[1], on_event=told)
        with pytest.raises(TerminalError, match=r"nats\.log"):
            await server.start()
    await server.stop()

    assert "address already in use" in (tmp_path / "nats.log").read_text()
    assert told.names == []


async def test_a_configuration_that_it_refuses_is_said_in_its_own_words(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.nats_server._CONFIG", "no_such_option: {port}")

    with pytest.raises(TerminalError, match="no_such_option"):
        await NatsServer(tmp_path, port=0, on_event=told).start()


async def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))

    parent.kill()
    await parent.wait()

    await ended(pid)


async def test_a_server_that_stands_still_is_ended_and_another_listens_on_its_port(
    server: NatsServer, told: Told
) -> None:
    client = await connect(server.url, name="test", on_reconnected=told.reconnected)
    await ensure_stream(client, bytes_max=BYTES_MAX)
    url, pid = server.url, server.pid
    os.kill(pid, signal.SIGSTOP)

    await server.restart()

    await told.until("client_reconnected")
    assert (server.url, server.pid != pid) == (url, True)
    assert await Publisher(client).publish(numbered(1)) == 1
    await client.close()
