"""Who tells a simulated node something: a provider that sends, an editor who writes documents."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from actors.index import ROLE as INDEX_ROLE
from actors.router import Router
from domain.codec import Submission
from domain.document import PutDocument, WithdrawDocument
from domain.errors import RetryableError
from domain.ids import stream_id
from domain.message import Failed
from domain.sharding import tenant_bucket_of
from gateway.bus import ingest_subject
from gateway.sources import stripe
from simulations.disorder import deliveries
from simulations.stripe_traffic import ProviderEvent, Traffic, generate
from simulations.world_history import old_events, poison_events

if TYPE_CHECKING:
    from simulations.world import World

_TOLD_FROM = datetime(2026, 3, 1, 12, tzinfo=UTC)
_GAPS_S = (0.005, 0.0, 0.05, 0.3)
_RETRY_S = 0.4
JUNK = (
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"id":"evt_x","type":"charge.refunded","created":1,"data":{"object":{"object":"refund"}}}',
    b'{"id":"evt_y","object":"event","type":"payment_intent.succeeded","created":1,"data":{"object":null}}',
)
_TEXTS = (
    "Refunds reach your card within ten days.",
    "Refunds take five business days. Write to us if yours does not come.",
    "We charge once per order. A second charge is given back.",
)


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was accepted: its publisher heard that it is durable."""

    tenant: str
    source: str
    body: bytes


class Provider:
    """Sends the webhooks of a few payments per tenant, in its own disorder, until each is accepted."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.accepted: list[Sent] = []
        self.traffic: dict[str, Traffic] = {}
        # Payments whose books we cannot know: something was never sent, or was contradicted.
        self.untold: set[str] = set()
        # What their books are depends on which of two contents came first.
        self.contradicted: set[str] = set()
        self.plans: dict[str, list[bytes]] = {}
        # Refunds and disputes that are sent before anything says whose charge it is that they name.
        self._ahead: set[bytes] = set()

    def prepare(self) -> None:
        """What is in the log before the first process starts."""
        world = self._world
        seed, at_once = world.told.choices.below(2**20), self._at_once()
        for number, tenant in enumerate(world.tenants):
            if number and not world.told.happens("same_ids", times=10):
                seed, at_once = world.told.choices.below(2**20), self._at_once()
            self.traffic[tenant] = generate(
                seed=seed, payments=world.options.payments, start=_TOLD_FROM, at_once=at_once
            )
        self.plans = {tenant: self._plan(tenant) for tenant in world.tenants}
        first = next(iter(world.tenants))
        if world.told.is_enabled("old_schema"):
            world.log.add(old_events(first, self.traffic[first]))
            world.told.note("old_schema", "log")
        if world.told.is_enabled("poison_event"):
            world.log.add(poison_events(first, self.traffic[first]))
            world.told.note("poison_event", "log")

    def _at_once(self) -> list[int]:
        """The payments of a tenant whose refund is pending and through in one second."""
        payments = range(self._world.options.payments)
        return [number for number in payments if self._world.told.happens("provider_at_once", times=10)]

    async def run(self) -> None:
        world = self._world
        sends: list[asyncio.Task[None]] = []
        plans = [(tenant, self.plans[tenant]) for tenant in world.tenants]
        while any(plan for _, plan in plans):
            tenant, plan = world.choices.one_of([each for each in plans if each[1]])
            await asyncio.sleep(world.faults.delay_s(_GAPS_S))
            sends.append(world.loop.create_task(self.send(tenant, plan.pop(0))))
            if world.faults.happens("poison_message"):
                sends.append(world.loop.create_task(self.send(tenant, world.choices.one_of(JUNK))))
        await asyncio.gather(*sends)

    def _plan(self, tenant: str) -> list[bytes]:
        """The bodies in the order in which they are sent."""
        world, traffic = self._world, self.traffic[tenant]
        arrivals = deliveries(
            traffic,
            seed=world.told.choices.below(2**20),
            duplicate_share=0.3 if world.told.is_enabled("provider_twice") else 0.0,
            late_share=0.2 if world.told.is_enabled("provider_late") else 0.0,
        )
        if any(delivery.is_duplicate for delivery in arrivals):
            world.told.note("provider_twice", "")
        if any(delivery.is_late for delivery in arrivals):
            world.told.note("provider_late", "")
        bodies: dict[str, list[bytes]] = {
            event.event_id: self._bodies(event) for event in traffic.events if not self._is_withheld(event)
        }
        sent = [body for delivery in arrivals for body in bodies.get(delivery.event.event_id, [])]
        return sorted(sent, key=lambda body: body not in self._ahead)

    def _is_withheld(self, event: ProviderEvent) -> bool:
        if event.payment_id and self._world.told.happens("provider_never"):
            self.untold.add(event.payment_id)
            return True
        return False

    def _bodies(self, event: ProviderEvent) -> list[bytes]:
        """An event as it is sent: as it is, without its payment, or followed by its own contradiction."""
        faults = self._world.told
        is_part = event.event_type.startswith(("refund.", "charge.dispute."))
        if is_part and faults.happens("provider_orphan", times=20):
            body = _changed(event.body, lambda thing: thing.update(payment_intent=None))
            if faults.choices.of("provider_orphan").below(2):
                faults.note("provider_orphan", "before its charge")
                self._ahead.add(body)
            return [body]
        if event.payment_id and faults.happens("provider_contradicts"):
            self.untold.add(event.payment_id)
            self.contradicted.add(event.payment_id)
            return [event.body, _changed(event.body, lambda thing: thing.update(amount=thing.get("amount", 0) + 1))]
        return [event.body]

    async def send(self, tenant: str, body: bytes) -> None:
        """Send until it is accepted, as a provider does that hears no 2xx."""
        world = self._world
        while True:
            try:
                sequence = await world.bus.publish(ingest_subject(tenant, stripe.name), body, {})
            except RetryableError:
                await asyncio.sleep(_RETRY_S)
                continue
            world.note("accepted", f"{tenant} {sequence}")
            self.accepted.append(Sent(tenant=tenant, source=stripe.name, body=body))
            return


def _changed(body: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    event = msgspec.json.decode(body)
    change(event["data"]["object"])
    return msgspec.json.encode(event)


class Editor:
    """Publishes, changes and withdraws documents."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def run(self) -> None:
        world, choices = self._world, self._world.choices.of("editor")
        router = Router(
            [world.endpoint(f"{INDEX_ROLE}-{number}") for number in range(world.options.index_shards)],
            bucket=tenant_bucket_of,
        )
        for number in range(world.options.documents * 2):
            await asyncio.sleep(choices.one_of((0.1, 0.0, 0.5)))
            tenant = choices.one_of(list(world.tenants))
            document_id = f"doc-{choices.below(max(1, world.options.documents))}"
            command: PutDocument | WithdrawDocument = PutDocument(
                document_id=document_id, title="Refunds", text=choices.one_of(_TEXTS)
            )
            if choices.below(4) == 3:
                command = WithdrawDocument()
            submission = Submission(
                stream=stream_id("document", tenant, document_id), command=command, command_id=f"edit-{number}"
            )
            await submitted(router, submission)


async def submitted(router: Router, submission: Submission) -> None:
    """Send a command until it is decided."""
    while True:
        [reply] = await router.submit([submission])
        if not (isinstance(reply, Failed) and reply.retryable):
            return
        await asyncio.sleep(_RETRY_S)
