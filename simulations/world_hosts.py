"""The parts of a simulated node: production objects in processes that crash, stand still, and come back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from actors.changes import AwaitChanges, Changes
from actors.index import KINDS as INDEX_KINDS
from actors.index import PROJECTIONS, Index, Projection
from actors.index import ROLE as INDEX_ROLE
from actors.index_shard import POLL_MAX_S, index_shard_of
from actors.journal import Journal
from actors.payment_shard import KINDS, ROLE
from actors.router import Dispatch, Router
from actors.shard import Shard
from actors.tenants import Tenant, Tenants
from domain.codec import Submission, decode_submissions, encode_replies
from domain.errors import FencedError, RetryableError
from domain.message import Reply
from domain.settings import AskSettings, ShardSettings
from domain.sharding import buckets_of_shard, tenant_bucket_of
from gateway.asking import Asker
from gateway.changes import Listener
from gateway.ledger import Ledger
from gateway.sources import Sources
from simulations.virtual_loop import CrashedError, News, Process
from simulations.world_bus import IDLE_S
from simulations.world_store import MemoryVectors, MemoryWords

if TYPE_CHECKING:
    from simulations.world import World

BATCHES_IN_FLIGHT_MAX = 2
BACKOFF_S = 0.5
# Small, so that eviction and snapshots happen in a short run.
SETTINGS = ShardSettings(aggregates_max=500, snapshot_every=3)


class Host(Protocol):
    """What runs in a process."""

    def call(self, method: str, payload: bytes) -> Awaitable[bytes]:
        """Serve a call from another process."""
        ...

    @property
    def is_fenced(self) -> bool: ...


class Site:
    """A process's own view of the world: its clock, its ids, and the points at which it can be made to crash."""

    def __init__(self, world: "World", process: Process, kind: str) -> None:
        self.world = world
        self.process = process
        self.kind = kind
        self.skew_s = world.faults.delay_s((0.0, 300.0, -300.0, 3_600.0)) if world.skews(kind) else 0.0
        self._made = 0

    def clock(self) -> datetime:
        return self.world.at(self.skew_s)

    def new_id(self) -> str:
        self._made += 1
        return f"{self.process.name}.{self.process.incarnation}.{self._made}"

    def at_point(self, point: str) -> None:
        """A crash may happen here, or a successor take over while this process stands between two steps."""
        where = f"{self.kind}.{point}"
        if point == "before_append" and self.world.faults.happens("takeover", where):
            self.world.replace(self.process)
        if self.world.faults.happens("crash", where):
            self.world.note("crash", f"{self.process.name} at {point}")
            self.world.loop.kill(self.process)
            raise CrashedError(where)

    def journal(self) -> Journal:
        return self.world.journal(self.kind)


def checked(site: Site, shard: Shard) -> Callable[[Sequence[Submission]], list[Reply]]:
    """The shard's `handle`, whose replies are compared with what it wrote."""

    def handle(batch: Sequence[Submission]) -> list[Reply]:
        before = site.world.feed.head()
        replies = shard.handle(batch)
        site.world.checks.replies(site.process.name, before, batch, replies)
        return replies

    return handle


class PaymentsHost:
    """One payment shard."""

    def __init__(self, site: Site, number: int) -> None:
        count = site.world.options.payment_shards
        self._shard = Shard(
            site.journal(),
            site.world.wiring.kinds(KINDS),
            role=ROLE,
            buckets=buckets_of_shard(number, count),
            owner=f"{site.process.name}.{site.process.incarnation}",
            clock=site.clock,
            new_id=site.new_id,
            settings=SETTINGS,
            at_point=site.at_point,
        )
        self._handle = checked(site, self._shard)

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "handle", f"a payment shard has no {method}"
        return encode_replies(self._handle(decode_submissions(payload)))

    @property
    def is_fenced(self) -> bool:
        return self._shard.fenced is not None


class KnowledgeHost:
    """One index shard and the loops of its projectors."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._news = News()
        world, count = site.world, site.world.options.index_shards
        shard = Shard(
            site.journal(),
            INDEX_KINDS,
            role=INDEX_ROLE,
            buckets=buckets_of_shard(number, count),
            bucket=tenant_bucket_of,
            owner=f"{site.process.name}.{site.process.incarnation}",
            clock=site.clock,
            new_id=site.new_id,
            settings=SETTINGS,
            at_point=site.at_point,
        )
        embedder = world.embedder

        def open_tenant(directory: Path, name: str, generation: int, _: object) -> Tenant:
            tenant = Tenant(
                directory,
                name,
                generation,
                embedder,
                open_vectors=lambda path, collection: MemoryVectors(world.vectors.setdefault(collection, {})),
                open_words=lambda path: MemoryWords(world.words.setdefault(str(path), {})),
                at_point=site.at_point,
            )
            world.checks.watch(name, generation, tenant)
            world.opened.append((name, tenant))
            return tenant

        self.index = Index(
            shard=shard,
            tenants=lambda decide: Tenants(
                world.directory,
                is_here=lambda tenant: index_shard_of(tenant, count) == number,
                embedder=embedder,
                decide=decide,
                feed=world.feed,
                open_tenant=open_tenant,
            ),
            questions=embedder,
            feed_of=lambda: world.feed,
            data=world.directory,
            name=f"{number}of{count}",
            incarnation=site.new_id(),
            clock_s=world.loop.time,
            at_point=site.at_point,
        )
        for projection in PROJECTIONS:
            world.spawn(self._project(projection))

    async def _project(self, projection: Projection) -> None:
        world = self._site.world
        while True:
            await asyncio.sleep(world.faults.delay_s((0.005, POLL_MAX_S, 0.5)))
            before = self.index.position(projection)
            try:
                turn = self.index.turn(projection)
            except FencedError:
                return
            except Exception as error:  # noqa: BLE001 - as the production loop: what fails is tried again
                world.note("turn_failed", f"{projection}: {error}")
                await asyncio.sleep(BACKOFF_S)
                continue
            self._news.tell()
            if turn.step.applied:
                world.note("projected", f"{self._site.process.name} {projection} {turn.step.position}")
            world.checks.moved(self._site.process.name, projection, before, turn.step.position)
            if not turn.is_behind:
                # Production polls; nothing can be found before the log has grown.
                await world.log_grew.wait(IDLE_S)

    async def call(self, method: str, payload: bytes) -> bytes:
        if method == "changes":
            return await self._changes(payload)
        assert method in {"handle", "query"}, f"an index shard has no {method}"
        served: bytes = getattr(self.index, method)(payload)
        return served

    async def _changes(self, payload: bytes) -> bytes:
        """Wait for changes on virtual time: the production wait blocks a thread."""
        wanted = msgspec.msgpack.decode(payload, type=AwaitChanges)
        until_s = self._site.world.loop.time() + wanted.timeout_s
        now = msgspec.msgpack.encode(AwaitChanges(after=wanted.after, timeout_s=0.0))
        while True:
            heard = self.index.changes(now)
            is_news = msgspec.msgpack.decode(heard, type=Changes).next != wanted.after
            left_s = until_s - self._site.world.loop.time()
            if is_news or left_s <= 0:
                return heard
            await self._news.wait(left_s)

    @property
    def is_fenced(self) -> bool:
        return self.index.fenced is not None


class IntakeHost:
    """One intake: takes from the bus, settles, acknowledges."""

    def __init__(self, site: Site) -> None:
        self._site = site
        world = site.world
        payments = Router([world.endpoint(f"{ROLE}-{number}") for number in range(world.options.payment_shards)])
        knowledge = Router(
            [world.endpoint(f"{INDEX_ROLE}-{number}") for number in range(world.options.index_shards)],
            bucket=tenant_bucket_of,
        )
        self._intake = world.wiring.intake(
            Dispatch({"document": knowledge, "index": knowledge}, other=payments).submit,
            world.open_quarantine(),
            sources=Sources(world.tenants),
            clock=site.clock,
        )
        world.spawn(self._serve())

    async def _serve(self) -> None:
        slots = asyncio.Semaphore(BATCHES_IN_FLIGHT_MAX)
        while True:
            await slots.acquire()
            messages = await self._site.world.bus.take()
            task = self._site.world.spawn(self._take_in(messages))
            task.add_done_callback(lambda _: slots.release())

    async def _take_in(self, messages: Sequence[Any]) -> None:
        world = self._site.world
        items = [self._intake.read(message) for message in messages]
        self._site.at_point("after_read")

        async def acknowledge() -> None:
            self._site.at_point("after_settle")
            await world.bus.acknowledge([message.sequence for message in messages])

        settled = await self._intake.take_in(items, acknowledge)
        world.note("batch", f"{self._site.process.name} {len(messages)} {settled}")

    async def call(self, method: str, payload: bytes) -> bytes:
        raise AssertionError(f"nobody calls an intake, and not with {method} of {len(payload)} bytes")

    is_fenced = False


class GatewayHost:
    """The asking side of the gateway: cache, listeners, ledger."""

    def __init__(self, site: Site) -> None:
        world = site.world
        endpoints = [world.endpoint(f"{INDEX_ROLE}-{number}") for number in range(world.options.index_shards)]
        self._ledger = Ledger(
            site.journal(), node="gateway", clock=site.clock, new_id=site.new_id, at_point=site.at_point
        )
        self._listeners = [
            Listener(
                endpoint.call,
                # The asker is made below: it needs the listeners.
                on_change=lambda change: self.asker.on_change(change),  # noqa: PLW0108 - see above
                on_missed=lambda: self.asker.cache.clear(world.feed.head()),
                clock_s=world.loop.time,
            )
            for endpoint in endpoints
        ]
        count = len(endpoints)

        def call_of(tenant: str) -> Callable[[str, bytes], Awaitable[bytes]]:
            return endpoints[index_shard_of(tenant, count)].call

        self.asker = Asker(
            call_of=call_of,
            listener_of=lambda tenant: self._listeners[index_shard_of(tenant, count)],
            ledger=self._ledger,
            settings=AskSettings(min_score=0.1),
            clock=site.clock,
            new_id=site.new_id,
        )
        world.wiring.rewire_gateway(self.asker)
        for listener in self._listeners:
            world.spawn(listener.run())

    async def call(self, method: str, payload: bytes) -> bytes:
        raise AssertionError(f"the gateway is asked in its own words, not with {method} of {len(payload)} bytes")

    @property
    def is_fenced(self) -> bool:
        return self._ledger.is_fenced


class SimulatedEndpoint:
    """A way to a process by its name: calls take time, get lost, or go to the wrong incarnation."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self._name = name

    async def call(self, method: str, payload: bytes) -> bytes:
        """What the host says. Raises `RetryableError` where production's endpoint would."""
        world, faults = self._world, self._world.faults
        process, host = world.route(self._name)
        if process is None or host is None:
            await asyncio.sleep(0.2)
            raise RetryableError(f"{self._name} is not there")
        answered: asyncio.Future[bytes] = world.loop.create_future()
        world.calls.setdefault(process, []).append(answered)
        delay_s = faults.delay_s((2.0, 8.0)) if faults.happens("call_slow", method) else 0.0
        delay_s += faults.delay_s((0.0005, 0.001, 0.005, 0.02))
        serve = partial(self._serve, process, host, method, payload, answered)
        if not faults.happens("call_lost", f"{method} on its way"):
            world.loop.call_later(delay_s, serve, context=process.context)
        try:
            async with asyncio.timeout(20):
                return await answered
        except TimeoutError as error:
            raise RetryableError(f"{self._name} does not answer") from error
        finally:
            world.calls[process].remove(answered)

    def _serve(
        self, process: Process, host: Host, method: str, payload: bytes, answered: "asyncio.Future[bytes]"
    ) -> None:
        """Runs in the called process."""
        world = self._world

        async def serve() -> None:
            try:
                served = await host.call(method, payload)
            except (FencedError, RetryableError) as error:
                world.settle(answered, error=RetryableError(f"{process.name}: {error.reason}"))
                return
            if not world.faults.happens("call_lost", f"{method} on its way back"):
                world.settle(answered, result=served)

        world.spawn(serve())
