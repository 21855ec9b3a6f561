"""Requests at a steady rate, whatever the answers take: each is due at its time, and is late from then on.

A generator that waits for an answer before it asks again does not ask while the server stands still, and sees nothing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from domain.errors import TerminalError
from simulations.http_load import percentile

CONNECTIONS = 64


class Answered(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One response: when its request was due and how long it took from then, in seconds, status and body."""

    due_s: float
    took_s: float
    status: int
    body: bytes


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests, how many of them failed, and percentiles of the time from when they were due, in ms."""

    requests: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def times_of(answered: Sequence[Answered]) -> Times:
    """The figures of some responses."""
    took_s = sorted(each.took_s for each in answered)
    return Times(
        requests=len(answered),
        failed=sum(not 200 <= each.status < 300 for each in answered),
        p50_ms=round(percentile(took_s, 0.50) * 1000, 1),
        p95_ms=round(percentile(took_s, 0.95) * 1000, 1),
        p99_ms=round(percentile(took_s, 0.99) * 1000, 1),
        max_ms=round(took_s[-1] * 1000, 1) if took_s else 0.0,
    )


class SteadyLoad:
    """Sends requests at a rate until it is stopped, or there are none left.

    Args:
        host: the server's host.
        port: its port.
        requests: makes the next request's bytes, `None` at the end.
        per_second: how many are due in a second.
        connections: how many may be under way; more than that wait for a connection, and their time runs.
    """

    def __init__(
        self,
        host: str,
        port: int,
        requests: Callable[[], bytes | None],
        *,
        per_second: float,
        connections: int = CONNECTIONS,
    ) -> None:
        self._at = (host, port)
        self._requests = requests
        self._per_second = per_second
        self._connections = connections
        self._due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        self.answered: list[Answered] = []
        self._is_over = False

    async def run(self) -> None:
        """Ask until `stop` or the last request, then wait for what is under way."""
        workers = [asyncio.create_task(self._ask()) for _ in range(self._connections)]
        first_s = time.perf_counter()
        count = 0
        while not self._is_over:
            due_s = first_s + count / self._per_second
            if (ahead_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(ahead_s)
            if (request := self._requests()) is None:
                break
            self._due.put_nowait((due_s, request))
            count += 1
        for _ in workers:
            self._due.put_nowait(None)
        await asyncio.gather(*workers)

    def stop(self) -> None:
        """Ask nothing more."""
        self._is_over = True

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection(*self._at)
        while (due := await self._due.get()) is not None:
            due_s, request = due
            writer.write(request)
            status, body = await _response(reader)
            took_s = time.perf_counter() - due_s
            self.answered.append(Answered(due_s=due_s, took_s=took_s, status=status, body=body))
        writer.close()
        await writer.wait_closed()


async def _response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    start = head.find(b"content-length:")
    if start < 0:
        raise TerminalError("the load generator reads responses with a Content-Length only")
    length = int(head[start + 15 :].split(b"\r\n", 1)[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)
