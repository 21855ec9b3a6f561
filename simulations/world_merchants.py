"""The merchants of a simulated node: their accounts at a provider, the payments that they start, and their endpoints.

The accounts are those of docs/provider-simulator.md, on the world's time and with what goes wrong drawn by the world.
"""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, get_args

import httpx
import msgspec

from actors.router import Router
from domain.message import Trace
from domain.payment_policy import OnLateSuccess, OnTimeout
from domain.payment_saga import Resolution
from domain.tenant_settings import ApiSettings, NotifySettings, PolicySettings, SourceSettings, TenantSettings
from gateway.commands import ResolveBody, StartBody, command_of
from gateway.sources import stripe
from simulations.choices import Choices
from simulations.faults import Faults
from simulations.provider import Provider
from simulations.provider_api import Call
from simulations.provider_books import RefusedError
from simulations.provider_idempotency import Reply
from simulations.provider_scenario import CallFault, EventFault, EventShares, Fates, Opened, RefundFates, Scenario
from simulations.provider_webhooks import Webhook
from simulations.world_people import submitted

if TYPE_CHECKING:
    from simulations.world import World

TICK_S = 0.25
STARTED = "pi_started"
AMOUNT_MINOR = 4_900
DOWN_S = (1.0, 3.0, 8.0)
_SCENARIO = Scenario(
    events=EventShares(late_s=(0.5, 5.0), duplicate_after_s=0.3),
    refunds=RefundFates(settled_after_s=2.0, fails_after_days=timedelta(seconds=5) / timedelta(days=1)),
)
_SECRET = "whsec_c2ltdWxhdGVkIG1lcmNoYW50cyBrZWVwIGl0"  # noqa: S105 - of a simulation
_PROVIDER_HOST = ".provider.example"
_MERCHANT_HOST = ".merchant.example"
# Success most often: money that is not there is neither lost nor returned twice.
_STEPS = (
    *("succeed",) * 5,
    *("authorize", "capture", "decline", "challenge"),
    *("dispute", "win", "lose", "expire", "abandon"),
)
_CALL_FAULTS: dict[str, tuple[CallFault, ...]] = {
    "call_refused": ("rate_limited", "unavailable", "locked"),
    "call_errs": ("error_before", "error_after"),
    "call_hangs": ("timeout_before", "timeout_after"),
}
_EVENT_FAULTS: dict[str, EventFault] = {
    "provider_late": "late",
    "provider_twice": "duplicate",
    "provider_never": "lost",
    "provider_contradicts": "contradictory",
}


def settings_of(tenant: str, choices: Choices) -> TenantSettings:
    """A tenant whose merchant starts payments, and may be told of corrections."""
    return TenantSettings(
        sources={
            stripe.name: SourceSettings(api=ApiSettings(key=_SCENARIO.api_key, url=f"https://{tenant}{_PROVIDER_HOST}"))
        },
        policy=PolicySettings(
            deadline_s=choices.one_of((3.0, 1.0, 0.3, 6.0)),
            on_timeout=choices.one_of((*get_args(OnTimeout), "refund", "refund", "refund")),
            on_late_success=choices.one_of(get_args(OnLateSuccess)),
            wait_s=2.0,
            waits_max=3,
            attempts_max=4,
        ),
        notify=NotifySettings(url=f"https://{tenant}{_MERCHANT_HOST}/hook", secrets=(_SECRET,)),
        corrections=choices.one_of(("notify", "notify", "notify", "none")),
    )


class DrawnFates(Fates):
    """What goes wrong at a provider, by the world's faults."""

    def __init__(self, faults: Faults, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_SCENARIO)
        self._faults = faults
        self._loop = loop
        self._down_until_s = 0.0

    def of_call(self, call: str, payment_id: str) -> CallFault | None:  # noqa: ARG002 - any call, of any payment
        faults = self._faults
        if faults.happens("provider_down"):
            self._down_until_s = self._loop.time() + faults.delay_s(DOWN_S)
        if faults.is_on and self._loop.time() < self._down_until_s:
            return "unavailable"
        for fault, ways in _CALL_FAULTS.items():
            if faults.happens(fault, times=3):
                way = faults.choices.of(fault).one_of(ways)
                faults.note(fault, way)
                return way
        return None

    def of_event(self, event_type: str, payment_id: str) -> set[EventFault]:  # noqa: ARG002 - any event, of any payment
        chosen = {way for fault, way in _EVENT_FAULTS.items() if self._faults.happens(fault)}
        # A lie whose truth is lost is believed by anybody who does not ask.
        return chosen - {"contradictory"} if self._faults.is_enabled("provider_never") else chosen

    def is_pending(self) -> bool:
        return self._faults.happens("refund_slow", times=30)

    def fails_later(self) -> bool:
        return self._faults.happens("refund_fails", times=30)

    def between(self, least: float, most: float) -> float:
        return least + (most - least) * self._faults.choices.of("between").below(100) / 100


class Merchants:
    """One merchant for each tenant, with an account at the provider and an endpoint."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.accounts: dict[str, Provider] = {}
        # What each endpoint took: the body by the notification's id.
        self.notified: dict[str, dict[str, bytes]] = {}
        self._sending = 0

    def prepare(self) -> None:
        """Open the accounts."""
        self.notified = {tenant: {} for tenant in self._world.tenants}
        for tenant in self._world.tenants if self._world.options.sagas else ():
            scenario = msgspec.structs.replace(_SCENARIO, seed=self._world.choices.of("merchants").below(2**20))
            self.accounts[tenant] = Provider(
                scenario, now=self._world.true_time, fates=DrawnFates(self._world.faults, self._world.loop)
            )

    async def run(self) -> None:
        """Start payments, let customers do with them what they do, and decide what is escalated."""
        world, choices = self._world, self._world.choices.of("merchants")
        payments = world.payments()
        lives = []
        for number in range(world.options.sagas):
            for tenant in world.tenants:
                lives.append(world.loop.create_task(self._live(payments, tenant, f"{STARTED}{number}")))
                await asyncio.sleep(choices.one_of((0.2, 0.0, 1.0)))
        await asyncio.gather(*lives)

    async def _live(self, payments: Router, tenant: str, payment_id: str) -> None:
        """One payment, as long as anybody does anything with it."""
        world, choices = self._world, self._world.choices.of("merchants")
        account = self.accounts[tenant]
        steps = [choices.one_of(_STEPS) for _ in range(1 + choices.below(4))]
        # The first step decides how the payment is made: what is authorized is captured by the merchant.
        account.books.open(
            Opened(id=payment_id, amount=AMOUNT_MINOR, customer="cus_started", steps=tuple(steps[:1])[: _first(steps)])
        )
        start = StartBody(payment_id=payment_id, amount_minor=AMOUNT_MINOR, currency="EUR", customer_id="cus_started")
        await submitted(payments, command_of(start, tenant, world.tenants[tenant], world.true_time(), Trace()))
        # Many a customer pays when the deadline has passed.
        await asyncio.sleep(choices.one_of((0.0, 4.0, 7.0)))
        for step in steps[_first(steps) :]:
            await asyncio.sleep(choices.one_of((0.5, 0.0, 2.0, 4.0)))
            try:
                account.books.step(payment_id, step)
                world.note("at_the_provider", f"{tenant} {payment_id} {step}")
            except RefusedError as refused:
                world.note("refused", refused.message)
        if choices.below(2):
            await self._resolve(payments, tenant, payment_id)

    async def _resolve(self, payments: Router, tenant: str, payment_id: str) -> None:
        """Decide about an escalation, if one comes soon."""
        world, choices = self._world, self._world.choices.of("merchants")
        for _ in range(4):
            await asyncio.sleep(choices.one_of((2.0, 1.0, 4.0)))
            effects = world.effects()
            escalated = [] if effects is None else effects.outbox.escalations(tenant, limit=100)
            for each in escalated:
                if each.payment_id == payment_id:
                    resolution = choices.one_of(get_args(Resolution))
                    body = ResolveBody(payment_id=payment_id, number=each.number, resolution=resolution)
                    world.note("resolved", f"{tenant} {payment_id} {each.reason}: {resolution}")
                    await submitted(
                        payments, command_of(body, tenant, world.tenants[tenant], world.true_time(), Trace())
                    )
                    return

    def payments(self, tenant: str) -> list[str]:
        """The payments of a tenant's merchant so far."""
        return sorted(self.accounts[tenant].books.lives) if self.accounts else []

    async def deliver(self) -> None:
        """Send the accounts' webhooks as they become due, for ever."""
        while self.accounts:
            await asyncio.sleep(TICK_S)
            for tenant, account in self.accounts.items():
                account.clock.catch_up()
                while account.webhooks.due:
                    self._sending += 1
                    self._world.loop.create_task(self._send(tenant, account, account.webhooks.due.popleft()))

    async def _send(self, tenant: str, account: Provider, webhook: Webhook) -> None:
        await self._world.provider.send(tenant, webhook.body)
        account.webhooks.record(webhook, httpx.codes.ACCEPTED)
        self._sending -= 1

    def is_at_rest(self) -> bool:
        """Whether nothing is planned at the provider, and all its webhooks are sent."""
        return not self._sending and all(
            account.clock.next_s() is None and not account.webhooks.due for account in self.accounts.values()
        )

    async def answer(self, request: httpx.Request) -> Reply:
        """What a provider or an endpoint answers."""
        host = request.url.host
        body = await request.aread()
        if host.endswith(_MERCHANT_HOST):
            return self._take(host.removesuffix(_MERCHANT_HOST), request.headers["webhook-id"], body)
        call = Call(
            method=request.method,
            path=request.url.path,
            query=request.url.query.decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        return await self.accounts[host.removesuffix(_PROVIDER_HOST)].answer(call)

    def _take(self, tenant: str, notification_id: str, body: bytes) -> Reply:
        """A merchant's endpoint, to which the same id is the same notification (standard-webhooks.md, "webhook-id")."""
        faults, heard = self._world.faults, self.notified[tenant]
        if faults.happens("endpoint_fails", "before", times=3):
            return Reply(status=httpx.codes.SERVICE_UNAVAILABLE, body=b"")
        if heard.setdefault(notification_id, body) != body:
            self._world.checks.violated("effects", f"{tenant}: {notification_id} is two notifications")
        return Reply(status=httpx.codes.NO_CONTENT, body=b"", hangs=faults.happens("endpoint_fails", "after", times=20))


def _first(steps: list[str]) -> int:
    """How many of the steps have happened before the merchant starts the payment."""
    return int(bool(steps) and steps[0] == "authorize")
