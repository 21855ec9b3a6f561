"""`recount simulate sagas`: many sagas on virtual time, against a simulated provider over real HTTP that keeps failing.

A node's production parts (shard, outbox, effect runner, Stripe's port, its source, its poller) live beside the provider
and its customers; persons answer what they are asked. What came of it is checked in `simulations.sagas_checks`.
"""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from actors.effects import EffectRunner
from actors.journal import Journal
from actors.log import place_of
from actors.payment_shard import KINDS, ROLE, new_id
from actors.recorder import open_log
from actors.router import Router
from actors.shard import Shard
from domain.codec import Submission
from domain.effects import Done, Effect, Failed, Port
from domain.errors import RetryableError, TerminalError
from domain.ids import StreamId, stream_id
from domain.message import Failed as NotHandled
from domain.message import Trace
from domain.payment_policy import Policy
from domain.payment_saga import Resolution, ResolveEscalation, StartPayment
from domain.polling import PollSettings
from domain.settings import BATCH_MAX, EffectSettings
from domain.sharding import BUCKET_COUNT
from gateway.bus import Outgoing
from gateway.effects.http import make_client
from gateway.effects.stripe_client import StripeAccount, StripePort
from gateway.ledger import LocalEndpoint
from gateway.polling import Cursors, Poller
from gateway.polling_http import Asker
from gateway.sources import stripe
from gateway.sources.port import Reading, Trust, submissions
from projections.feed import SqliteFeed
from projections.outbox import Outbox
from simulations.provider import Provider
from simulations.provider_books import RefusedError
from simulations.provider_scenario import CallShares, EventShares, Opened, RefundFates, Scenario
from simulations.provider_server import running

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANTS = ("acme", "globex", "initech", "umbrella")
DEADLINE = timedelta(minutes=30)
# Real seconds: what the provider never answers is waited for so long.
TIMEOUT_S = 2.0
# Virtual seconds: while a call hangs for `TIMEOUT_S`, days may pass.
LEASE_S = 365 * 86_400.0
HAPPENING_AT_ONCE = 2
# A reading is four calls, so that a third of them fail: five in a row are no news, and while a circuit is open the time
# in which it would close stands still.
BREAKER_FAILURES = 25
# How often a person looks at one payment; what is still open then stays with them.
RESOLUTIONS_MAX = 1
STEPS = (
    "succeed",
    "succeed",
    "succeed",
    "authorize",
    "decline",
    "capture",
    "expire",
    "abandon",
    "dispute",
    "win",
    "lose",
    "challenge",
)
POLICIES = tuple(
    Policy(on_timeout=on_timeout, on_late_success=late, wait_s=1_800, waits_max=1)
    for on_timeout in ("wait", "cancel", "void", "refund", "refund", "refund")
    for late in ("refund", "keep", "escalate")
)
EVENTS = EventShares(late=0.1, duplicate=0.1, reordered=0.1, lost=0.1, contradictory=0.02)
LATEST_S = EVENTS.late_s[1] + EVENTS.duplicate_after_s
REFUNDS = RefundFates(pending=0.3, fails_later=0.1)


def calls(faulty: float) -> CallShares:
    """A share of calls that goes wrong, in every way that there is, each as often as the others."""
    names = CallShares.__struct_fields__
    return CallShares(**dict.fromkeys(names, faulty / len(names)))


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """So many turns, in each of which every payment has something happen to it with a probability."""

    name: str
    turns: int
    turn: timedelta
    happening: float = 0.0


PHASES = (
    Phase(name="payments are started", turns=12, turn=timedelta(minutes=5), happening=0.05),
    Phase(name="deadlines pass", turns=12, turn=timedelta(minutes=5), happening=0.08),
    Phase(name="two days", turns=24, turn=timedelta(hours=2), happening=0.015),
    Phase(name="refunds fail after a month", turns=17, turn=timedelta(days=2)),
    Phase(name="nothing happens any more", turns=60, turn=timedelta(minutes=10)),
)


class _ByTenant:
    """A port for each tenant."""

    def __init__(self, ports: Mapping[str, Port]) -> None:
        self._ports = ports

    async def perform(self, effect: Effect) -> Done | Failed:
        return await self._ports[effect.tenant].perform(effect)


class Sagas:
    """A node, its provider and everybody around them.

    Args:
        directory: the node's data.
        provider: the provider, which has all payments already.
        url: where it listens.
        clients: the node's connections to it, by tenant.
        rng: what happens, and to whom.
    """

    def __init__(
        self,
        directory: Path,
        provider: Provider,
        url: str,
        clients: Mapping[str, httpx.AsyncClient],
        rng: random.Random,
    ) -> None:
        self.provider = provider
        self.rng = rng
        self.ids = list(provider.books.lives)
        self.clock = provider.clock
        self.resolved: dict[tuple[str, str], int] = {}
        self.webhooks = self.polled = 0
        journal = Journal(open_log(place_of("sqlite", directory)))
        shard = Shard(
            journal,
            KINDS,
            role=ROLE,
            buckets=range(BUCKET_COUNT),
            owner="sagas",
            clock=self.clock,
            new_id=new_id,
        )
        self.shard = shard
        self._router = Router([LocalEndpoint(shard)], calls_max=1)
        self.feed = SqliteFeed(place_of("sqlite", directory))
        self.outbox = Outbox(directory / "outbox.sqlite", SqliteFeed(place_of("sqlite", directory)))
        port = _ByTenant(
            {
                tenant: StripePort(
                    each,
                    {(tenant, "stripe"): StripeAccount(api_key=provider.scenario.api_key, base_url=url)},
                    timeout_s=TIMEOUT_S,
                    clock=self.clock,
                )
                for tenant, each in clients.items()
            }
        )
        self.runner = EffectRunner(
            self.outbox,
            {"pull": port, "cancel": port, "void": port, "refund": port},
            submit=self._router.submit,
            owner="sagas",
            clock=self.clock,
            clock_s=lambda: self.clock().timestamp(),
            settings=EffectSettings(lease_s=LEASE_S, breaker_failures=BREAKER_FAILURES),
            jitter=rng.random,
        )
        self._poller = self._new_poller(url, clients[TENANTS[0]], journal)
        self._trust = Trust(secrets=(provider.scenario.webhook_secret,))
        self._unstarted = rng.sample(self.ids, len(self.ids))
        self._happening: list[str] = []
        self._is_polled = False

    def _new_poller(self, url: str, client: httpx.AsyncClient, journal: Journal) -> Poller:
        """What no webhook told, the events API tells. All payments are in one account, so one poller is enough."""

        async def at_once(_: float) -> None:
            """A pause of no virtual time."""

        settings = PollSettings(
            url=f"{url}/v1/events",
            key=self.provider.scenario.api_key,
            params={"delivery_success": "false"},
            overlap_s=3_600.0,
        )
        asker = Asker(client, timeout_s=TIMEOUT_S, clock=self.clock, pause=at_once)
        return Poller(
            "acme",
            "stripe",
            "stripe",
            settings,
            asker=asker,
            publish=self._polled,
            cursors=Cursors(journal, self._router.submit),
            clock=self.clock,
            pause=at_once,
        )

    def _start(self, payment_id: str) -> Submission:
        command = StartPayment(
            payment_id=payment_id,
            amount_minor=4_900,
            currency="EUR",
            deadline_at=self.clock() + DEADLINE,
            provider="stripe",
            policy=self.rng.choice(POLICIES),
        )
        return Submission(stream=stream_of(payment_id), command=command, trace=Trace(correlation_id=payment_id))

    async def turn(self, phase: Phase) -> None:
        """Time passes, and everybody does what it is time for."""
        self.provider.advance(phase.turn)
        if self._unstarted:
            share = -(-len(self.ids) // PHASES[0].turns)
            started, self._unstarted = self._unstarted[:share], self._unstarted[share:]
            await self._submit([self._start(each) for each in started])
        if phase.happening:
            self._happening = [each for each in self.ids if self.rng.random() < phase.happening]
        await self._deliver()
        await self._poll()
        await self._perform()
        self._happen(len(self._happening))
        await self._ask_persons()
        await self._perform()

    def is_at_rest(self) -> bool:
        """Whether nothing is left that anybody here would do, or that comes with a late webhook."""
        counts = self.outbox.counts(self.clock())
        next_s = self.provider.clock.next_s()
        is_told = not self.provider.webhooks.due and (next_s is None or next_s > LATEST_S) and self._is_polled
        return is_told and not counts.effects and not counts.deadlines and not self._asked()

    def _happen(self, count: int) -> None:
        """So many of the payments of this turn have something happen to them."""
        for _ in range(min(count, len(self._happening))):
            try:
                self.provider.books.step(self._happening.pop(), self.rng.choice(STEPS))
            except RefusedError:
                continue  # It cannot follow: a canceled payment is not paid.

    async def _deliver(self) -> None:
        """The webhooks that are due, as the gateway takes them and the intake reads them, many at a time."""
        webhooks = self.provider.webhooks
        while webhooks.due:
            batch: list[Submission] = []
            while webhooks.due and len(batch) < BATCH_MAX:
                webhook = webhooks.due.popleft()
                refused = stripe.verify(
                    {name.lower(): value for name, value in webhooks.headers(webhook).items()},
                    webhook.body,
                    trust=self._trust,
                    now=self.clock(),
                )
                assert refused is None, refused
                batch += _read(webhook.body, webhook.payment_id)
                webhooks.record(webhook, 202)
                self.webhooks += 1
            await self._submit(batch)

    async def _poll(self) -> None:
        """One round. What fails six times in a row, or is refused, is asked for again in the next turn."""
        try:
            sent = await self._poller.round()
        except (RetryableError, TerminalError):
            self._is_polled = False
            return
        self.polled += sent
        self._is_polled = not sent

    async def _polled(self, message: Outgoing) -> int:
        await self._submit(_read(message.body))
        return 0

    async def _submit(self, batch: Sequence[Submission]) -> None:
        replies = await self._router.submit(batch)
        failed = [reply for reply in replies if isinstance(reply, NotHandled)]
        assert not failed, failed[0]

    async def _perform(self) -> None:
        """All that is due now and what follows from it, as the runner's own loop does it.

        What the provider never answers is not waited for: it comes to its end at a later time.
        """
        while True:
            before = self.feed.head()
            if await self.runner.turn():
                continue
            has_ended = await self.runner.idle() if self.runner.under_way else False
            # Customers do not wait for what is under way about their payment.
            self._happen(HAPPENING_AT_ONCE)
            if not has_ended and self.feed.head() == before:
                return

    def _asked(self) -> list[tuple[str, str, int, str]]:
        """The tenant, payment, number and reason of each question that a person has not looked at too often."""
        return [
            (tenant, each.payment_id, each.number, each.reason)
            for tenant in TENANTS
            for each in self.outbox.escalations(tenant, limit=len(self.ids))
            if self.resolved.get((tenant, each.payment_id), 0) < RESOLUTIONS_MAX
        ]

    async def _ask_persons(self) -> None:
        """A person answers: to go on, or to return the money where that is the question."""
        batch = []
        for tenant, payment_id, number, reason in self._asked():
            self.resolved[tenant, payment_id] = self.resolved.get((tenant, payment_id), 0) + 1
            resolution: Resolution = "refund" if reason in {"refund_failed", "late_success"} else "retry"
            command = ResolveEscalation(number=number, resolution=resolution, note="simulated")
            batch.append(Submission(stream=stream_id("payment", tenant, payment_id), command=command))
        if batch:
            await self._submit(batch)


def tenant_of(payment_id: str) -> str:
    """Whose payment it is: all are numbered."""
    return TENANTS[int(payment_id.rpartition("_")[2]) % len(TENANTS)]


def stream_of(payment_id: str) -> StreamId:
    return stream_id("payment", tenant_of(payment_id), payment_id)


def _read(body: bytes, payment_id: str = "") -> list[Submission]:
    """A webhook's or an event's commands, for the tenant whose payment it is about."""
    reading = stripe.read(body, headers={}, ref="INGEST/1")
    assert isinstance(reading, Reading), reading
    about = [payment_id, *(fact.payment_id for fact in reading.facts), *(to for _, to in reading.links), "pi_0"]
    chosen = next(each for each in about if each.startswith("pi_"))
    return submissions(tenant_of(chosen), reading, source="stripe", trace=Trace(correlation_id=chosen))


@asynccontextmanager
async def living(directory: Path, *, sagas: int, seed: int, faulty: float) -> AsyncIterator[Sagas]:
    """The world at its beginning, with the provider listening; all has ended with the block."""
    scenario = Scenario(
        seed=seed,
        start=START,
        is_frozen=True,
        webhook_url="http://gateway.example",
        calls=calls(faulty),
        events=EVENTS,
        refunds=REFUNDS,
        payments=tuple(Opened(id=f"pi_{number}", amount=4_900, customer=f"cus_{number}") for number in range(sagas)),
    )
    provider = Provider(scenario)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running(provider, sends_webhooks=False))
        # A pool looks at all its connections for each call, so four small ones are quicker than a large one.
        clients = {tenant: await stack.enter_async_context(make_client()) for tenant in TENANTS}
        yield Sagas(directory, provider, url, clients, random.Random(seed))


async def live(sagas: Sagas, phases: Sequence[Phase], on_turn: Callable[[str], None]) -> None:
    """All phases, one turn after the other; the last ends when nothing is left to do."""
    for phase in phases:
        for _ in range(phase.turns):
            if phase is phases[-1] and sagas.is_at_rest():
                return
            await sagas.turn(phase)
            on_turn(phase.name)
