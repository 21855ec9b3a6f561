"""The other parts of a simulated node: production objects in processes that crash, stand still, and come back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.index import ROLE as INDEX_ROLE
from actors.index_shard import index_shard_of
from actors.payment_shard import KINDS, ROLE
from actors.router import Dispatch, Router
from actors.shard import Shard
from domain.codec import decode_submissions, encode_replies
from domain.errors import FencedError, RetryableError
from domain.settings import AskSettings
from domain.sharding import buckets_of_shard, tenant_bucket_of
from gateway.asking import Asker
from gateway.changes import Listener
from gateway.corrections import ways_of
from gateway.ledger import Ledger
from gateway.sources import Sources
from projections.answer_ledger import AnswerLedger
from projections.conversations import Conversations
from projections.progress import Progress
from simulations.virtual_loop import Process
from simulations.world_site import SETTINGS, Host, Site, forget_files

if TYPE_CHECKING:
    from simulations.world import World

BATCHES_IN_FLIGHT_MAX = 2
CORRECTIONS_POLL_S = 1.0


class PaymentsHost:
    """One payment shard."""

    def __init__(self, site: Site, number: int) -> None:
        count = site.world.options.payment_shards
        shard = Shard(
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
        self._shard = site.watch(shard)

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "handle", f"a payment shard has no {method}"
        return encode_replies(self._shard.handle(decode_submissions(payload)))

    @property
    def is_fenced(self) -> bool:
        return self._shard.fenced is not None

    def is_at_rest(self) -> bool:
        return True


class IntakeHost:
    """One intake: takes from the bus, settles, acknowledges."""

    def __init__(self, site: Site) -> None:
        self._site = site
        world = site.world
        knowledge = Router(
            [world.endpoint(f"{INDEX_ROLE}-{number}") for number in range(world.options.index_shards)],
            bucket=tenant_bucket_of,
        )
        self._intake = world.wiring.intake(
            Dispatch({"document": knowledge, "index": knowledge}, other=world.payments()).submit,
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

    def is_at_rest(self) -> bool:
        return True


class GatewayHost:
    """The asking side of the gateway: cache, listeners, ledger, and who corrects what was wrong."""

    def __init__(self, site: Site) -> None:
        self._site = site
        world = site.world
        endpoints = [world.endpoint(f"{INDEX_ROLE}-{number}") for number in range(world.options.index_shards)]
        self._ledger = Ledger(
            site.journal(), node="gateway", clock=site.clock, new_id=site.new_id, at_point=site.at_point
        )
        site.watch(self._ledger._shard)  # noqa: SLF001 - only the ledger has it
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
        if world.options.is_correcting:
            self._start_correcting()

    def _start_correcting(self) -> None:
        site, world = self._site, self._site.world
        progress = world.directory / "projectors" / "corrections.sqlite"
        forget_files(site, [progress, *sorted((world.directory / "tenants").glob("*/answers.sqlite"))])
        store = Progress(progress)
        self._answers = AnswerLedger(world.feed, world.directory / "tenants")
        world.on_close(store.close)
        world.on_close(self._answers.close)
        self._corrector = world.wiring.corrector(
            world.feed,
            self._answers,
            store,
            conversations=Conversations(world.feed),  # type: ignore[arg-type]  # nobody writes in a chat here
            judge=self._ledger.judge,
            request=world.payments().submit,
            publish=world.publish,
            ways=lambda tenant: ways_of(world.tenants[tenant]),
            clock=site.clock,
            pause=self._pause,
            at_point=site.at_point,
        )
        self._correcting = world.spawn(self._corrector.run())

    async def _pause(self, seconds: float) -> None:
        """After production's pause the next turn waits for the log to grow, or a little while."""
        await asyncio.sleep(seconds)
        await self._site.world.log_grew.wait(CORRECTIONS_POLL_S)

    async def call(self, method: str, payload: bytes) -> bytes:
        raise AssertionError(f"the gateway is asked in its own words, not with {method} of {len(payload)} bytes")

    @property
    def is_fenced(self) -> bool:
        is_correcting = self._site.world.options.is_correcting
        return self._ledger.is_fenced or (is_correcting and self._correcting.done())

    def is_at_rest(self) -> bool:
        """Whether every answer is judged by all that is known, and whatever was found is told."""
        if not self._site.world.options.is_correcting:
            return True
        stores = [self._answers.store(tenant) for tenant in self._answers.tenants()]
        return self._corrector.position >= self._site.world.feed.head() and not any(
            store.corrections(0, limit=1, is_open=True) for store in stores
        )


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
            if method == "query" and world.options.is_correcting and world.faults.happens("evidence_old", times=9):
                await asyncio.sleep(world.faults.delay_s((0.5, 1.0, 2.0, 4.0)))
            if not world.faults.happens("call_lost", f"{method} on its way back"):
                world.settle(answered, result=served)

        world.spawn(serve())
