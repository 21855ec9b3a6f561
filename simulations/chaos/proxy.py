"""A TCP proxy with bad weather: the fallback where packets cannot be had (wire.py), and what clients go through.

What a proxy cannot do is drop a packet, or let one overtake another: it does what a connection makes of a lost one, and
holds everything behind it until it would have been sent again, at twice the interval each time. What is sent while the
link is cut comes when it is whole again.
"""

import asyncio
import random
from collections.abc import Awaitable
from contextlib import suppress

from simulations.chaos.links import FAIR, HOST, Seen, Weather

PIECE_BYTES = 65_536
# The least that Linux waits before it sends a segment again (TCP_RTO_MIN).
RESEND_S = 0.2
HELD_PIECES_MAX = 1_000


class Proxy:
    """Forwards connections to a port of this machine, in whatever weather.

    Args:
        port: where to.
        seed: of jitter and losses.
    """

    host = HOST
    backend = "TCP proxy"
    can_reorder = False

    def __init__(self, port: int, *, seed: int = 1) -> None:
        self._to = port
        self._rng = random.Random(seed)
        self._weather = FAIR
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.seen = Seen()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None, "the proxy was not started"
        self._server.close()
        for each in self._connections:
            each.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def turn(self, weather: Weather) -> None:
        """From now on it is like this. What was counted begins anew."""
        self._weather, self.seen = weather, Seen()
        if weather.is_cut:
            self._whole.clear()
        else:
            self._whole.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._through()
                there = await asyncio.open_connection(HOST, self._to)
                try:
                    await _first(self._pump(reader, there[1]), self._pump(there[0], writer))
                finally:
                    there[1].transport.abort()
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _through(self) -> None:
        if not self._whole.is_set():
            self.seen.held += 1
        await self._whole.wait()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction: pieces arrive after their time under way, in the order in which they were sent."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_PIECES_MAX)
        taking = asyncio.create_task(self._take(reader, under_way))
        try:
            await self._give(under_way, writer)
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, under_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        loop, last_s = asyncio.get_running_loop(), 0.0
        piece = b"begin"
        while piece:
            try:
                piece = await reader.read(PIECE_BYTES)
            except OSError:
                piece = b""
            # A piece that is slower than the next one holds that up: this is a connection.
            last_s = max(last_s, loop.time() + self._travel_s())
            await under_way.put((last_s, piece))

    async def _give(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at_s, piece = await under_way.get()
            await asyncio.sleep(max(0.0, at_s - loop.time()))
            await self._through()
            if not piece:
                return
            writer.write(piece)
            await writer.drain()

    def _travel_s(self) -> float:
        """How long a piece takes."""
        weather, rng = self._weather, self._rng
        self.seen.pieces += 1
        travel_s = max(0.0, weather.delay_s + rng.uniform(-weather.jitter_s, weather.jitter_s))
        self.seen.delayed += travel_s > 0
        again_s = RESEND_S
        while rng.random() < weather.loss_share:
            self.seen.lost += 1
            travel_s += again_s
            again_s *= 2
        return travel_s


async def _first(*works: Awaitable[None]) -> None:
    """Until one of them ends; the others end with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
