"""A simulated index process: one index shard, the loops of its projectors, and what can go wrong with its files."""

import asyncio
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import msgspec

from actors.changes import AwaitChanges, Changes
from actors.index import KINDS, PAYMENTS, PROJECTIONS, ROLE, Index, Projection, Turn
from actors.index_shard import POLL_MAX_S, index_shard_of
from actors.shard import Shard
from actors.tenants import Tenant, Tenants
from domain.errors import FencedError, RetryableError
from domain.sharding import buckets_of_shard, tenant_bucket_of
from projections.vectors import collection_name
from simulations.virtual_loop import News
from simulations.world_bus import IDLE_S
from simulations.world_site import SETTINGS, Site
from simulations.world_store import (
    FailingEmbedder,
    InterruptedEmbedder,
    MemoryVectors,
    MemoryWords,
    ShortPages,
    make_busy,
)

BACKOFF_S = 0.5
WITHIN_TURN_S = 1.0


class KnowledgeHost:
    """One index shard and the loops of its projectors."""

    def __init__(self, site: Site, number: int) -> None:
        self._site = site
        self._number = number
        self._news = News()
        # Queries that are served in the middle of a projection's turn, as production's other threads do.
        self._for_a_turn: list[tuple[bytes, asyncio.Future[bytes]]] = []
        self._turning: set[Projection] = set()
        world, count = site.world, site.world.options.index_shards
        shard = Shard(
            site.journal(),
            KINDS,
            role=ROLE,
            buckets=buckets_of_shard(number, count),
            bucket=tenant_bucket_of,
            owner=f"{site.process.name}.{site.process.incarnation}",
            clock=site.clock,
            new_id=site.new_id,
            settings=SETTINGS,
            at_point=site.at_point,
        )
        self._lose_files()
        self.index = Index(
            shard=site.watch(shard),
            tenants=lambda decide: Tenants(
                world.directory,
                is_here=self._is_here,
                embedder=world.embedder,
                decide=decide,
                feed=world.feed,
                open_tenant=self._open_tenant,
            ),
            questions=InterruptedEmbedder(world.embedder, self._turn_within_query),
            feed_of=lambda: ShortPages(world.feed, world.faults),
            data=world.directory,
            name=f"{number}of{count}",
            incarnation=site.new_id(),
            clock_s=world.loop.time,
            at_point=self._at_point,
        )
        for projection in PROJECTIONS:
            world.spawn(self._project(projection))

    def _is_here(self, tenant: str) -> bool:
        return index_shard_of(tenant, self._site.world.options.index_shards) == self._number

    def _open_tenant(self, directory: Path, name: str, generation: int, _: object) -> Tenant:
        world = self._site.world
        tenant = Tenant(
            directory,
            name,
            generation,
            FailingEmbedder(world.embedder, world.faults),
            open_vectors=lambda path, collection: MemoryVectors(world.vectors.setdefault(collection, {})),
            open_words=lambda path: MemoryWords(world.words.setdefault(str(path), {})),
            at_point=self._at_point,
        )
        world.checks.watch(name, generation, tenant)
        for part in (tenant.payments, tenant.knowledge):
            make_busy(part, world.faults)
        world.opened.append((name, tenant))
        return tenant

    def _lose_files(self) -> None:
        """Derived files may be gone at a start; not while a former incarnation still has them open."""
        world = self._site.world
        if not world.is_alone(self._site.process):
            return
        for tenant in filter(self._is_here, world.tenants):
            directory = world.directory / "tenants" / tenant / "g1"
            if directory.exists() and world.faults.happens("files_lost", self._site.kind, times=5):
                world.note("files_lost", tenant)
                shutil.rmtree(directory)
                world.vectors.pop(collection_name(tenant, 1), None)
                world.words.pop(str(directory / "lexical"), None)
                world.checks.files_lost(tenant)

    def _turn_within_query(self) -> None:
        # One thread turns a projection: a query in the middle of a turn does not see the next one begin.
        if PAYMENTS not in self._turning and self._site.world.faults.happens("turn_within_query"):
            with suppress(sqlite3.OperationalError, RetryableError, FencedError):
                self._turn(PAYMENTS)
            self._news.tell()

    def _turn(self, projection: Projection) -> Turn:
        self._turning.add(projection)
        try:
            return self.index.turn(projection)
        finally:
            self._turning.discard(projection)

    def _at_point(self, point: str) -> None:
        waiting, self._for_a_turn = self._for_a_turn, []
        for payload, answered in waiting:
            if not answered.done():
                try:
                    answered.set_result(self.index.query(payload))
                except (FencedError, RetryableError) as error:
                    answered.set_exception(error)
        self._site.at_point(point)

    async def _query_within_turn(self, payload: bytes) -> bytes | None:
        """What a query finds in the middle of the next turn; `None` if none comes soon."""
        answered: asyncio.Future[bytes] = self._site.world.loop.create_future()
        self._for_a_turn.append((payload, answered))
        try:
            async with asyncio.timeout(WITHIN_TURN_S):
                return await answered
        except TimeoutError:
            return None

    async def _project(self, projection: Projection) -> None:
        world = self._site.world
        while True:
            await asyncio.sleep(world.faults.delay_s((0.005, POLL_MAX_S, 0.5)))
            before = self.index.position(projection)
            try:
                turn = self._turn(projection)
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
        if method == "query" and self._site.world.faults.happens("query_within_turn", times=5):
            within = await self._query_within_turn(payload)
            if within is not None:
                return within
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

    def is_at_rest(self) -> bool:
        """Whether every projection has reached the log's head."""
        head = self._site.world.feed.head()
        return all(self.index.position(projection) >= head for projection in PROJECTIONS)
