"""A whole node on virtual time: the production shards, projectors, intake, gateway and log, under one seeded scheduler.

Two phases (as TigerBeetle's simulator has them): in the first, faults happen; in the second, none do, and everything
that was accepted must come to rest in bounded time. The same choices give the same run, to the byte.
"""

import asyncio
import contextvars
import gc
import hashlib
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from structlog.testing import capture_logs

import domain.codec
import projections.outbox
from actors.index import ROLE as INDEX_ROLE
from actors.journal import Journal
from actors.payment_shard import ROLE
from actors.router import Router
from actors.tenants import Tenant
from domain.errors import RetryableError
from domain.tenant_settings import TenantSettings
from gateway.quarantine import Quarantine
from projections.embedder import HashEmbedder
from projections.store import Store
from simulations.choices import Stream
from simulations.faults import Faults, Options, is_acting
from simulations.invariants import Checks
from simulations.virtual_loop import CrashedError, News, Process, VirtualLoop
from simulations.world_bus import SimulatedBus
from simulations.world_customers import Customers
from simulations.world_effects import EffectsHost
from simulations.world_history import OLD_SCHEMA
from simulations.world_hosts import GatewayHost, IntakeHost, PaymentsHost, SimulatedEndpoint
from simulations.world_knowledge import KnowledgeHost
from simulations.world_merchants import Merchants, settings_of
from simulations.world_people import Editor, Provider
from simulations.world_site import Host, Site
from simulations.world_store import FaultyRecorder, SimulatedLog, open_store
from simulations.world_wiring import PRODUCTION, Wiring, replaced

# After everything that the simulated provider tells of.
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
# What the world itself does belongs to no process.
_NOBODY = contextvars.Context()
# A sync of the disk, and a slow one.
WORK_S = (0.0005, 0.005, 0.05, 0.3)
LIVENESS_S = 300.0
# Far more than it takes: what never pauses comes to no rest either.
LIVENESS_STEPS = 100_000
TICK_S = 0.25
# Small, so that an outbox that is made again takes several turns to know what is outstanding.
OUTBOX_PAGE_MAX = 7
REPLACED_AFTER_S = 2.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. `trace` is the SHA-256 of everything that happened; `views` of what it ended in."""

    violations: list[str]
    trace: str
    views: str
    steps: int
    virtual_s: float
    events: int
    hits: dict[str, int]
    story: list[str]


class World:
    """One run.

    Args:
        options: how large, and which faults.
        choices: every decision, of which none but the scheduler's differ between two runs of one delivery set.
        directory: an empty one, for the files.
        wiring: which mechanisms are there; all of them in production.
    """

    def __init__(self, options: Options, choices: Stream, directory: Path, wiring: Wiring = PRODUCTION) -> None:
        self.options = options
        self.choices = choices.scheduled
        self.directory = directory
        self.wiring = wiring
        self.faults = Faults(options, choices.scheduled)
        self.told = Faults(options, choices.told, self.faults.hits)
        self.loop = VirtualLoop(  # type: ignore[abstract]  # what of asyncio is not there is not called
            lambda: self.choices.of("tie").below(4) if self.faults.is_on else 0, lambda: self.faults.delay_s(WORK_S)
        )
        self.bus = SimulatedBus(self.loop, self.faults)
        self.tenants = {name: TenantSettings() for name in (f"tenant-{number}" for number in range(options.tenants))}
        if is_acting(self.options):
            self.tenants = {name: settings_of(name, choices.told.of("settings")) for name in self.tenants}
        self.log_grew = News()
        self.calls: dict[Process, list[asyncio.Future[bytes]]] = {}
        self.vectors: dict[str, dict[str, Any]] = {}
        self.words: dict[str, dict[str, Any]] = {}
        self.embedder = HashEmbedder()
        self.opened: list[tuple[str, Tenant]] = []
        # What was told to anyone on the bus, by subject.
        self.published: list[tuple[str, bytes]] = []
        self.story: list[str] = []
        self._closes: list[Callable[[], None]] = []
        self._hosts: dict[str, tuple[Process, Host | None]] = {}
        self._replaced: dict[str, tuple[Process, Host]] = {}
        self._incarnations: dict[str, int] = {}
        self._since_s: dict[str, float] = {}
        self._hash = hashlib.sha256()
        file = None if options.in_memory else directory / "log.sqlite"
        self.log = SimulatedLog(file, self.faults, self.log_grew.tell)
        self.feed = self.log.feed
        self.checks = Checks(self.feed, directory, list(self.tenants))
        self.provider = Provider(self)
        self.merchants = Merchants(self)
        self.customers = Customers(self)
        self.editor = Editor(self)

    def run(self) -> Outcome:
        """Let it happen."""
        try:
            self.loop.run(self._live())
        except CrashedError as error:
            self.checks.violated("world", f"a crash ({error}) reached the world itself")
        finally:
            unhandled = [*self.loop.errors, *self.loop.unheard()]
            violations = [*self.checks.violations, *(f"unhandled: {error}" for error in unhandled)]
            outcome = Outcome(
                violations=violations,
                trace=self._hash.hexdigest(),
                views=self.checks.views_digest,
                steps=self.loop.steps,
                virtual_s=round(self.loop.time(), 3),
                events=self.feed.head(),
                hits=dict(sorted(self.faults.hits.items())),
                story=self.story,
            )
            self._close()
        return outcome

    async def _live(self) -> None:
        self.provider.prepare()
        self.merchants.prepare()
        for name in self._names():
            self._start(name)
        people = (self.provider.run(), self.customers.run(), self.editor.run(), self.merchants.run())
        drivers = [self.loop.create_task(each) for each in people]
        forever = [self.loop.create_task(each) for each in (self._supervise(), self.merchants.deliver())]
        while self.loop.steps < self.options.steps:
            await asyncio.sleep(TICK_S)
            if all(driver.done() for driver in drivers):
                break
        self.note("faults", "off")
        self.faults.is_on = False
        self._calm()
        await self._come_to_rest(drivers)
        for driver in drivers:
            if driver.done() and not driver.cancelled() and (error := driver.exception()) is not None:
                raise error
        await self.customers.ask_at_the_end()
        for each in forever:
            each.cancel()
        self.checks.at_the_end(self)

    async def _come_to_rest(self, drivers: list["asyncio.Task[None]"]) -> None:
        """Wait until everything accepted is taken in and projected. Not in time is a violation."""
        until_s, until = self.loop.time() + LIVENESS_S, self.loop.steps + LIVENESS_STEPS
        while self.loop.time() < until_s and self.loop.steps < until:
            await asyncio.sleep(TICK_S)
            is_told = all(driver.done() for driver in drivers) and self.merchants.is_at_rest()
            if (
                is_told
                and not self.bus.pending()
                and all(host is not None and host.is_at_rest() for _, host in self._hosts.values())
            ):
                return
        waiting = [driver.get_name() for driver in drivers if not driver.done()]
        self.checks.violated(
            "liveness", f"not at rest {LIVENESS_S:.0f} s or {LIVENESS_STEPS} steps after the last fault: {waiting}"
        )

    def _names(self) -> list[str]:
        return [
            *(f"{ROLE}-{number}" for number in range(self.options.payment_shards)),
            *(f"{INDEX_ROLE}-{number}" for number in range(self.options.index_shards)),
            *(f"intake-{number}" for number in range(self.options.intakes)),
            "gateway-0",
            *(["effects-0"] if is_acting(self.options) else []),
        ]

    def _start(self, name: str) -> None:
        """A new incarnation under the name."""
        self._incarnations[name] = self._incarnations.get(name, 0) + 1
        process = Process(name, self._incarnations[name])
        kind, _, number = name.rpartition("-")
        self._hosts[name] = (process, None)
        try:
            host = process.context.run(self._host, Site(self, process, kind), kind, int(number))
        except (RetryableError, CrashedError) as error:
            self.note("start_failed", f"{name}: {error}")
            process.is_alive = False
            self._since_s[name] = self.loop.time()
            return
        self._hosts[name] = (process, host)
        self.note("started", f"{name}.{process.incarnation}")

    def _host(self, site: Site, kind: str, number: int) -> Host:
        if kind == ROLE:
            return PaymentsHost(site, number)
        if kind == INDEX_ROLE:
            return KnowledgeHost(site, number)
        if kind == "effects":
            return EffectsHost(site)
        return IntakeHost(site) if kind == "intake" else GatewayHost(site)

    async def _supervise(self) -> None:
        """Kill, pause, restart and replace, as faults and the production supervisor do."""
        while True:
            await asyncio.sleep(TICK_S)
            if self.faults.happens("bus_tail_lost"):
                self.note("bus", "crashed")
                self.bus.crash()
            for name in self._names():
                self._look_after(name)
            for name, (process, _) in list(self._replaced.items()):
                if process.is_paused and self.choices.below(4) == 0:
                    self.note("woke_up", f"{name}.{process.incarnation}")
                    self.loop.resume(process)

    def _look_after(self, name: str) -> None:
        process, host = self._hosts[name]
        now_s = self.loop.time()
        if not process.is_alive:
            since_s = self._since_s.setdefault(name, now_s)
            if now_s - since_s >= self.faults.delay_s((0.5, 1.5, 5.0)):
                self._bury(process)
                del self._since_s[name]
                self._start(name)
        elif process.is_paused:
            if now_s - self._since_s.setdefault(name, now_s) >= REPLACED_AFTER_S:
                del self._since_s[name]
                self.replace(process)
        elif host is not None and host.is_fenced:
            self.loop.kill(process)
        elif self.faults.happens("kill", name.rpartition("-")[0]):
            self.note("killed", f"{name}.{process.incarnation}")
            self.loop.kill(process)
        elif self.faults.happens("pause", name.rpartition("-")[0]):
            self.note("paused", f"{name}.{process.incarnation}")
            process.is_paused = True

    def replace(self, process: Process) -> None:
        """Give the name to a new process; the old one is not ended, only nobody's choice any more."""
        current, host = self._hosts[process.name]
        if current is not process or host is None:
            return
        self.note("replaced", f"{process.name}.{process.incarnation}")
        self._replaced[process.name] = (process, host)
        self._bury(process)
        self._start(process.name)

    def is_alone(self, process: Process) -> bool:
        """Whether no former incarnation of a process may still run."""
        return process.name not in self._replaced

    def _bury(self, process: Process) -> None:
        """Whoever waits for the process hears that it is gone."""
        for answered in self.calls.get(process, []):
            self.settle(answered, error=RetryableError(f"{process.name} is gone"))

    def _calm(self) -> None:
        """The end of all faults: what stands still wakes up, and clocks are right."""
        for process, _ in [*self._replaced.values(), *self._hosts.values()]:
            if process.is_paused:
                self.loop.resume(process)

    def route(self, name: str) -> tuple[Process | None, Host | None]:
        """Who is called under a name."""
        if name in self._replaced and self.faults.happens("stale_route", name.rpartition("-")[0]):
            process, stale = self._replaced[name]
            if process.is_alive:
                return process, stale
        process, host = self._hosts[name]
        return (process, host) if process.is_alive else (None, None)

    def gateway(self) -> GatewayHost | None:
        """The gateway, if it is up."""
        process, host = self._hosts["gateway-0"]
        return host if process.is_alive and not process.is_paused and isinstance(host, GatewayHost) else None

    def gateway_process(self) -> Process:
        return self._hosts["gateway-0"][0]

    def effects(self) -> EffectsHost | None:
        """Who acts, if it is up."""
        process, host = self._hosts["effects-0"]
        return host if process.is_alive and isinstance(host, EffectsHost) else None

    async def publish(self, subject: str, payload: bytes) -> None:
        """Tell anyone on the bus. Raises `RetryableError` if it does not take it."""
        await asyncio.sleep(self.faults.delay_s((0.001, 0.005)))
        if self.faults.happens("publish_refused", times=5):
            raise RetryableError("the bus is away")
        self.published.append((subject, payload))

    def endpoint(self, name: str) -> SimulatedEndpoint:
        return SimulatedEndpoint(self, name)

    def payments(self) -> Router:
        """A way to the payment shards."""
        return Router([self.endpoint(f"{ROLE}-{number}") for number in range(self.options.payment_shards)])

    def settle(self, answered: "asyncio.Future[Any]", *, result: object = None, error: Exception | None = None) -> None:
        """Tell a caller, in the world's own name, after a moment."""

        def tell() -> None:
            if not answered.done():
                if error is None:
                    answered.set_result(result)
                else:
                    answered.set_exception(error)

        self.loop.call_later(self.faults.delay_s((0.0005, 0.001, 0.005, 0.02)), tell, context=_NOBODY)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task of the process that runs now. What ends it unexpectedly is a finding."""
        task = self.loop.create_task(coroutine)
        task.add_done_callback(self._on_end, context=_NOBODY)
        return task

    def _on_end(self, task: "asyncio.Task[Any]") -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, CrashedError):
            self.checks.violated("unhandled", f"{task.get_coro()}: {type(error).__name__}: {error}")

    def true_time(self) -> datetime:
        """The time of a clock that is right."""
        return START + timedelta(seconds=self.loop.time())

    def at(self, skew_s: float = 0.0) -> datetime:
        """The time of a clock that is `skew_s` off."""
        back_s = self.faults.delay_s((0.0, 60.0, 600.0)) if self.faults.happens("clock_back") else 0.0
        return self.true_time() + timedelta(seconds=skew_s - back_s)

    def skews(self, kind: str) -> bool:
        """Whether a process of this kind starts with a clock that is off."""
        return self.faults.happens("clock_skew", kind, times=10)

    def note(self, what: str, details: str) -> None:
        """Something happened: part of the trace, and of the story that is told of a failure."""
        line = f"{self.loop.time():9.3f} {what} {details.replace(str(self.directory), 'var')}"
        self._hash.update(line.encode() + b"\n")
        self.story.append(line)

    def journal(self, kind: str) -> Journal:
        return self.wiring.journal(self.log.connect(kind, self.wiring.recorder(FaultyRecorder)))

    def open_quarantine(self) -> Quarantine:
        quarantine = Quarantine(self.directory)
        self.on_close(quarantine.close)
        return quarantine

    def on_close(self, close: Callable[[], None]) -> None:
        """Have something closed with the world: what a killed process had open is nobody's else."""
        self._closes.append(close)

    def _close(self) -> None:
        self.loop.close()
        for close in self._closes:
            close()
        for _, tenant in self.opened:
            tenant.payments.close()
            tenant.knowledge.close()
        self.log.close()


@contextmanager
def _uncollected() -> Iterator[None]:
    """The garbage collector waits for the end of a run: it would go through all that lives, again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def simulate(options: Options, choices: Stream, wiring: Wiring = PRODUCTION) -> Outcome:
    """One run in a directory of its own, which is gone afterwards."""
    with ExitStack() as stack:
        stack.enter_context(_uncollected())
        stack.enter_context(capture_logs())
        stack.enter_context(wiring.patched())
        stack.enter_context(replaced(Store, "__init__", open_store))
        stack.enter_context(replaced(projections.outbox, "PAGE_MAX", OUTBOX_PAGE_MAX))
        if "old_schema" in options.rates:
            stack.enter_context(replaced(domain.codec, "UPCASTERS", OLD_SCHEMA))
        memory = Path("/dev/shm")  # noqa: S108 - only a faster place for a directory with a random name
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="recount-world-", dir=memory if memory.is_dir() else None)
        )
        return World(options, choices, Path(directory), wiring).run()
