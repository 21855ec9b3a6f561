"""Faults of links: cut, slow, lossy. The back-end is what the target has for the link: packets, else a TCP proxy."""

import asyncio
from collections.abc import Awaitable, Callable

from domain.errors import TerminalError
from simulations.chaos.injection import Injection, Place
from simulations.chaos.links import FAIR, Link, Weather
from simulations.chaos.target import Target

PROBE_TIMEOUT_S = 1.0


def _link(target: Target | None, name: str) -> Link:
    found = target.links.get(name) if target is not None else None
    if found is None:
        raise TerminalError(f"the target has no link {name!r} that can be made to suffer")
    return found


async def _weather(
    target: Target | None, name: str, weather: Weather, bites: Callable[[Link], Awaitable[bool]]
) -> Injection:
    link = _link(target, name)
    link.turn(weather)

    async def has_bitten() -> bool:
        return await bites(link)

    async def heal() -> None:
        link.turn(FAIR)

    return Injection(backend=link.backend, has_bitten=has_bitten, heal=heal)


# What makes a server at the end of a link say something at once; a NATS server needs no word.
_GREETINGS = {
    "bus": b"",
    "client": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    # SSLRequest, https://www.postgresql.org/docs/current/protocol-message-formats.html.
    "database": bytes((0, 0, 0, 8, 4, 210, 22, 47)),
}


async def _round_trip_s(link: Link, name: str) -> float | None:
    """From a connection to the server's first byte; `None` if there is none in time."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(link.host, link.port)
            try:
                writer.write(_GREETINGS[name])
                said = await reader.read(1)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return None
    return loop.time() - begun_s if said else None


async def partition(place: Place, *, link: str) -> Injection:
    """Nothing comes through, in either direction."""

    async def bites(found: Link) -> bool:
        return await _round_trip_s(found, link) is None and found.seen.held + found.seen.dropped > 0

    return await _weather(place.target, link, Weather(is_cut=True), bites)


async def slow_down(place: Place, *, link: str, delay_ms: float = 100.0, jitter_ms: float = 0.0) -> Injection:
    """Everything takes longer, each way; with jitter, packets overtake each other where there are packets."""

    async def bites(found: Link) -> bool:
        took_s = await _round_trip_s(found, link)
        is_in_order = found.can_reorder and jitter_ms > 0 and not found.seen.overtaken
        is_slower = took_s is None or took_s >= (delay_ms - jitter_ms) / 1_000
        return found.seen.delayed > 0 and is_slower and not is_in_order

    return await _weather(place.target, link, Weather(delay_s=delay_ms / 1_000, jitter_s=jitter_ms / 1_000), bites)


async def lose(place: Place, *, link: str, share: float = 0.1) -> Injection:
    """A share of what is sent is lost, and sent again."""

    async def bites(found: Link) -> bool:
        return found.seen.lost > 0

    return await _weather(place.target, link, Weather(loss_share=share), bites)
