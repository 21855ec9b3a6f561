"""Faults of links: cut, slow, lossy. The back-end is a TCP proxy."""

import asyncio
from collections.abc import Awaitable, Callable

from domain.errors import TerminalError
from simulations.chaos.injection import Injection, Place
from simulations.chaos.proxy import FAIR, Proxy, Weather
from simulations.chaos.target import Target

PROBE_TIMEOUT_S = 1.0


def _proxy(target: Target | None, link: str) -> Proxy:
    proxy = target.proxies.get(link) if target is not None else None
    if proxy is None:
        raise TerminalError(f"the target has no link {link!r} that can be made to suffer")
    return proxy


async def _weather(
    target: Target | None, link: str, weather: Weather, bites: Callable[[Proxy], Awaitable[bool]]
) -> Injection:
    proxy = _proxy(target, link)
    proxy.turn(weather)

    async def has_bitten() -> bool:
        return await bites(proxy)

    async def heal() -> None:
        proxy.turn(FAIR)

    return Injection(backend="TCP proxy", has_bitten=has_bitten, heal=heal)


# What makes a server at the end of a link say something at once; a NATS server needs no word.
_GREETINGS = {
    "bus": b"",
    "client": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    # SSLRequest, https://www.postgresql.org/docs/current/protocol-message-formats.html.
    "database": bytes((0, 0, 0, 8, 4, 210, 22, 47)),
}


async def _round_trip_s(proxy: Proxy, link: str) -> float | None:
    """From a connection to the server's first byte; `None` if there is none in time."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            try:
                writer.write(_GREETINGS[link])
                said = await reader.read(1)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return None
    return loop.time() - begun_s if said else None


async def partition(place: Place, *, link: str) -> Injection:
    """Nothing comes through, in either direction."""

    async def bites(proxy: Proxy) -> bool:
        return await _round_trip_s(proxy, link) is None and proxy.seen.held > 0

    return await _weather(place.target, link, Weather(is_cut=True), bites)


async def slow_down(place: Place, *, link: str, delay_ms: float = 100.0, jitter_ms: float = 0.0) -> Injection:
    """Everything takes longer, each way."""

    async def bites(proxy: Proxy) -> bool:
        took_s = await _round_trip_s(proxy, link)
        return proxy.seen.delayed > 0 and (took_s is None or took_s >= (delay_ms - jitter_ms) / 1_000)

    return await _weather(place.target, link, Weather(delay_s=delay_ms / 1_000, jitter_s=jitter_ms / 1_000), bites)


async def lose(place: Place, *, link: str, share: float = 0.1) -> Injection:
    """A share of what is sent is lost, and sent again."""

    async def bites(proxy: Proxy) -> bool:
        return proxy.seen.lost > 0

    return await _weather(place.target, link, Weather(loss_share=share), bites)
