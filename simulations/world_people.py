"""Who acts on a simulated node: a provider that sends, customers who ask, an editor who writes documents."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from actors.index import ROLE as INDEX_ROLE
from actors.router import Router
from domain.codec import Submission
from domain.document import PutDocument, WithdrawDocument
from domain.errors import RetryableError
from domain.ids import stream_id
from domain.message import Failed, Trace
from domain.sharding import tenant_bucket_of
from gateway.asking import AnswerJson, AskRequest
from gateway.bus import ingest_subject
from gateway.http.problems import ProblemError
from gateway.sources import stripe
from simulations.disorder import deliveries
from simulations.stripe_traffic import ProviderEvent, Traffic, generate
from simulations.world_history import old_events, poison_event

if TYPE_CHECKING:
    from simulations.world import World

_TOLD_FROM = datetime(2026, 3, 1, 12, tzinfo=UTC)
_GAPS_S = (0.005, 0.0, 0.05, 0.3)
_RETRY_S = 0.4
ATTEMPTS_MAX = 50
JUNK = (
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"id":"evt_x","type":"charge.refunded","created":1,"data":{"object":{"object":"refund"}}}',
    b'{"id":"evt_y","object":"event","type":"payment_intent.succeeded","created":1,"data":{"object":null}}',
)
_QUESTIONS = (
    "Where is my refund for {payment}?",
    "What is the status of payment {payment}?",
    "Was I charged twice for {payment}?",
    "What is your refund policy?",
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

    def prepare(self) -> None:
        """What is in the log before the first process starts."""
        world = self._world
        for tenant in world.tenants:
            seed = world.told.choices.below(2**20)
            self.traffic[tenant] = generate(seed=seed, payments=world.options.payments, start=_TOLD_FROM)
        self.plans = {tenant: self._plan(tenant) for tenant in world.tenants}
        first = next(iter(world.tenants))
        if world.told.is_enabled("old_schema"):
            world.log.add(old_events(first, self.traffic[first]))
            world.told.note("old_schema", "log")
        if world.told.is_enabled("poison_event"):
            world.log.add([poison_event(first)])
            world.told.note("poison_event", "log")

    async def run(self) -> None:
        world = self._world
        sends: list[asyncio.Task[None]] = []
        plans = [(tenant, self.plans[tenant]) for tenant in world.tenants]
        while any(plan for _, plan in plans):
            tenant, plan = world.choices.one_of([each for each in plans if each[1]])
            await asyncio.sleep(world.faults.delay_s(_GAPS_S))
            sends.append(world.loop.create_task(self._send(tenant, plan.pop(0))))
            if world.faults.happens("poison_message"):
                sends.append(world.loop.create_task(self._send(tenant, world.choices.one_of(JUNK))))
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
        return [body for delivery in arrivals for body in bodies.get(delivery.event.event_id, [])]

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
            return [_changed(event.body, lambda thing: thing.update(payment_intent=None))]
        if event.payment_id and faults.happens("provider_contradicts"):
            self.untold.add(event.payment_id)
            self.contradicted.add(event.payment_id)
            return [event.body, _changed(event.body, lambda thing: thing.update(amount=thing.get("amount", 0) + 1))]
        return [event.body]

    async def _send(self, tenant: str, body: bytes) -> None:
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


class Customers:
    """Ask, now and about the past, and keep what they were told."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._past: list[tuple[str, AskRequest, list[Any]]] = []

    async def run(self) -> None:
        world, choices = self._world, self._world.choices.of("customers")
        asks = []
        for _ in range(world.options.questions):
            await asyncio.sleep(choices.one_of((0.05, 0.0, 0.3, 1.0)))
            asks.append(world.loop.create_task(self._ask()))
        await asyncio.gather(*asks)

    async def _ask(self) -> None:
        world, choices = self._world, self._world.choices.of("customers")
        tenant = choices.one_of(list(world.tenants))
        # Few payments and many questions: the same one is asked before, while and after it changes.
        payment = choices.one_of(sorted(world.provider.traffic[tenant].truth)[:2])
        text = choices.one_of(_QUESTIONS).format(payment=payment)
        head = world.feed.head()
        is_past = head > 0 and choices.below(4) == 3
        request = AskRequest(
            question=text,
            # A past that nobody has projected yet is waited for.
            known_at=choices.below(head + 1) if is_past else None,
            as_of=world.at() + timedelta(days=1) if is_past else None,
            min_position=head if is_past else 0,
        )
        for _ in range(1 + choices.below(3)):
            answer = await self._told(tenant, request)
            if answer is not None and is_past:
                self._past.append((tenant, request, _said(answer)))

    async def _told(self, tenant: str, request: AskRequest) -> AnswerJson | None:
        """The answer, once it has left the gateway; `None` if there was none."""
        world = self._world
        gateway = world.gateway()
        if gateway is None:
            return None
        told: asyncio.Future[AnswerJson | None] = world.loop.create_future()
        process = world.gateway_process()
        world.calls.setdefault(process, []).append(told)  # type: ignore[arg-type]  # buried with the process like any call

        async def answer() -> None:
            try:
                given = await gateway.asker.ask(tenant, request, Trace(correlation_id="asked"))
            except (ProblemError, RetryableError) as error:
                world.note("no_answer", str(error))
                world.settle(told)
                return
            world.checks.answer_left(tenant, request, given)
            world.note("answer", f"{tenant} {given.position} {given.cached} {given.answer}")
            world.settle(told, result=given)

        world.loop.call_later(0.001, lambda: world.spawn(answer()), context=process.context)
        try:
            return await told
        except RetryableError:
            return None
        finally:
            world.calls[process].remove(told)  # type: ignore[arg-type]  # as above

    async def ask_at_the_end(self) -> None:
        """Ask about the past again: known at a position, nothing changes any more."""
        for tenant, request, said in self._past:
            for _ in range(ATTEMPTS_MAX):
                answer = await self._told(tenant, request)
                if answer is not None:
                    break
                await asyncio.sleep(_RETRY_S)
            if answer is None:
                self._world.checks.violated("known_at", f"{request.question} is not answered at the end")
            elif _said(answer) != said:
                self._world.checks.violated(
                    "known_at", f"{request.question} known at {request.known_at} was {said}, is {_said(answer)}"
                )


def _said(answer: AnswerJson) -> list[Any]:
    return [answer.answer, *(msgspec.to_builtins(payment) for payment in answer.payments)]


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
            await self._submit(router, submission)

    async def _submit(self, router: Router, submission: Submission) -> None:
        """Send until it is decided."""
        while True:
            [reply] = await router.submit([submission])
            if not (isinstance(reply, Failed) and reply.retryable):
                return
            await asyncio.sleep(_RETRY_S)
