"""A simulated provider in the same process, on a time that stands still, and the ports that use it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from domain.effects import Done, Effect, EffectKind, Failed
from domain.fact import Fact
from gateway.effects.stripe_client import StripeAccount, StripePort
from simulations.provider import Provider
from simulations.provider_http import InProcess
from simulations.provider_scenario import CallFault, ExactCallFault, Opened, Scenario

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"


def provider(**scenario: Any) -> Provider:
    return Provider(Scenario(start=START, is_frozen=True, **scenario))


def paid(amount: int = 4_900, *steps: str, **more: Any) -> Opened:
    return Opened(id="pi_1", amount=amount, customer="cus_1", steps=steps or ("succeed",), **more)


def failing(call: str, fault: CallFault, *, nth: int = 1, times: int = 1) -> ExactCallFault:
    return ExactCallFault(call=call, fault=fault, nth=nth, times=times)


def effect(kind: EffectKind, **fields: Any) -> Effect:
    given = {"key": KEY, "tenant": "acme", "payment_id": "pi_1", "provider": "stripe", "due_at": START}
    return Effect(kind=kind, **{**given, **fields})


def client(simulated: Provider) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=InProcess(simulated), base_url="http://provider.example")


async def perform(simulated: Provider, wanted: Effect, *, api_key: str = "") -> Done | Failed:
    account = StripeAccount(api_key=api_key or simulated.scenario.api_key, base_url="http://provider.example")
    async with client(simulated) as sender:
        port = StripePort(sender, {("acme", "stripe"): account}, clock=simulated.clock)
        return await port.perform(wanted)


async def done(simulated: Provider, wanted: Effect) -> dict[str, Fact]:
    """The facts by object of an effect that succeeds."""
    outcome = await perform(simulated, wanted)
    assert isinstance(outcome, Done), outcome
    return {fact.object.partition(":")[0]: fact for fact in outcome.facts}


async def failure(simulated: Provider, wanted: Effect, **more: Any) -> Failed:
    outcome = await perform(simulated, wanted, **more)
    assert isinstance(outcome, Failed), outcome
    return outcome


def advance(simulated: Provider, **by: float) -> None:
    simulated.advance(timedelta(**by))
