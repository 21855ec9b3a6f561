"""A nats-server for one test, and what it said of itself."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.bus import Outgoing, ingest_subject
from gateway.nats_server import HOST, NatsServer

BYTES_MAX = 64 * 1024**2
SUBJECT = ingest_subject("acme", "stripe")


class Told:
    """The events of a server in order; who waits for one is woken by it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, event: str, fields: dict[str, object]) -> None:
        assert fields
        self.names.append(event)
        self._news.set()

    async def reconnected(self) -> None:
        """To be called by a client that is connected again."""
        self("client_reconnected", {"by": "the client"})

    async def until(self, name: str, times: int = 1) -> None:
        """Wait until an event has happened so many times."""
        async with asyncio.timeout(30):
            while self.names.count(name) < times:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def running(
    directory: Path, told: Told, *, host: str = HOST, entering: Sequence[str] = ()
) -> AsyncIterator[NatsServer]:
    """A server that has ended when the block is left."""
    server = NatsServer(directory, port=0, on_event=told, host=host, entering=entering)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ended(pid: int) -> None:
    """Wait until a process, of whomever, is no more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await asyncio.wait_for(gone.wait(), 30)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def numbered(number: int, **headers: str) -> Outgoing:
    """A message with a body of its own."""
    return Outgoing(SUBJECT, body(number), {name.replace("_", "-"): value for name, value in headers.items()})


def body(number: int) -> bytes:
    return b"message %d" % number
