"""Many sagas against a simulated provider that fails in every documented way: its own books are the oracle."""

import random
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from domain.codec import Submission
from domain.ids import stream_id
from domain.message import Failed, Trace
from domain.payment import PaymentView, fold
from domain.payment_policy import Policy, unreturned
from domain.payment_saga import Payment, PaymentDecider, PaymentEvent, StartPayment
from domain.settings import EffectSettings
from gateway.effects.stripe_client import StripeAccount, StripePort
from gateway.sources import stripe
from gateway.sources.port import Reading, submissions
from simulations.provider import Provider
from simulations.provider_books import RefusedError
from simulations.provider_http import InProcess
from simulations.provider_scenario import CallShares, EventShares, Opened, RefundFates, Scenario
from tests.domain.examples import START
from tests.effect_worlds import World

TENTH = CallShares(
    timeout_before=0.015,
    timeout_after=0.015,
    error_before=0.015,
    error_after=0.015,
    unavailable=0.015,
    rate_limited=0.015,
    locked=0.01,
)
# A lie whose truth is lost is believed by anybody who does not ask: the two are not in one run.
LOSING = EventShares(late=0.1, duplicate=0.1, reordered=0.1, lost=0.3)
LYING = EventShares(late=0.1, duplicate=0.1, reordered=0.1, contradictory=0.1)
STEPS = ("succeed", "authorize", "decline", "capture", "expire", "abandon", "dispute", "challenge")
POLICIES = [
    Policy(on_timeout=on_timeout, on_late_success=late, wait_s=600, waits_max=2)
    for on_timeout in ("wait", "cancel", "void", "refund", "refund", "refund")
    for late in ("refund", "keep", "escalate")
]
TURN_S = 60
DEADLINE_S = 1_800


class Sagas:
    """Payments at the provider, their sagas in a world of their own, and what goes wrong between the two."""

    def __init__(self, directory: Path, seed: int, count: int, disorder: EventShares) -> None:
        self.world = World(directory)
        self.rng = random.Random(seed)
        self.ids = [f"pi_{number}" for number in range(count)]
        self.provider = Provider(
            Scenario(
                seed=seed,
                start=START,
                is_frozen=True,
                webhook_url="http://gateway.example",
                calls=TENTH,
                events=disorder,
                refunds=RefundFates(pending=0.3, fails_later=0.1),
                payments=tuple(Opened(id=each, amount=4900, customer="cus_1") for each in self.ids),
            )
        )
        account = StripeAccount(api_key=self.provider.scenario.api_key, base_url="http://provider.example")
        self.client = httpx.AsyncClient(transport=InProcess(self.provider))
        self.gateway = httpx.AsyncClient(transport=httpx.MockTransport(self._take_in))
        port = StripePort(self.client, {("acme", "stripe"): account}, clock=self.provider.clock)
        self.runner = self.world.runner(
            {"pull": port, "cancel": port, "void": port, "refund": port},
            jitter=self.rng.random,
            settings=EffectSettings(tenant_at_once_max=64, breaker_failures=50),
        )
        for payment_id in self.ids:
            start = StartPayment(
                payment_id=payment_id,
                amount_minor=4900,
                currency="EUR",
                deadline_at=START + timedelta(seconds=DEADLINE_S),
                provider="stripe",
                policy=self.rng.choice(POLICIES),
            )
            self.world.tell(payment_id, start)

    def _take_in(self, request: httpx.Request) -> httpx.Response:
        """The webhook as the intake reads it."""
        reading = stripe.read(request.content, headers={}, ref="INGEST/1")
        assert isinstance(reading, Reading), reading
        batch: list[Submission] = submissions("acme", reading, source="stripe", trace=Trace())
        replies = self.world.shard.handle(batch)
        assert not any(isinstance(reply, Failed) for reply in replies), replies
        return httpx.Response(202)

    async def live(self, turns: int, *, happening: float) -> None:
        """So many minutes, in which customers pay, decline, dispute; or, at the end, do nothing any more."""
        for _ in range(turns):
            self.world.seconds += TURN_S
            self.provider.advance(timedelta(seconds=TURN_S))
            for payment_id in self.ids:
                if self.rng.random() < happening:
                    self._happen(payment_id)
            await self.provider.webhooks.send_due(self.gateway)
            await self.world.perform(self.runner)

    def _happen(self, payment_id: str) -> None:
        try:
            self.provider.books.step(payment_id, self.rng.choice(STEPS))
        except RefusedError:
            return  # It cannot follow: a canceled payment is not paid.

    def state(self, payment_id: str) -> Payment:
        decider = PaymentDecider()
        state = decider.initial()
        for entry in self.world.feed.stream(stream_id("payment", "acme", payment_id)):
            event = entry.envelope().event
            assert isinstance(event, PaymentEvent)
            state = decider.evolve(state, event)
        return state

    async def close(self) -> None:
        await self.client.aclose()
        await self.gateway.aclose()


@pytest.mark.long
@pytest.mark.parametrize("disorder", [LOSING, LYING], ids=["losing", "lying"])
async def test_sagas_end_with_no_money_made_or_lost_and_none_is_stuck(tmp_path: Path, disorder: EventShares) -> None:
    sagas = Sagas(tmp_path, 7, count=80, disorder=disorder)
    await sagas.live(30, happening=0.01)
    await sagas.live(30, happening=0.1)
    await sagas.live(120, happening=0.0)
    truth = sagas.provider.truth()
    made = sagas.provider.traffic().calls
    ends: dict[str, int] = {}
    for payment_id in sagas.ids:
        state = sagas.state(payment_id)
        progress = state.progress
        end = progress.escalation or progress.settled
        ends[end] = ends.get(end, 0) + 1
        assert end, f"{payment_id} is stuck: {progress}"
        assert not state.outstanding
        facts = list(state.facts.values())
        view: PaymentView = fold(payment_id, facts)
        books = truth.payments[payment_id]
        if progress.escalation:
            continue
        # What happens after a saga is settled and is told by nobody, nobody knows.
        if disorder.lost == 0:
            assert (view.status, view.captured_minor) == (books.status, books.captured_minor), payment_id
        if progress.settled == "compensated":
            assert books.status == "canceled" or not unreturned(view), payment_id
        if progress.settled == "confirmed":
            assert books.status == "captured", payment_id
    await sagas.close()

    assert truth.violations == []
    assert sum((call.method, call.path) == ("POST", "/v1/refunds") for call in made) >= 3
    assert {"confirmed", "compensated"} <= ends.keys()
    assert sum(call.fault is not None for call in made) / len(made) > 0.05
