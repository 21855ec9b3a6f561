"""Queries for one index shard that travel together: one call carries what was asked within a few milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from projections.retrieval import AnyFound, Gather

GATHERS_MAX = 64
# However many tenants ask at once: below this a batch saves little.
GATHERS_MIN = 4


class Lane:
    """One tenant's questions that wait a few milliseconds for company; one batch of them is under way at a time.

    Args:
        call: calls the tenant's index shard.
        linger_s: how long the first one waits.
        busy: the lanes in which somebody waits; each has an equal share of a batch, so that nobody waits behind all
            that another tenant asks.
    """

    def __init__(self, call: Callable[[str, bytes], Awaitable[bytes]], linger_s: float, busy: "set[Lane]") -> None:
        self._call = call
        self._linger_s = linger_s
        self._busy = busy
        self._waiting: list[tuple[Gather, asyncio.Future[AnyFound]]] = []
        self._flush: asyncio.Task[None] | None = None

    async def ask(self, query: Gather) -> AnyFound:
        """What is found for the query."""
        found: asyncio.Future[AnyFound] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, found))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        return await found

    async def _flush_all(self) -> None:
        self._busy.add(self)
        try:
            while self._waiting:
                await asyncio.sleep(self._linger_s)
                count = max(GATHERS_MIN, GATHERS_MAX // len(self._busy))
                batch, self._waiting = self._waiting[:count], self._waiting[count:]
                await self._serve(batch)
        finally:
            self._busy.discard(self)

    async def _serve(self, batch: Sequence[tuple[Gather, asyncio.Future[AnyFound]]]) -> None:
        try:
            replies = await query_all(self._call, [query for query, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait, not to this task
            for _, found in batch:
                if not found.done():
                    found.set_exception(error)
            return
        for (_, found), reply in zip(batch, replies, strict=True):
            if not found.done():
                found.set_result(reply)


_found = msgspec.msgpack.Decoder(list[AnyFound])


async def query_all(call: Callable[[str, bytes], Awaitable[bytes]], queries: Sequence[Any]) -> list[AnyFound]:
    """Ask an index shard several queries in one call."""
    return _found.decode(await call("query", msgspec.msgpack.encode(list(queries))))
