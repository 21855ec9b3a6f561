"""An intake as a process hosts it: a thread with an event loop between the stream and the shards."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.payment_shard import ROLE, Health
from actors.remote import Hosting, RayEndpoint
from actors.router import Dispatch, Router
from actors.tasks import end
from domain.settings import BATCH_MAX, QuarantineSettings
from domain.sharding import tenant_bucket_of
from domain.tenant_settings import TenantSettings
from gateway.bus import ACK_WAIT_S, acknowledge, connect, keep_waiting, stream_sequence
from gateway.intake import Incoming, Intake, Item, Settled
from gateway.lanes import Lanes
from gateway.privacy.cleanse import Cleanser
from gateway.quarantine import Quarantine
from gateway.rate_limit import RateLimits
from gateway.raw_store import raw_store_of
from gateway.sources import SOURCES, Sources
from gateway.tally import Tally
from projections.tracing import span

BATCHES_IN_FLIGHT_MAX = 2
# How much of a batch's time a tenant waits at most for the others' messages in it.
MIXED_BATCH_MAX = 200
STARTED_TIMEOUT_S = 30.0
# As long as a batch may take: what is left then comes again to others.
FINISH_TIMEOUT_S = 20.0
# What it is told comes beside what it is asked.
INTAKE_HOSTING = Hosting(groups={"operators": 1}, methods={"divide": "operators", "finish": "operators"})

log = structlog.get_logger("intake")


class IntakePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an intake works and who exists.

    Args:
        divided_by: by how many each tenant's rate is divided until `divide` says otherwise.
        is_added: whether it joins others that are at work, and their tenants' limits.
    """

    name: str
    data: str
    nats_url: str
    payment_shards: int
    index_hosts: tuple[str, ...]
    tenants: dict[str, TenantSettings]
    divided_by: int = 1
    is_added: bool = False
    quarantine: QuarantineSettings = QuarantineSettings()


class IntakeStats(msgspec.Struct, kw_only=True):
    """What an intake did since it started, in messages and batches.

    Args:
        divided_by: by how many each tenant's rate is divided.
        idle_seconds: how long it had room for a batch and nothing that may pass.
        up_seconds: since when it counts.
    """

    divided_by: int
    idle_seconds: float = 0.0
    up_seconds: float = 0.0
    messages: int = 0
    batches: int = 0
    recorded: int = 0
    unchanged: int = 0
    quarantined: int = 0


class IntakeHost:
    """Pulls, takes in and acknowledges until its process ends."""

    def __init__(self, place: bytes) -> None:
        self._place = msgspec.msgpack.decode(place, type=IntakePlace)
        self._stats = IntakeStats(divided_by=self._place.divided_by)
        self._tally = Tally(self._place.tenants, kinds=SOURCES.keys())
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._started_s = time.monotonic()
        # While it is idle.
        self._idle_since_s: float | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        threading.Thread(target=self._run, name=self._place.name, daemon=True).start()
        if not self._started.wait(STARTED_TIMEOUT_S):
            raise TimeoutError(f"{self._place.name} did not reach {self._place.nats_url}")

    def ping(self, _: bytes = b"") -> bytes:
        """A `Health`. Raises what ended the loop, so that a dead intake is replaced and not believed alive."""
        if self._failure is not None:
            raise self._failure
        stats = {name: float(getattr(self._stats, name)) for name in self._stats.__struct_fields__}
        now_s, since_s = time.monotonic(), self._idle_since_s
        stats["up_seconds"] = now_s - self._started_s
        stats["idle_seconds"] += now_s - since_s if since_s is not None else 0.0
        return msgspec.msgpack.encode(Health(pid=os.getpid(), stats=stats))

    def tallied(self, _: bytes = b"") -> bytes:
        """The `Tallied` of every tenant and source."""
        return msgspec.msgpack.encode(self._tally.totals())

    def divide(self, divided_by: bytes) -> bytes:
        """There are so many intakes now, among which each tenant's rate is divided."""
        self._loop.call_soon_threadsafe(self._divide, msgspec.msgpack.decode(divided_by, type=int))
        return b""

    def finish(self, _: bytes = b"") -> bytes:
        """Pull no more, give back what waits, finish what is being taken in; the last `tallied`.

        Raises `TimeoutError` if that takes too long: what is left comes again to others.
        """
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(FINISH_TIMEOUT_S)
        return self.tallied()

    def _divide(self, divided_by: int) -> None:
        self._lanes.divide(1 / divided_by)
        self._stats.divided_by = divided_by

    async def _finish(self) -> None:
        await end([self._sorting])
        given_back = await self._lanes.give_back()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        await self._client.flush()
        log.info("intake_finished", given_back=given_back)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            raise

    async def _serve(self) -> None:
        place = self._place
        payments = Router([RayEndpoint(f"{ROLE}-{shard}") for shard in range(place.payment_shards)])
        knowledge = Router([RayEndpoint(name) for name in place.index_hosts], bucket=tenant_bucket_of)
        self._cleanser = cleanser = Cleanser(Path(place.data), place.tenants)
        intake = Intake(
            Dispatch({"document": knowledge, "index": knowledge}, other=payments).submit,
            Quarantine(Path(place.data), tenants=place.tenants.keys(), raw_store=raw_store_of(place.quarantine)),
            sources=Sources(place.tenants),
            clock=lambda: datetime.now(UTC),
            cleanse=cleanser,
            learn=cleanser.learn,
            tally=self._tally,
        )
        limits = RateLimits(
            place.tenants,
            share=1 / place.divided_by,
            empty_at_s=time.monotonic() if place.is_added else None,
        )
        self._loop = asyncio.get_running_loop()
        self._lanes = lanes = Lanes(limits, tenants=place.tenants.keys(), clock_s=time.monotonic)
        self._client = client = await connect(place.nats_url, name=place.name, on_reconnected=lanes.renew)
        await lanes.start(client)
        slots = asyncio.Semaphore(BATCHES_IN_FLIGHT_MAX)
        async with asyncio.TaskGroup() as tasks:
            self._sorting = tasks.create_task(lanes.run())
            self._started.set()
            while True:
                await slots.acquire()
                messages = await self._taken(lanes)
                task = tasks.create_task(self._take_in(intake, client, messages))
                self._in_flight.add(task)
                task.add_done_callback(self._in_flight.discard)
                task.add_done_callback(lambda _: slots.release())

    async def _taken(self, lanes: Lanes) -> list[Msg]:
        """The next batch; how long it was waited for is counted."""
        self._idle_since_s = since_s = time.monotonic()
        messages = await lanes.take(BATCH_MAX, mixed_max=MIXED_BATCH_MAX)
        self._idle_since_s = None
        self._stats.idle_seconds += time.monotonic() - since_s
        return messages

    async def _take_in(self, intake: Intake, client: Client, messages: Sequence[Msg]) -> None:
        started_s = time.perf_counter()
        with span("intake.batch", messages=len(messages)):
            items = [intake.read(_incoming(message)) for message in messages]
            self._cleanser.keep()
            read_s = time.perf_counter()
            beat = asyncio.create_task(self._keep_waiting(client, messages))
            try:
                settled = await intake.take_in(items, partial(acknowledge, client, messages))
            finally:
                beat.cancel()
        self._count(settled, len(messages))
        log.info(
            "batch",
            messages=len(messages),
            recorded=settled.recorded,
            unchanged=settled.unchanged,
            quarantined=settled.quarantined,
            read_ms=round((read_s - started_s) * 1000, 1),
            total_ms=round((time.perf_counter() - started_s) * 1000, 1),
            correlation_id=_span_of_ids(items),
        )

    async def _keep_waiting(self, client: Client, messages: Sequence[Msg]) -> None:
        """Tell the server that the batch is still worked on, so that it is not delivered again meanwhile."""
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            await keep_waiting(client, messages)

    def _count(self, settled: Settled, messages: int) -> None:
        self._stats.messages += messages
        self._stats.batches += 1
        self._stats.recorded += settled.recorded
        self._stats.unchanged += settled.unchanged
        self._stats.quarantined += settled.quarantined


def _incoming(message: Msg) -> Incoming:
    """The message with its place in the stream."""
    return Incoming(
        subject=message.subject,
        body=message.data,
        headers=message.headers or {},
        sequence=stream_sequence(message),
    )


def _span_of_ids(items: Sequence[Item]) -> str:
    """The correlation ids of a batch for its one line: the only one, or the first and the last."""
    first, last = items[0].trace.correlation_id, items[-1].trace.correlation_id
    return first if len(items) == 1 else f"{first}..{last}"
