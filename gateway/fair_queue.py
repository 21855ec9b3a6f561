"""A queue that is fair to tenants: what waits is taken from each in turn, however much one of them sent.

Deficit round robin (Shreedhar and Varghese, "Efficient fair queuing using deficit round-robin", 1996), with messages of
one size: each tenant in turn gives up to `QUANTUM` of them. What is above a tenant's rate waits, and keeps nobody.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from gateway.rate_limit import RateLimits

QUANTUM = 50
MIXED_FOR_S = 2.0

T = TypeVar("T")


class Flow(NamedTuple):
    """What one tenant's source sends. `party` is who shares the queue: the tenant, or "" for all that are unknown."""

    party: str
    tenant: str
    source: str


class _Party(Generic[T]):
    """A tenant in the queue: its flows that have messages, in turn."""

    def __init__(self) -> None:
        self.flows: dict[Flow, deque[T]] = {}

    def take(self, count: int, limits: RateLimits, now_s: float) -> list[T]:
        """Up to `count` messages, from each flow in turn."""
        taken: list[T] = []
        for flow in list(self.flows):
            messages = self.flows.pop(flow)
            wanted = min(count - len(taken), len(messages))
            passing = limits.take(flow.tenant, flow.source, wanted, now_s=now_s) if wanted else 0
            taken += [messages.popleft() for _ in range(passing)]
            if messages:
                self.flows[flow] = messages  # Behind the others.
        return taken


class FairQueue(Generic[T]):
    """Messages that wait for a batch.

    Args:
        limits: how much of each flow may pass; what may not stays.
        clock_s: the time of the limits, in seconds.
    """

    def __init__(self, limits: RateLimits, *, clock_s: Callable[[], float]) -> None:
        self._limits = limits
        self._clock_s = clock_s
        self._parties: dict[str, _Party[T]] = {}
        self._ring: deque[str] = deque()
        self._length = 0
        self._last_party: str | None = None
        self._mixed_at_s = float("-inf")

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """Everything that waits, in no order."""
        for party in self._parties.values():
            for messages in party.flows.values():
                yield from messages

    def put(self, flow: Flow, message: T) -> int:
        """Let a message wait behind those of its flow; returns how many of the flow wait then."""
        if flow.party != self._last_party:
            if self._last_party is not None:
                self._mixed_at_s = self._clock_s()
            self._last_party = flow.party
        party = self._parties.get(flow.party)
        if party is None:
            party = self._parties[flow.party] = _Party()
            self._ring.append(flow.party)
        messages = party.flows.setdefault(flow, deque())
        messages.append(message)
        self._length += 1
        return len(messages)

    def take(self, count: int) -> list[T]:
        """Up to `count` messages that may pass now, from each tenant in turn."""
        now_s = self._clock_s()
        taken: list[T] = []
        idle_turns = 0
        while self._ring and len(taken) < count and idle_turns < len(self._ring):
            name = self._ring.popleft()
            party = self._parties[name]
            given = party.take(min(QUANTUM, count - len(taken)), self._limits, now_s)
            taken += given
            idle_turns = 0 if given else idle_turns + 1
            if party.flows:
                self._ring.append(name)
            else:
                del self._parties[name]
        self._length -= len(taken)
        return taken

    def behind(self, flow: Flow, keep: int) -> list[T]:
        """The messages of a flow behind the first `keep`, in their order."""
        party = self._parties.get(flow.party)
        return list(party.flows.get(flow, ()))[keep:] if party is not None else []

    def withdraw(self, flow: Flow, keep: int) -> list[T]:
        """Take the messages behind the first `keep`, at least one, of a flow out of the queue."""
        assert keep > 0, "a flow that waits has a message"
        withdrawn = self.behind(flow, keep)
        for _ in withdrawn:
            self._parties[flow.party].flows[flow].pop()
        self._length -= len(withdrawn)
        return withdrawn

    def clear(self) -> list[T]:
        """Take everything out of the queue, in no order."""
        waiting = list(self)
        self._parties.clear()
        self._ring.clear()
        self._length = 0
        return waiting

    def lengths(self) -> dict[Flow, int]:
        """How many messages of each flow wait."""
        return {flow: len(messages) for party in self._parties.values() for flow, messages in party.flows.items()}

    def ready_in_s(self) -> float | None:
        """In how many seconds some message may pass, 0 if one may now; `None` if nothing waits."""
        now_s = self._clock_s()
        waits = (
            self._limits.wait_s(flow.tenant, flow.source, now_s=now_s)
            for party in self._parties.values()
            for flow in party.flows
        )
        return min(waits, default=None)

    def is_mixed(self) -> bool:
        """Whether messages of more than one tenant came lately."""
        return self._clock_s() - self._mixed_at_s < MIXED_FOR_S
