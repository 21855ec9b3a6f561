"""Queries for one index shard that travel together: one call carries what was asked within a few milliseconds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from projections.retrieval import AnyFound, Gather

GATHERS_MAX = 64


class Lane:
    """Questions for one index shard that wait a few milliseconds for company."""

    def __init__(self, call: Callable[[str, bytes], Awaitable[bytes]], linger_s: float) -> None:
        self._call = call
        self._linger_s = linger_s
        self._waiting: list[tuple[Gather, asyncio.Future[AnyFound]]] = []
        self._flush: asyncio.Task[None] | None = None

    async def ask(self, query: Gather) -> AnyFound:
        found: asyncio.Future[AnyFound] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, found))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        return await found

    async def _flush_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._linger_s)
            batch, self._waiting = self._waiting[:GATHERS_MAX], self._waiting[GATHERS_MAX:]
            try:
                replies = await query_all(self._call, [query for query, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait, not to this task
                for _, found in batch:
                    if not found.done():
                        found.set_exception(error)
                continue
            for (_, found), reply in zip(batch, replies, strict=True):
                if not found.done():
                    found.set_result(reply)


_found = msgspec.msgpack.Decoder(list[AnyFound])


async def query_all(call: Callable[[str, bytes], Awaitable[bytes]], queries: Sequence[Any]) -> list[AnyFound]:
    """Ask an index shard several queries in one call."""
    return _found.decode(await call("query", msgspec.msgpack.encode(list(queries))))
