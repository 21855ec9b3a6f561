"""A load generator that costs little itself: plain HTTP/1.1 over kept-alive connections, one request at a time each.

It shares the machine with what it measures; a client library would use more of it than the server does.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgspec

from domain.errors import TerminalError


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Requests per second, and percentiles of the time to the whole response, in milliseconds."""

    requests: int
    errors: int
    seconds: float
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of an ascending sequence lies; 0 for an empty one."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def request_bytes(method: str, host: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """One request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the response to the last one is complete."""

    def __init__(
        self, next_request: Callable[[], bytes | None], on_body: Callable[[bytes], None], done: Callable[[], None]
    ) -> None:
        self._next_request = next_request
        self._on_body = on_body
        self._done = done
        self._buffer = b""
        self._sent_s = 0.0
        self.times_s: list[float] = []
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        request = self._next_request()
        if request is None:
            self._transport.close()
            return
        self._sent_s = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        start = head.find(b"content-length:")
        if start < 0:
            raise TerminalError("the load generator reads responses with a Content-Length only")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        self.times_s.append(time.perf_counter() - self._sent_s)
        if head.startswith(b"http/1.1 2"):
            self._on_body(self._buffer[end + 4 : end + 4 + length])
        else:
            self.errors += 1
        self._buffer = self._buffer[end + 4 + length :]
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._done()


async def run_load(
    host: str,
    port: int,
    requests: Callable[[], bytes],
    *,
    connections: int,
    seconds: float,
    on_body: Callable[[bytes], None] = lambda body: None,
) -> LoadResult:
    """Ask as fast as the answers come, on so many connections, for so long; `on_body` gets the body of each answer."""
    stop_s = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()

    def next_request() -> bytes | None:
        return requests() if time.perf_counter() < stop_s else None

    ends: list[asyncio.Future[None]] = []
    protocols: list[_Connection] = []
    started_s = time.perf_counter()
    for _ in range(connections):
        ended: asyncio.Future[None] = loop.create_future()
        ends.append(ended)
        protocol = _Connection(next_request, on_body, partial(_end, ended))
        protocols.append(protocol)
        await loop.create_connection(lambda protocol=protocol: protocol, host, port)  # type: ignore[misc] # as above
    await asyncio.gather(*ends)
    took_s = time.perf_counter() - started_s
    times_s = sorted(each for protocol in protocols for each in protocol.times_s)
    return LoadResult(
        requests=len(times_s),
        errors=sum(protocol.errors for protocol in protocols),
        seconds=round(took_s, 2),
        per_second=round(len(times_s) / took_s, 1),
        p50_ms=round(percentile(times_s, 0.50) * 1000, 1),
        p95_ms=round(percentile(times_s, 0.95) * 1000, 1),
        p99_ms=round(percentile(times_s, 0.99) * 1000, 1),
    )


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
