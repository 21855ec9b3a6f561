"""A JetStream stream with one pull consumer on virtual time: what the real one promises, and no more.

Stored before it is confirmed; delivered at least once, again when no acknowledgement came in time; after a crash of the
server what was confirmed is there (`sync_interval: always`), and what was not may be gone.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from domain.errors import RetryableError
from gateway.intake import Incoming
from simulations.faults import Faults
from simulations.virtual_loop import News

ACK_WAIT_S = 10.0
IDLE_S = 60.0
DELAYS_S = (0.001, 0.002, 0.005, 0.02, 0.1)
LATE_S = (1.0, 5.0, 30.0)
BATCHES_MAX = (1, 3, 10, 50)


class Stored(msgspec.Struct, kw_only=True):
    """A message of the stream. `due_at_s` is when it may be delivered (again)."""

    incoming: Incoming
    due_at_s: float
    is_confirmed: bool = False
    is_acknowledged: bool = False
    deliveries: int = 0


class SimulatedBus:
    """The stream INGEST. Nobody's process: only `crash` takes anything away from it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults) -> None:
        self._loop = loop
        self._faults = faults
        self._messages: dict[int, Stored] = {}
        self._sequence = 0
        self._recently_acknowledged: list[int] = []
        self._incarnation = 0
        self._news = News()

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The sequence, once the message is durable. Raises `RetryableError` if that cannot be said."""
        incarnation = self._incarnation
        await asyncio.sleep(self._faults.delay_s(DELAYS_S))
        self._sequence += 1
        sequence = self._sequence
        late_s = self._faults.delay_s(LATE_S) if self._faults.happens("bus_delay") else 0.0
        self._messages[sequence] = Stored(
            incoming=Incoming(subject=subject, body=body, headers=headers, sequence=sequence),
            due_at_s=self._loop.time() + late_s,
        )
        self._news.tell()
        await asyncio.sleep(self._faults.delay_s(DELAYS_S))
        stored = self._messages.get(sequence)
        if stored is None or incarnation != self._incarnation:
            raise RetryableError("the server went away before it confirmed")
        # What is confirmed is on disk; that its publisher hears of it is another matter.
        stored.is_confirmed = True
        if self._faults.happens("publish_unconfirmed"):
            raise RetryableError("the confirmation was lost")
        return sequence

    async def take(self) -> list[Incoming]:
        """Some messages that are due, at least one."""
        limit = BATCHES_MAX[len(BATCHES_MAX) - 1 - self._faults.choices.below(len(BATCHES_MAX))]
        while not (due := self._due()):
            await self._news.wait(self._next_due_s())
        if self._faults.happens("bus_reorder"):
            due = [due.pop(self._faults.choices.below(len(due))) for _ in range(len(due))]
        taken = due[:limit]
        for stored in taken:
            stored.deliveries += 1
            if self._faults.happens("bus_duplicate"):
                continue  # It stays due: somebody is given it as well.
            stored.due_at_s = self._loop.time() + ACK_WAIT_S
        await asyncio.sleep(self._faults.delay_s(DELAYS_S))
        return [stored.incoming for stored in taken]

    def _next_due_s(self) -> float:
        """When the next message that is waited for is due again."""
        due_s = [each.due_at_s for each in self._messages.values() if not each.is_acknowledged]
        return max(0.0, min(due_s) - self._loop.time()) if due_s else IDLE_S

    def _due(self) -> list[Stored]:
        now_s = self._loop.time()
        return [each for each in self._messages.values() if not each.is_acknowledged and each.due_at_s <= now_s]

    async def acknowledge(self, sequences: Sequence[int]) -> None:
        """Say that messages are done with. Nobody confirms that it was heard."""
        for sequence in sequences:
            if self._faults.happens("bus_ack_lost"):
                continue
            stored = self._messages.get(sequence)
            if stored is not None:
                stored.is_acknowledged = True
                self._recently_acknowledged.append(sequence)

    def crash(self) -> None:
        """The server is killed and back at once; publishers that wait hear of nothing."""
        self._incarnation += 1
        for sequence in [each for each, stored in self._messages.items() if not stored.is_confirmed]:
            if self._faults.choices.below(2):
                del self._messages[sequence]
        for sequence in self._recently_acknowledged[-8:]:
            if sequence in self._messages and self._faults.choices.below(2):
                self._messages[sequence].is_acknowledged = False
        self._recently_acknowledged.clear()
        for stored in self._messages.values():
            if not stored.is_acknowledged:
                stored.due_at_s = min(stored.due_at_s, self._loop.time() + ACK_WAIT_S)
        self._news.tell()

    def pending(self) -> int:
        """How many messages are not done with."""
        return sum(not stored.is_acknowledged for stored in self._messages.values())
