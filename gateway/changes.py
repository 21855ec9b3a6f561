"""Listening to what the projectors change: the cache's evictions, the hints on NATS, waiting for a position."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog

from actors.changes import AwaitChanges, Change, Changes

LISTEN_S = 1.0
DEAF_AFTER_S = 2.5
RETRY_S = 0.1

log = structlog.get_logger("changes")

Call = Callable[[str, bytes], Awaitable[bytes]]


class Listener:
    """Follows one index shard's changes.

    Args:
        call: calls the index shard.
        on_change: told each change in order.
        on_missed: told when changes may have been missed, before the next one.
        clock_s: a monotonic clock.
    """

    def __init__(
        self,
        call: Call,
        *,
        on_change: Callable[[Change], None],
        on_missed: Callable[[], None],
        clock_s: Callable[[], float],
    ) -> None:
        self._call = call
        self._on_change = on_change
        self._on_missed = on_missed
        self._clock_s = clock_s
        self._incarnation = ""
        self._next = 0
        self._heard_at_s = float("-inf")
        self._news = asyncio.Condition()
        self.projected: Mapping[str, int] = {}
        self.head = 0

    def is_hearing(self) -> bool:
        """Whether changes are heard: if not, what is cached may be out of date and is passed by."""
        return self._clock_s() - self._heard_at_s < DEAF_AFTER_S

    async def run(self) -> None:
        """Listen for as long as the task lives."""
        while True:
            try:
                await self.listen_once(LISTEN_S)
            except Exception as error:  # noqa: BLE001 - a listener that ends would leave the cache deaf for good
                log.warning("changes_not_heard", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def listen_once(self, timeout_s: float) -> Changes:
        """Wait for the next changes and pass them on; the first time only ask whether there is anyone to be heard."""
        wanted = AwaitChanges(after=self._next, timeout_s=timeout_s if self._incarnation else 0.0)
        heard = msgspec.msgpack.decode(await self._call("changes", msgspec.msgpack.encode(wanted)), type=Changes)
        if heard.incarnation != self._incarnation or heard.first != self._next:
            self._incarnation = heard.incarnation
            self._on_missed()
        for change in heard.changes:
            self._on_change(change)
        self._next = heard.next
        self.projected, self.head = heard.projected, heard.head
        self._heard_at_s = self._clock_s()
        async with self._news:
            self._news.notify_all()
        return heard

    async def look(self, head: int) -> Mapping[str, int]:
        """How far the projections are, asked now. What was read at or after `head` counts as having reached it."""
        wanted = AwaitChanges(after=self._next, timeout_s=0.0)
        heard = msgspec.msgpack.decode(await self._call("changes", msgspec.msgpack.encode(wanted)), type=Changes)
        return {name: min(position, head) for name, position in heard.projected.items()}

    async def wait_for(self, projections: Sequence[str], position: int, timeout_s: float) -> bool:
        """Whether the projections are heard, and reached the position, within the time."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(
                    lambda: (
                        self.is_hearing()
                        and all(self.projected.get(projection, 0) >= position for projection in projections)
                    )
                )
        except TimeoutError:
            return False
        return True
