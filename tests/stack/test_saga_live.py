"""The saga on the real stack: a payment is started, times out, is canceled at a provider, and a person is asked."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from simulations.provider import Provider
from simulations.provider_scenario import Opened, Scenario
from simulations.provider_server import running
from tests.stack.stack import Json, Stack, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


class Hosted:
    """A simulated provider behind real HTTP, on a loop and thread of its own."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    async def _serve(self) -> None:
        async with running(self.provider) as url:
            self.url = url
            self._ready.set()
            await self._stopping.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture
def hosted() -> Iterator[Hosted]:
    payments = (Opened(id="pi_1", amount=4900, customer="cus_1"), Opened(id="pi_2", amount=4900, customer="cus_1"))
    with Hosted(Provider(Scenario(payments=payments))) as provider:
        yield provider


@pytest.fixture
def stack(hosted: Hosted, tmp_path: Path) -> Iterator[Stack]:
    more = f"""
[tenants.acme.sources.stripe.api]
key = "{hosted.provider.scenario.api_key}"
url = "{hosted.url}"
[tenants.acme.policy]
on_timeout = "cancel"
deadline_s = 0.5
[effects]
retry_first_s = 0.1
"""
    with Stack(tmp_path, more=more) as started:
        yield started


def start(stack: Stack, payment_id: str) -> Json:
    body = {"payment_id": payment_id, "amount_minor": 4900, "currency": "EUR"}
    response = stack.client("acme").post("/v1/acme/payments", json=body)
    assert response.status_code == 200, response.text
    taken: Json = response.json()
    return taken


def test_a_payment_that_times_out_is_canceled_and_one_that_is_not_there_goes_to_a_person(
    stack: Stack, hosted: Hosted
) -> None:
    first = start(stack, "pi_1")
    assert start(stack, "pi_1")["version"] >= first["version"]
    until(lambda: hosted.provider.truth().payments["pi_1"].status == "canceled", "the payment is canceled")
    view = until(
        lambda: stack.client("acme").get("/v1/acme/payments/pi_1").json().get("status") == "canceled", "and seen to be"
    )
    assert view

    start(stack, "pi_stranger")
    [escalation] = until(lambda: stack.get("/v1/acme/escalations")["escalations"], "a person is asked")
    assert (escalation["payment_id"], escalation["reason"]) == ("pi_stranger", "provider_unreadable")
    assert stack.client("globex").get("/v1/acme/escalations").status_code == 404
    decision = f"/v1/acme/payments/pi_stranger/escalations/{escalation['number']}/resolve"
    for _ in range(2):
        resolved = stack.client("acme").post(decision, json={"resolution": "close", "note": "a mistake"})
        assert resolved.status_code == 200, resolved.text
    until(lambda: stack.get("/v1/acme/escalations")["escalations"] == [], "nobody is asked any more")

    assert stack.client("acme").post(decision.replace("/1/", "/2/"), json={"resolution": "close"}).status_code == 404
    assert stack.get("/v1/acme/effects")["effects"] == []
    assert hosted.provider.truth().violations == []
