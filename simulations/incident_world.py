"""The world of the incident: a node with everything that `recount up` runs, a provider, its webhooks, and customers.

The provider listens over real HTTP and its webhooks are sent from here, so that what arrived and when is known;
customers ask over HTTP, and each answer is held against the provider's books at once.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from nats.aio.msg import Msg

from actors.payment_shard import now
from domain.errors import RetryableError, TerminalError
from domain.settings import (
    EffectSettings,
    HttpSettings,
    NatsSettings,
    NodeSettings,
    RaySettings,
    TelemetrySettings,
)
from domain.slo import SloAlert
from domain.tenant_settings import ApiSettings, PolicySettings, SourceSettings, TenantSettings
from domain.watch_settings import ProberSettings, RemediationSettings, SloSettings
from gateway.node import Node
from gateway.replaying.samples import Samples
from gateway.serve import running as node_running
from simulations.client import GatewayClient
from simulations.incident_books import Settled, misstated_minor, untrue_fields, word_of
from simulations.incident_peer import Arrived
from simulations.incident_plan import Plan
from simulations.incident_removals import wired
from simulations.provider import Provider
from simulations.provider_books import RefusedError
from simulations.provider_ledger import RETURNED
from simulations.provider_scenario import Opened, RefundFates, Scenario
from simulations.provider_server import running as provider_running
from simulations.provider_webhooks import Webhook

TENANT = "acme"
API_KEY = "incident-key-of-acme"
SECRET = "whsec_incident_of_acme"  # noqa: S105 - of a tenant that lives as long as the incident
CUSTOMERS = 30
CURRENCIES = ("eur", "usd", "vnd")
TICK_S = 0.05
SENDING_MAX = 16
QUESTIONS = ("Where is my refund for {}?", "What is the status of my payment {}?", "Did my payment {} go through?")


def settings(plan: Plan, data: Path, provider: Provider, provider_url: str) -> NodeSettings:
    """A node for one tenant on free ports, which asks itself and keeps account of shortened objectives."""
    return NodeSettings(
        data=str(data),
        http=HttpSettings(listen="127.0.0.1:0"),
        nats=NatsSettings(port=0),
        ray=RaySettings(payment_shards=1),
        telemetry=TelemetrySettings(log_level="critical"),
        effects=EffectSettings(
            timeout_s=5.0, lease_s=10.0, retry_first_s=0.2, retry_max_s=1.0, breaker_failures=10, breaker_open_s=1.0
        ),
        slo=SloSettings(time_scale=plan.time_scale),
        prober=ProberSettings(interval_s=0.2),
        # What it costs is measured before anything is mended: the steps are taken in the last phase.
        remediation=RemediationSettings(mode="off"),
        tenants={
            TENANT: TenantSettings(
                api_keys=(API_KEY,),
                sources={
                    "stripe": SourceSettings(
                        secrets=(SECRET,), api=ApiSettings(key=provider.scenario.api_key, url=provider_url)
                    )
                },
                policy=PolicySettings(attempts_max=2, wait_s=plan.real_s(60)),
            )
        },
    )


class World:
    """Everybody around the node, and the node.

    Args:
        plan: how large and how fast.
        node: with all its parts.
        client: speaks to its gateway.
        provider: whose books are the oracle.
        provider_url: where it listens.
        samples: takes down what is measured.
        alerts: what the objectives' watch said.
    """

    def __init__(
        self,
        plan: Plan,
        node: Node,
        client: GatewayClient,
        provider: Provider,
        provider_url: str,
        samples: Samples,
        alerts: list[SloAlert],
    ) -> None:
        self.plan = plan
        self.node = node
        self.client = client
        self.provider = provider
        self.provider_url = provider_url
        self.samples = samples
        self.alerts = alerts
        self.phase = ""
        self.is_paying = self.is_asking = False
        self.orders: list[str] = []
        # Orders to which nothing happens any more.
        self.closed: set[str] = set()
        self.arrived: list[Arrived] = []
        # What became of the questions: right, wrong, unknown, unanswered.
        self.told: Counter[str] = Counter()
        self.wrong_ids: set[str] = set()
        # The answers of which somebody who listens on the bus heard that they were wrong.
        self.heard: set[str] = set()
        self._rng = random.Random(plan.seed)
        self.settled = Settled(provider)
        self._under_way: set[asyncio.Task[None]] = set()
        self._asked = self._happened = 0.0
        self._sending = asyncio.Semaphore(SENDING_MAX)

    async def run(self) -> None:
        """Let the world go on for as long as the task lives."""
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        while True:
            passed_s, before_s = loop.time() - before_s, loop.time()
            self.provider.clock.catch_up()
            self._send_due()
            if self.is_paying:
                self._happened += passed_s * self.plan.steps_per_s
                while self._happened >= 1:
                    self._happened -= 1
                    self._happen()
            if self.is_asking:
                self._asked += passed_s * self.plan.questions_per_s
                while self._asked >= 1:
                    self._asked -= 1
                    self._ask_somebody()
            await asyncio.sleep(TICK_S)

    async def quiet(self) -> None:
        """Returns once nothing that was begun here is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _begin(self, what: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.create_task(what)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _send_due(self) -> None:
        while self.provider.webhooks.due:
            self._begin(self._send(self.provider.webhooks.due.popleft()))

    async def _send(self, webhook: Webhook) -> None:
        async with self._sending:
            status = await self.client.post_webhook(webhook.body, self.provider.webhooks.headers(webhook))
        if status == httpx.codes.ACCEPTED:
            self.arrived.append(Arrived(at=now(), body=webhook.body))
        self.provider.webhooks.record(webhook, status)

    def _happen(self) -> None:
        """A new order, or the next step in the life of one."""
        if len(self.orders) < self.plan.orders and self._rng.random() < 0.6:
            payment_id = f"pi_order{len(self.orders):03}"
            currency = self._rng.choice(CURRENCIES)
            amount = self._rng.randrange(50, 900) * (1_000 if currency == "vnd" else 10)
            customer = f"cus_{self._rng.randrange(CUSTOMERS):02}"
            self.provider.books.open(Opened(id=payment_id, amount=amount, currency=currency, customer=customer))
            self.orders.append(payment_id)
            return
        at = now()
        free = [each for each in self.orders if each not in self.closed and self.settled.may_change(each, at)]
        if free:
            self._live(self._rng.choice(free))

    def _live(self, payment_id: str) -> None:
        """What comes next for a payment, as far as anything may."""
        books, life = self.provider.books, self.provider.books.lives[payment_id]
        try:
            match life.intent.status:
                case "requires_payment_method" | "requires_action":
                    steps = ("succeed", "succeed", "succeed", "succeed", "authorize", "decline")
                    books.step(payment_id, self._rng.choice(steps))
                case "requires_capture":
                    books.step(payment_id, self._rng.choice(("capture", "capture", "capture", "expire")))
                case "succeeded":
                    self._return(payment_id)
        except RefusedError:
            return  # It cannot follow.

    def _return(self, payment_id: str) -> None:
        """A refund by hand at the provider, or the bank sends one back."""
        books, life = self.provider.books, self.provider.books.lives[payment_id]
        standing = [refund for refund in life.refunds.values() if refund.status not in RETURNED]
        charge = books.charge(life.intent.latest_charge or "")
        assert charge is not None, f"{payment_id} succeeded without a charge"
        if standing and self._rng.random() < 0.5:
            books.fail_refund(standing[0].id)
        elif len(life.refunds) < 2:
            part = self._rng.choice((1, 2))
            amount = life.intent.amount // part // 100 * 100 or life.intent.amount
            books.refund(charge, amount, "requested_by_customer", {}, request_id="req_by_hand", key="")

    def _ask_somebody(self) -> None:
        at = now()
        free = [each for each in self.orders if self.settled.may_ask(each, at)]
        if free:
            self._begin(self.ask(self._rng.choice(free), self._rng.choice(QUESTIONS)))

    async def ask(self, payment_id: str, wording: str = QUESTIONS[1]) -> str:
        """Ask as its customer, and hold the answer against the books: `right`, `wrong`, `unknown` or `unanswered`."""
        life = self.provider.books.lives[payment_id]
        books, asked_at = word_of(life), now()
        try:
            with self.settled.asked(payment_id):
                answer = await self.client.ask(wording.format(payment_id), payment_id=payment_id)
        except (TerminalError, RetryableError, httpx.TransportError) as error:
            self._note("unanswered", payment_id, asked_at, text=str(error)[:120], books=msgspec.to_builtins(books))
            return "unanswered"
        said = next((each for each in answer["payments"] if each["payment_id"] == payment_id), None)
        if answer["abstained"] or said is None:
            outcome, fields, misstated = "unknown", [], 0
        else:
            fields = untrue_fields(books, said)
            outcome = "wrong" if fields else "right"
            misstated = misstated_minor(books, said) if fields else 0
        if outcome == "wrong":
            self.wrong_ids.add(answer["answer_id"])
        self._note(
            outcome,
            payment_id,
            asked_at,
            answer_id=answer["answer_id"],
            fields=fields,
            misstated_minor=misstated,
            currency=books.truth.currency,
            customer_id=books.truth.customer_id,
            books=msgspec.to_builtins(books),
        )
        return outcome

    def _note(self, outcome: str, payment_id: str, asked_at: datetime, *, text: str = "", **data: Any) -> None:  # noqa: ANN401 - what belongs to a sample
        self.told[outcome] += 1
        self.samples.add(
            "answer",
            str(data.pop("answer_id", "")),
            at=asked_at,
            value=float(outcome == "wrong"),
            text=text,
            outcome=outcome,
            payment_id=payment_id,
            phase=self.phase,
            **data,
        )

    async def hear(self, message: Msg) -> None:
        """A correction, or that an answer was right after all."""
        told = msgspec.json.decode(message.data)
        if told["type"] == "answer.invalidated":
            self.heard.add(told["answer_id"])
        else:
            self.heard.discard(told["answer_id"])

    def at_risk_minor(self) -> dict[str, int]:
        """What was taken of payments that were started here and never confirmed in time, and is not returned."""
        owed: Counter[str] = Counter()
        for payment_id, life in self.provider.books.lives.items():
            if payment_id in self.orders:
                continue
            truth = life.truth()
            owed[truth.currency] += truth.captured_minor - truth.refunded_minor
        return {currency: minor for currency, minor in sorted(owed.items()) if minor}

    def is_told(self) -> bool:
        """Whether no webhook is on its way any more, nor will be."""
        return not self.provider.webhooks.due and self.provider.clock.next_s() is None and not self._under_way


@asynccontextmanager
async def living(
    plan: Plan, data: Path, samples: Samples, on_progress: Callable[[str], None] = lambda words: None
) -> AsyncIterator[World]:
    """The world at its beginning; all has ended with the block. Raises `TerminalError` if the node does not start."""
    scenario = Scenario(seed=plan.seed, webhook_secret=SECRET, refunds=RefundFates(pending=0.7, settled_after_s=0.3))
    provider = Provider(scenario)
    alerts: list[SloAlert] = []
    async with AsyncExitStack() as stack:
        stack.enter_context(wired(plan))
        provider_url = await stack.enter_async_context(provider_running(provider, sends_webhooks=False))
        node, url = await stack.enter_async_context(
            node_running(settings(plan, data, provider, provider_url), on_progress=on_progress, on_alert=alerts.append)
        )
        client = await stack.enter_async_context(GatewayClient(url, tenant=TENANT, api_key=API_KEY, secret=SECRET))
        world = World(plan, node, client, provider, provider_url, samples, alerts)
        await node.bus.subscribe(f"corrections.{TENANT}", cb=world.hear)
        going_on = asyncio.create_task(world.run())
        try:
            yield world
        finally:
            going_on.cancel()
            await asyncio.gather(going_on, return_exceptions=True)
            await world.quiet()
