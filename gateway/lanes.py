"""How messages come from the stream to the batches: fairly, however much one source of one tenant sends.

All share one lane, the consumer `intake`, which delivers in the order of the stream; here they are sorted into a fair
queue. A flow (a tenant's source) that piles up there would keep the others behind it. It gets a lane of its own: a
durable consumer for its subject alone, from the first message that is not taken in yet. From then on the shared lane's
copies of its messages are acknowledged unread, at several times the speed at which the stream takes new ones, so that
the others are always near; and its own lane is asked for no more than can be taken in.

What makes this safe:
- Nothing is acknowledged unread unless its own lane is durable and starts at or before it.
- An intake passes over messages only while it has seen, within `VIEW_MAX_AGE_S`, that the lane is open. A lane is
  deleted only by an intake that has seen it closing for three times as long, and only when it is drained.
- What is delivered by both is taken in twice, which changes nothing.
- None of it counts the intakes. One that joins passes over nothing until it has looked, and sees a lane closing from
  its own first look on; what one that leaves has not acknowledged keeps a lane from being drained, and comes again.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

from actors.tasks import is_to_end
from domain.errors import RetryableError
from gateway.bus import (
    ACK_WAIT_S,
    OWN_LANE_PREFIX,
    PULL_CREDIT,
    STREAM,
    Pull,
    acknowledge,
    add_consumer,
    consumers,
    give_back,
    ingest_subject,
    keep_waiting,
    stream_sequence,
    subject_count,
)
from gateway.fair_queue import FairQueue, Flow
from gateway.rate_limit import RateLimits

OWN_LANES_MAX = 64
# What a flow may have in the queue without a lane of its own, and what it has there with one.
KEPT_MAX = 500
LOOK_EVERY_S = 1.0
VIEW_MAX_AGE_S = 5.0
CLOSING_FOR_S = 15.0
QUIET_FOR_S = 30.0
CLOSING = {"recount": "closing"}

log = structlog.get_logger("intake")


class OwnLane:
    """A flow's own consumer, as this intake sees it."""

    def __init__(self, info: ConsumerInfo, flow: Flow, pull: Pull, now_s: float) -> None:
        self.info = info
        self.flow = flow
        self.pull = pull
        self.quiet_since_s = now_s
        self.closing_since_s: float | None = None

    @property
    def start(self) -> int:
        """The first sequence that it delivers."""
        return self.info.config.opt_start_seq or 1

    @property
    def waiting(self) -> int:
        """How many messages it had that are not taken in."""
        return (self.info.num_pending or 0) + (self.info.num_ack_pending or 0)

    def see(self, info: ConsumerInfo, now_s: float, *, quiet_below: int) -> None:
        """Keep what the server says of it."""
        self.info = info
        if self.waiting >= quiet_below:
            self.quiet_since_s = now_s
        if self.closing_since_s is None and CLOSING.items() <= (info.config.metadata or {}).items():
            self.closing_since_s = now_s


class _Arrived(msgspec.Struct, frozen=True):
    """A message in the queue, and whether the shared lane brought it."""

    message: Msg
    is_shared: bool


class Lanes:
    """Pulls from the shared lane and from those of flows of their own; gives batches that are fair to tenants.

    Args:
        limits: how much of each flow may pass.
        tenants: who is known; all others together count as one tenant.
        clock_s: seconds, monotonic.
    """

    def __init__(self, limits: RateLimits, *, tenants: Collection[str], clock_s: Callable[[], float]) -> None:
        self._limits = limits
        self._tenants = tenants
        self._clock_s = clock_s
        self._queue: FairQueue[_Arrived] = FairQueue(limits, clock_s=clock_s)
        self._wake = asyncio.Event()
        self._filled = asyncio.Event()
        self._piled = asyncio.Event()
        self._shared = Pull(wake=self._wake)
        self._from_shared = 0
        self._own: dict[str, OwnLane] = {}
        # From which sequence on the shared lane's messages of a subject are another lane's.
        self._passed_from: dict[str, int] = {}
        self._seen_at_s = float("-inf")
        self._looks_from_s = float("-inf")
        self._has_others = False
        self._subject = ""
        self._is_over = False

    async def start(self, client: Client) -> None:
        """Begin to pull."""
        self._client = client
        await self._shared.start(client)

    async def renew(self) -> None:
        """Ask anew in every lane, after a reconnection."""
        if self._is_over:
            return
        for pull in self._pulls():
            await pull.renew()
        self._wake.set()

    def divide(self, share: float) -> None:
        """Let another part of each tenant's rate pass here from now on."""
        self._limits.divide(share, now_s=self._clock_s())
        for lane in self._own.values():
            lane.pull.credit_max = self._kept(lane.flow)
        self._filled.set()  # Who waits for a rate waits anew.

    async def give_back(self) -> int:
        """Pull no more and give back what waits, so that others have it at once; returns how many messages.

        To be called when `run` has ended; what `take` gave is the caller's to acknowledge.
        """
        self._is_over = True
        waiting = [each.message for each in self._queue.clear()]
        for pull in self._pulls():
            await pull.finish()
            waiting += pull.arrived()
        await give_back(self._client, waiting)
        return len(waiting)

    def _pulls(self) -> list[Pull]:
        return [self._shared, *(lane.pull for lane in self._own.values())]

    async def take(self, batch_max: int, *, mixed_max: int) -> list[Msg]:
        """The next batch; waits for the first message.

        At most `batch_max` messages; `mixed_max` while several tenants send, so that none waits long for another's.
        """
        while True:
            taken = self._queue.take(mixed_max if self._queue.is_mixed() else batch_max)
            if taken:
                self._from_shared -= sum(each.is_shared for each in taken)
                self._wake.set()  # There is room again.
                return [each.message for each in taken]
            self._filled.clear()
            try:
                async with asyncio.timeout(self._queue.ready_in_s()):
                    await self._filled.wait()
            except TimeoutError:
                continue  # A message that had to wait for its rate may pass now.

    async def run(self) -> None:
        """Sort what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_lanes())
            tasks.create_task(self._keep_waiting())
            while not is_to_end():
                self._wake.clear()
                await self._sort()
                await self._ask()
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._wake.wait()
                except TimeoutError:
                    for pull in self._pulls():
                        await pull.ask_again_if_forgotten()

    async def _watch_lanes(self) -> None:
        """Open, see and close lanes; apart from sorting, which must not wait for the server's answers."""
        while not is_to_end():
            self._piled.clear()
            try:
                await self._look()
                await self._set_apart()
            except (NatsError, RetryableError, TimeoutError) as error:
                # The server is away: there is nothing to be fair with, and what is queued goes on.
                log.debug("lanes_not_seen", reason=str(error) or type(error).__name__)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._piled.wait()
            except TimeoutError:
                continue

    async def _keep_waiting(self) -> None:
        """Tell the server of what waits in the queue, so that it is not delivered again meanwhile."""
        while not is_to_end():
            await asyncio.sleep(ACK_WAIT_S / 3)
            await keep_waiting(self._client, [each.message for each in self._queue])

    async def _sort(self) -> None:
        """Put what has come into the queue; acknowledge what comes through a lane of its own instead."""
        passed_over: list[Msg] = []
        may_pass = self._clock_s() - self._seen_at_s < VIEW_MAX_AGE_S
        for message in self._shared.arrived():
            passed_from = self._passed_from.get(message.subject) if may_pass else None
            if passed_from is not None and stream_sequence(message) >= passed_from:
                passed_over.append(message)
            else:
                self._put(message, is_shared=True)
        for lane in self._own.values():
            for message in lane.pull.arrived():
                self._put(message, is_shared=False)
        await acknowledge(self._client, passed_over)

    def _put(self, message: Msg, *, is_shared: bool) -> None:
        if message.subject != self._subject:
            # Two subjects one after the other are known here before the next look at the stream tells of them.
            self._has_others = self._has_others or bool(self._subject)
            self._subject = message.subject
        flow = self._flow(message.subject)
        length = self._queue.put(flow, _Arrived(message, is_shared))
        self._from_shared += is_shared
        self._filled.set()
        if self._has_others and length > 2 * self._kept(flow) and self._may_open(message.subject):
            self._piled.set()

    def _flow(self, subject: str) -> Flow:
        _, tenant, source = subject.split(".", 2)
        return Flow(tenant if tenant in self._tenants else "", tenant, source)

    def _kept(self, flow: Flow) -> int:
        """How many messages of a flow may wait here: no more than are taken in within about a second."""
        return max(1, int(min(KEPT_MAX, self._limits.rate_per_s(flow.tenant, flow.source))))

    async def _ask(self) -> None:
        """Ask for more where there is room."""
        if self._from_shared < PULL_CREDIT:
            await self._shared.ask()
        if self._own:
            lengths = self._queue.lengths()
            for lane in list(self._own.values()):
                if lengths.get(lane.flow, 0) < self._kept(lane.flow):
                    await lane.pull.ask()

    async def _look(self) -> None:
        """See which lanes there are, now and then; close those that are quiet and delete those that are closed."""
        now_s = self._clock_s()
        if now_s < self._looks_from_s:
            return
        self._looks_from_s = now_s + LOOK_EVERY_S
        found = {info.name: info for info in await consumers(self._client) if info.name.startswith(OWN_LANE_PREFIX)}
        self._has_others = await subject_count(self._client) > 1
        for name in self._own.keys() - found.keys():
            await self._own.pop(name).pull.stop()
        for info in found.values():
            await self._keep(info)
        self._passed_from = {}
        for lane in self._own.values():
            if lane.closing_since_s is None:
                subject = ingest_subject(lane.flow.tenant, lane.flow.source)
                self._passed_from[subject] = min(lane.start, self._passed_from.get(subject, lane.start))
        self._seen_at_s = now_s
        for lane in list(self._own.values()):
            await self._close_if_quiet(lane, now_s)

    async def _keep(self, info: ConsumerInfo) -> OwnLane:
        """The lane of a consumer, which is pulled from at once if it was not known."""
        lane = self._own.get(info.name)
        if lane is None:
            flow = self._flow(info.config.filter_subject or "")
            pull = Pull(info.name, credit_max=self._kept(flow), wake=self._wake)
            lane = self._own[info.name] = OwnLane(info, flow, pull, self._clock_s())
            await pull.start(self._client)
        lane.see(info, self._clock_s(), quiet_below=self._kept(lane.flow))
        return lane

    async def _close_if_quiet(self, lane: OwnLane, now_s: float) -> None:
        if lane.closing_since_s is None:
            if now_s - lane.quiet_since_s > QUIET_FOR_S:
                config = lane.info.config
                await add_consumer(
                    self._client,
                    lane.info.name,
                    subject=config.filter_subject or "",
                    start=lane.start,
                    metadata=CLOSING,
                )
        elif now_s - lane.closing_since_s > CLOSING_FOR_S and lane.waiting == 0:
            try:
                await self._client.jetstream().delete_consumer(STREAM, lane.info.name)
            except NotFoundError:
                return  # Another intake was first.
            log.info("lane_closed", tenant=lane.flow.tenant, source=lane.flow.source)

    async def _set_apart(self) -> None:
        """Give a lane of its own to each flow that piles up in the queue, if there is anyone whom it could keep."""
        if not self._has_others:
            return
        for flow, length in self._queue.lengths().items():
            subject = ingest_subject(flow.tenant, flow.source)
            if length > 2 * self._kept(flow) and self._may_open(subject):
                await self._open(flow, subject)

    def _may_open(self, subject: str) -> bool:
        return subject not in self._passed_from and len(self._own) < OWN_LANES_MAX

    async def _open(self, flow: Flow, subject: str) -> None:
        """Open a lane for what a flow has in the queue above what is kept, and for all that comes after."""
        kept = self._kept(flow)
        start = min((stream_sequence(each.message) for each in self._queue.behind(flow, kept)), default=None)
        if start is None:
            return
        name = f"{OWN_LANE_PREFIX}{hashlib.sha256(subject.encode()).hexdigest()[:16]}-{start}"
        lane = await self._keep(await add_consumer(self._client, name, subject=subject, start=start))
        self._passed_from[subject] = lane.start
        withdrawn = self._queue.withdraw(flow, kept)
        self._from_shared -= sum(each.is_shared for each in withdrawn)
        for each in withdrawn:
            if stream_sequence(each.message) < lane.start:
                self._put(each.message, is_shared=each.is_shared)
        await acknowledge(
            self._client, [each.message for each in withdrawn if stream_sequence(each.message) >= lane.start]
        )
        log.info("lane_opened", tenant=flow.tenant, source=flow.source, start=start)
