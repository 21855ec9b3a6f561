"""A running node: the parts, started in order and stopped in the opposite one."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, tzinfo
from pathlib import Path
from typing import BinaryIO

import httpx
import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from actors.changes import Change
from actors.effects import EffectRunner
from actors.index import PROJECTIONS
from actors.index import ROLE as INDEX_ROLE
from actors.index_shard import index_shard_of
from actors.journal import Journal
from actors.log import log_at, place_of
from actors.payment_shard import ROLE as PAYMENT_ROLE
from actors.payment_shard import new_id, now
from actors.remote import bring_up_ray
from actors.router import Router
from actors.supervisor import Supervisor
from actors.tasks import end
from domain.errors import RetryableError, TerminalError
from domain.settings import NodeSettings
from domain.sharding import tenant_bucket_of
from domain.slo import SloAlert
from gateway.asking import Asker
from gateway.bus import Publisher, connect, ensure_stream, pending
from gateway.certificates import Certificates
from gateway.changes import Listener
from gateway.chat_model import HttpChatModel
from gateway.commands import Commander
from gateway.composing import Composer, ModelComposer, TemplateComposer
from gateway.conversations import Answerer
from gateway.corrections import Corrector, ways_of
from gateway.credentials import Credentials
from gateway.data_directory import claim
from gateway.effects.http import make_client
from gateway.effects.ports import chats, ports_of
from gateway.host_specs import host_specs, intake_spec
from gateway.ledger import Ledger
from gateway.nats_server import NatsServer
from gateway.node_parts import make_remediator
from gateway.pauses import Pauses
from gateway.polling import Cursors, pollers_of
from gateway.privacy.cleanse import Cleanser
from gateway.quarantine import Quarantine
from gateway.rate_limit import RateLimits
from gateway.raw_store import raw_store_of
from gateway.scaling import Intakes
from gateway.sources import SOURCES, Sources
from gateway.spending import Spending
from gateway.spool import Spool
from gateway.tally import Tallied, Tally, delays_of, tally_of
from gateway.time_zones import zone_named
from gateway.watch import Watch
from projections.answer_ledger import AnswerLedger
from projections.conversations import Conversations
from projections.delays import Delays
from projections.feeds import feed_at
from projections.model_export import ensure_models
from projections.outbox import Outbox
from projections.progress import Progress
from projections.store import Store

log = structlog.get_logger("node")


class Node:
    """Everything that one `recount up` runs.

    Args:
        settings: the whole configuration.
        on_progress: told in words what is being started.
        on_alert: told when an alert on an objective begins to fire and when it ends.
        is_claimed: whether its directory is held already, by whoever lets go of it after the node has stopped.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        on_progress: Callable[[str], None] = lambda words: None,
        on_alert: Callable[[SloAlert], None] = lambda alert: None,
        is_claimed: bool = False,
    ) -> None:
        self.settings = settings
        self._on_alert = on_alert
        self.data = Path(settings.data).resolve()
        self._on_progress = on_progress
        self.credentials = Credentials(settings.tenants)
        self.sources = Sources(settings.tenants)
        self.cleanser = Cleanser(self.data, settings.tenants)
        self.limits = RateLimits(settings.tenants)
        self.tally = Tally(settings.tenants, kinds=SOURCES.keys())
        # What the intakes counted, by host, as they said last.
        self.tallied: dict[str, list[Tallied]] = {}
        # What the index shards measured from recorded to visible, all tenants together, by host.
        self.delays: dict[str, list[Delays]] = {}
        self.certificates = Certificates()
        self.pauses = Pauses(time.monotonic)
        self._stops: list[Callable[[], Awaitable[None]]] = []
        # What goes on as long as the node runs, and begins when all hosts have answered.
        self._loops: list[Callable[[], Coroutine[None, None, None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._hints: set[asyncio.Task[None]] = set()
        self.listeners: list[Listener] = []
        self.is_ready = False
        self.model_composer: ModelComposer | None = None
        self._is_claimed = is_claimed
        self._lock: BinaryIO | None = None
        self.nats_url = settings.nats.url
        # Whether the stream's acknowledgements are fsynced; `None` where the server is not ours to ask.
        self.is_bus_durable: bool | None = None

    async def start(self) -> None:
        """Start what takes webhooks, and make the rest; every call to a host is refused until `start_hosts`.

        Raises `TerminalError` with what to do; then what was started is stopped.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._stops.append(self.certificates.close)
        self._prepare_data()
        await self._start_bus()
        self._on_progress("embedding model")
        models = await asyncio.to_thread(ensure_models, self.settings.index.precision)
        specs = host_specs(self.settings, self.data, log=self._log, nats_url=self.nats_url, models=models)
        self.supervisor = Supervisor(specs, on_event=_log_event)
        self._start_scaling()
        self._start_answering()
        await self._start_effects()
        self._start_remediation()
        self._start_watching()

    async def start_hosts(self) -> None:
        """Start the hosts, now that Ray is there, and all that needs them: the node is ready.

        Raises `TerminalError` with what to do; whoever started the node stops it.
        """
        self._on_progress("actors")
        # Registered first: hosts that started outlive a start that failed.
        self._stops.append(self.supervisor.stop)
        await self.supervisor.start()
        self.intakes.end_left()
        self._tasks += [asyncio.create_task(loop()) for loop in self._loops]
        self.is_ready = True

    def _prepare_data(self) -> None:
        if not self._is_claimed:
            self._lock = claim(self.data)
        self._log = place_of(self.settings.store.url, self.data)
        self._recorder = log_at(self._log)
        self.feed = feed_at(self._log)
        self.conversations = Conversations(feed_at(self._log))
        self.quarantine = Quarantine(
            self.data, tenants=self.settings.tenants.keys(), raw_store=raw_store_of(self.settings.quarantine)
        )

    async def _start_bus(self) -> None:
        self._on_progress("nats")
        self.nats_server: NatsServer | None = None
        if self.settings.nats.url == "embedded":
            self.nats_server = NatsServer(
                self.data / "nats",
                port=self.settings.nats.port,
                on_event=_log_event,
            )
            await self.nats_server.start()
            self._stops.append(self.nats_server.stop)
            self.nats_url = self.nats_server.url
            self.is_bus_durable = True
        try:
            self.bus: Client = await connect(self.nats_url, name="gateway")
        except (NatsError, OSError, TimeoutError) as error:
            raise TerminalError(f"nats.url {self.nats_url!r}: no server answers there: {error}") from error
        self._stops.append(self.bus.close)
        try:
            await ensure_stream(self.bus, bytes_max=self.settings.nats.stream_bytes_max)
        except NatsError as error:
            raise TerminalError(
                f"nats: the stream cannot be made with nats.stream_bytes_max = {self.settings.nats.stream_bytes_max}: "
                f"{error}; free disk space, or set it to less than three quarters of what is free"
            ) from error
        self.publisher = Publisher(self.bus)
        self.spool = Spool(self.data / "spool.sqlite", self.publisher, bytes_max=self.settings.nats.spool_bytes_max)
        self._stops.append(self.spool.close)
        self._tasks.append(asyncio.create_task(self.spool.run()))

    def _start_scaling(self) -> None:
        self.intakes = Intakes(
            self.supervisor,
            ray=self.settings.ray,
            settings=self.settings.scaling,
            spec_of=lambda number: intake_spec(self.settings, self.data, self.nats_url, number),
            backlog=lambda: pending(self.bus),
            keep=self.tallied.__setitem__,
            clock_s=time.monotonic,
        )
        self._loops.append(self.intakes.run)

    def _start_answering(self) -> None:
        self._stops.append(_in_thread(self.cleanser.close))
        indexes = range(self.settings.ray.index_shards)
        self._index_endpoints = [self.supervisor.endpoint(f"{INDEX_ROLE}-{shard}") for shard in indexes]
        self.knowledge = Router(self._index_endpoints, bucket=tenant_bucket_of)
        self.ledger = Ledger(Journal(self._recorder), node="gateway", clock=now, new_id=new_id)
        self.asker = Asker(
            call_of=self.call_index,
            listener_of=self.listener,
            ledger=self.ledger,
            settings=self.settings.ask,
            clock=now,
            new_id=new_id,
            clean=self.cleanser.text,
            composer=self._composer(),
            zone_of=self._zone_of,
        )
        for endpoint in self._index_endpoints:
            listener = Listener(
                endpoint.call, on_change=self._on_change, on_missed=self._on_missed, clock_s=time.monotonic
            )
            self.listeners.append(listener)
            self._loops.append(listener.run)
        self._start_conversations()
        self._start_corrections()
        self._start_polling()

    def _composer(self) -> Composer:
        """What words answers: a model for the tenants that want it, if there is one."""
        settings = self.settings.composer
        if not settings.url:
            return TemplateComposer()
        client = httpx.AsyncClient()
        self._stops.append(client.aclose)
        spending = Spending(self.data / "spending.sqlite")
        self._stops.append(_in_thread(spending.close))
        self.model_composer = ModelComposer(
            HttpChatModel(settings, client),
            settings,
            tenants=[tenant for tenant, each in self.settings.tenants.items() if each.composer == "model"],
            spending=spending,
            clock=now,
        )
        return self.model_composer

    def _zone_of(self, tenant: str) -> tzinfo:
        settings = self.settings.tenants.get(tenant)
        return (zone_named(settings.time_zone) if settings is not None else None) or UTC

    async def _start_effects(self) -> None:
        """What was decided is done in the world, and what is commanded over the bus is decided."""
        client = make_client()
        self._stops.append(client.aclose)
        self.outbox = Outbox(self.data / "projectors" / "outbox.sqlite", feed_at(self._log))
        self.outbox.check_log()
        self.effects = EffectRunner(
            self.outbox,
            ports_of(self.settings.tenants, client=client, clock=now),
            submit=self.payments.submit,
            owner=f"gateway/{new_id()}",
            clock=now,
            clock_s=time.monotonic,
            settings=self.settings.effects,
        )
        commander = Commander(self.bus, tenants=self.settings.tenants, submit=self.payments.submit, clock=now)
        try:
            await commander.start()
        except NatsError as error:
            raise TerminalError(f"nats: the stream of commands cannot be made: {error}; free disk space") from error
        self._loops.append(self.effects.run)
        self._loops.append(commander.run)

    def _start_polling(self) -> None:
        """One task for every source whose API is asked beside its webhooks."""
        client = httpx.AsyncClient()
        self._stops.append(client.aclose)
        cursors = Cursors(Journal(self._recorder), self.payments.submit)
        pollers = pollers_of(
            self.settings.tenants,
            client=client,
            publish=self.publisher.publish,
            cursors=cursors,
            clock=now,
            is_paused=lambda tenant, source: self.pauses.left_s(tenant, source) > 0,
        )
        self.pollers = {poller.name: poller for poller in pollers}
        for poller in self.pollers.values():
            self._loops.append(poller.run)

    def _start_conversations(self) -> None:
        shards = range(self.settings.ray.payment_shards)
        self.payments = Router([self.supervisor.endpoint(f"{PAYMENT_ROLE}-{shard}") for shard in shards])
        answerer = Answerer(
            feed_at(self._log),
            self.conversations,
            Store(self.data / "projectors" / "conversations.sqlite", ""),
            ask=self.asker.ask,
            submit=self.payments.submit,
            clock=now,
            can_reply=chats(self.settings.tenants).__contains__,
        )
        self._loops.append(answerer.run)

    def _start_corrections(self) -> None:
        self.answers = AnswerLedger(feed_at(self._log), self.data / "tenants")
        ways = {tenant: ways_of(of_tenant) for tenant, of_tenant in self.settings.tenants.items()}
        self.corrector = Corrector(
            feed_at(self._log),
            self.answers,
            Progress(self.data / "projectors" / "corrections.sqlite"),
            conversations=self.conversations,
            judge=self.ledger.judge,
            request=self.payments.submit,
            publish=self._publish,
            ways=lambda tenant: ways.get(tenant, ()),
            clock=now,
        )
        self._loops.append(self.corrector.run)

    def _start_remediation(self) -> None:
        """What the node may do about its own troubles; alerts come from the watch, which is started next."""
        self.remediator = make_remediator(self, Journal(self._recorder))
        self._loops.append(self.remediator.run)

    def _alerted(self, alert: SloAlert) -> None:
        self.remediator.on_alert(alert)
        self._on_alert(alert)

    def _start_watching(self) -> None:
        self.watch = Watch(
            self.settings.slo,
            self.data,
            head=self.feed.head,
            projected=self.projected,
            refresh=self.read_figures,
            clock=now,
            on_alert=self._alerted,
        )
        self._stops.append(_in_thread(self.watch.close))
        self._loops.append(self.watch.run)

    async def start_ray_again(self) -> None:
        """Give every host a new process after Ray's own died. Raises whatever keeps them from starting."""
        await bring_up_ray(self.settings.ray.address)
        await self.supervisor.start_again()

    def projected(self) -> dict[str, int]:
        """How far the projections are, as far as that is heard of all index shards."""
        return {name: min(each.projected.get(name, 0) for each in self.listeners) for name in PROJECTIONS}

    async def _publish(self, subject: str, payload: bytes) -> None:
        """For anyone who listens. Raises `RetryableError` while the bus is away."""
        if not self.bus.is_connected:
            raise RetryableError("the bus is away")
        try:
            await self.bus.publish(subject, payload)
        except NatsError as error:
            raise RetryableError(f"the bus does not take it: {error}") from error

    async def read_figures(self) -> None:
        """Ask the hosts what they counted and measured; of one that does not answer, its last word stays."""
        await asyncio.gather(self._read_tallies(), self._read_delays())

    async def _read_delays(self) -> None:
        for shard, endpoint in enumerate(self._index_endpoints):
            if (delays := await delays_of(endpoint.call)) is not None:
                self.delays[f"{INDEX_ROLE}-{shard}"] = delays

    async def _read_tallies(self) -> None:
        hosts = self.intakes.names
        said = await asyncio.gather(*(tally_of(self.supervisor.endpoint(host).call) for host in hosts))
        self.tallied |= {host: tallied for host, tallied in zip(hosts, said, strict=True) if tallied is not None}

    def call_index(self, tenant: str) -> Callable[[str, bytes], Awaitable[bytes]]:
        """How to call the index shard that owns a tenant."""
        return self._index_endpoints[index_shard_of(tenant, len(self._index_endpoints))].call

    def listener(self, tenant: str) -> Listener:
        """Who hears the changes of a tenant."""
        return self.listeners[index_shard_of(tenant, len(self.listeners))]

    def _on_change(self, change: Change) -> None:
        self.asker.on_change(change)
        if self.bus.is_connected:
            for tenant, keys in change.changed.items():
                hint = {"position": change.position, "changed": keys[:100]}
                hinting = asyncio.create_task(self.bus.publish(f"facts.{tenant}", msgspec.json.encode(hint)))
                self._hints.add(hinting)
                hinting.add_done_callback(self._hints.discard)

    def _on_missed(self) -> None:
        self.asker.cache.clear(self.feed.head())

    async def stop(self) -> None:
        """Stop every part that was started, last first. What was accepted is durable already."""
        self.is_ready = False
        await end(self._tasks)
        while self._stops:
            await self._stops.pop()()
        if self._lock is not None:
            self._lock.close()


def _log_event(event: str, fields: dict[str, object]) -> None:
    """Starts are news, deaths and silence are warnings."""
    is_trouble = event.endswith(("_silent", "_died", "_failed", "_replaced", "_restarted"))
    log.log(logging.WARNING if is_trouble else logging.INFO, event, **fields)


def _in_thread(stop: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def stop_in_thread() -> None:
        await asyncio.to_thread(stop)

    return stop_in_thread
