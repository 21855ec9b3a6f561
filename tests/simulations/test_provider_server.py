"""The simulated provider over real HTTP: calls, webhooks, and calls that are never answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from domain.effects import Done, Failed
from domain.errors import TerminalError
from gateway.effects.http import KEPT_MAX, make_client
from gateway.effects.stripe_client import StripeAccount, StripePort
from simulations.provider import Provider
from simulations.provider_scenario import CallFault, EventShares, Opened, Scenario
from simulations.provider_server import running
from tests.gateway.effects.provider_examples import KEY, effect, failing

pytestmark = pytest.mark.stack

PAID = Opened(id="pi_1", amount=4_900, steps=("succeed",))
REFUND = effect("refund", amount_minor=1_900, currency="EUR")


@asynccontextmanager
async def performing(timeout_s: float = 10.0, **scenario: Any) -> AsyncIterator[tuple[Provider, StripePort, str]]:
    simulated = Provider(Scenario(payments=(PAID,), **scenario))
    async with running(simulated) as url, make_client() as client:
        account = StripeAccount(api_key=simulated.scenario.api_key, base_url=url)
        yield simulated, StripePort(client, {("acme", "stripe"): account}, timeout_s=timeout_s), url


@pytest.mark.parametrize(("fault", "reason"), [("timeout_after", "http.timeout"), ("cut_after", "http.unreachable")])
async def test_a_refund_that_is_never_confirmed_is_found_at_the_next_attempt(fault: CallFault, reason: str) -> None:
    failing_once = failing("POST /v1/refunds", fault)
    async with performing(timeout_s=1.5, call_faults=(failing_once,)) as (simulated, port, _):
        first, second = await port.perform(REFUND), await port.perform(REFUND)

    assert first == Failed(retryable=True, reason=reason)
    assert isinstance(second, Done)
    assert simulated.books.truth()["pi_1"].refunded_minor == 1_900
    assert simulated.books.violations() == []


async def test_calls_that_were_never_answered_take_no_room_from_the_next() -> None:
    """A pool with an end would keep for good what it had given to those who waited for it and went."""
    never = failing("GET /v1/disputes", "timeout_before", times=10_000)
    async with performing(timeout_s=1.5, call_faults=(never,)) as (_, port, _):
        waited = await asyncio.gather(*(port.perform(effect("pull")) for _ in range(3 * KEPT_MAX)))
        after = await port.perform(REFUND)

    assert {each.reason for each in waited if isinstance(each, Failed)} == {"http.timeout"}
    assert isinstance(after, Done)


async def test_one_effect_performed_many_times_at_once_is_done_once() -> None:
    async with performing(latency_s=0.05) as (simulated, port, _):
        outcomes = await asyncio.gather(*(port.perform(REFUND) for _ in range(8)))
        again = await port.perform(REFUND)

    assert isinstance(again, Done)
    assert {type(each) for each in outcomes} == {Done, Failed}
    assert {each.reason for each in outcomes if isinstance(each, Failed)} == {"stripe.idempotency_key_in_use"}
    assert simulated.books.truth()["pi_1"].refunds.keys() == {again.facts[0].object_id}
    assert simulated.books.refund_keys == {again.facts[0].object_id: KEY}


async def test_webhooks_arrive_over_http_also_after_the_clock_is_advanced() -> None:
    arrived: asyncio.Queue[str] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n", 1)[0]))
        await arrived.put("signed" if "stripe-signature: t=" in head else head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as merchant:
        port = merchant.sockets[0].getsockname()[1]
        late = EventShares(late=1.0, late_s=(3_600.0, 3_600.0))
        async with (
            performing(events=late, webhook_url=f"http://127.0.0.1:{port}/") as (simulated, _, url),
            httpx.AsyncClient(base_url=url) as control,
        ):
            before = (await control.get("/_control/traffic")).json()
            await control.post("/_control/clock", json={"advance_s": 3_600})
            signed = [await asyncio.wait_for(arrived.get(), 10) for _ in simulated.books.events]

    assert before["webhooks"] == []
    assert signed == ["signed"] * 3


async def test_it_is_controlled_over_http() -> None:
    async with performing() as (_, port, url), httpx.AsyncClient(base_url=f"{url}/_control") as control:
        opened = await control.post("/payments", json={"id": "pi_2", "amount": 700})
        stepped = await control.post("/payments/pi_2/steps", json={"steps": ["authorize", "capture:500"]})
        too_far = await control.post("/payments/pi_2/steps", json={"steps": ["authorize"]})
        await control.post("/faults", json={"calls": [{"call": "GET /v1/disputes", "fault": "rate_limited"}]})
        limited = await port.perform(effect("pull", payment_id="pi_2"))
        read = await port.perform(effect("pull", payment_id="pi_2"))
        books = (await control.get("/books")).json()
        nonsense = await control.post("/clock", json={"advance": 1})

    assert (opened.json()["status"], stepped.json()["captured_minor"]) == ("pending", 500)
    assert (too_far.status_code, nonsense.status_code) == (400, 400)
    assert limited == Failed(retryable=True, reason="http.429", retry_after_s=1.0)
    assert isinstance(read, Done)
    assert books["payments"]["pi_2"]["captured_minor"] == 500
    assert books["violations"] == []


async def test_an_address_that_cannot_be_had_is_told_in_one_sentence() -> None:
    with pytest.raises(TerminalError, match="--http"):
        async with running(Provider(Scenario()), "127.0.0.1"):
            pass
