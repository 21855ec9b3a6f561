"""A simulated process that acts: the outbox, its runners, and the network to the merchants' providers and endpoints."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import httpx

from actors.effects import EffectRunner
from domain.effects import Done, Effect, EffectKind, Failed, Port
from domain.settings import EffectSettings
from gateway.effects.ports import ports_of
from simulations.world_site import Site, forget_files

if TYPE_CHECKING:
    from simulations.world import World

# Short, so that leases run out, circuits open and effects are given up in a short run.
SETTINGS = EffectSettings(
    at_once_max=4,
    tenant_at_once_max=3,
    timeout_s=2.0,
    lease_s=4.0,
    retry_first_s=0.5,
    retry_max_s=3.0,
    breaker_failures=3,
    breaker_open_s=2.0,
)
OUTBOX_FILE = "outbox.sqlite"
POLL_S = 0.5
NEVER_S = 3_600.0
LATENCIES_S = (0.005, 0.02, 0.1, 0.5)
JITTERS = 16


class EffectsHost:
    """Runners that share one outbox."""

    def __init__(self, site: Site) -> None:
        self._site = site
        world = site.world
        path = world.directory / "projectors" / OUTBOX_FILE
        forget_files(site, [path])
        self.outbox = world.wiring.outbox(path, world.feed)
        world.on_close(self.outbox.close)
        self._payments = world.payments()
        client = httpx.AsyncClient(transport=Wire(world), trust_env=False)
        ports = ports_of(world.tenants, client=client, clock=site.clock)
        self._runs = [world.spawn(self._runner(site.new_id(), ports).run()) for _ in range(world.options.runners)]

    def _runner(self, name: str, ports: Mapping[EffectKind, Port]) -> EffectRunner:
        world = self._site.world
        return EffectRunner(
            self.outbox,
            {kind: WatchedPort(world, name, world.wiring.port(port)) for kind, port in ports.items()},
            submit=self._payments.submit,
            owner=name,
            clock=self._site.clock,
            clock_s=world.loop.time,
            settings=SETTINGS,
            pause=self._pause,
            jitter=lambda: world.choices.of("jitter").below(JITTERS) / JITTERS,
            at_point=self._site.at_point,
        )

    async def _pause(self, seconds: float) -> None:
        """After production's pause the next turn waits for the log to grow, or a little while."""
        await asyncio.sleep(seconds)
        await self._site.world.log_grew.wait(POLL_S)

    async def call(self, method: str, payload: bytes) -> bytes:
        raise AssertionError(f"nobody calls the effects' process, and not with {method} of {len(payload)} bytes")

    @property
    def is_fenced(self) -> bool:
        return any(run.done() for run in self._runs)

    def is_at_rest(self) -> bool:
        """Whether all that the log asks for is done or given up, and no deadline is awaited."""
        counts = self.outbox.counts(self._site.clock())
        return self.outbox.position() >= self._site.world.feed.head() and not counts.effects and not counts.deadlines


class WatchedPort:
    """A port, of which it is noted what is under way."""

    def __init__(self, world: "World", runner: str, port: Port) -> None:
        self._world = world
        self._runner = runner
        self._port = port

    async def perform(self, effect: Effect) -> Done | Failed:
        checks, hand = self._world.checks.sagas, (self._runner, effect.key)
        checks.begins(hand)
        try:
            return await self._port.perform(effect)
        finally:
            checks.ends(hand)


class Wire(httpx.AsyncBaseTransport):
    """The network to the providers' APIs and the merchants' endpoints. It takes time; what goes wrong they decide."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        faults = self._world.faults
        await asyncio.sleep(faults.delay_s(LATENCIES_S))
        reply = await self._world.merchants.answer(request)
        await asyncio.sleep(faults.delay_s(LATENCIES_S))
        if reply.hangs:
            await asyncio.sleep(NEVER_S)
            raise httpx.ReadTimeout("nobody answers", request=request)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)
