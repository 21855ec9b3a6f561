"""`recount bench promotion`: a generation is built and promoted under a steady rate of questions."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from domain.errors import TerminalError
from simulations.ask_traffic import ask_request
from simulations.bench_stack import API_KEY, SECRET, TENANT, stack
from simulations.client import GatewayClient
from simulations.disorder import deliveries
from simulations.steady_load import Answered, SteadyLoad, Times, times_of
from simulations.stripe_traffic import generate

SEED = 11
PAYMENTS = 500
# Around the moment in which the first answer of the new generation came.
SWITCH_S = 1.0
# From then until the gateway has heard of it, an answer of the old one may come out of the cache.
HEARD_WITHIN_S = 0.5
SLOWER_MAX = 2.0
# A node that cannot keep up with the rate before anything is built says nothing about a switch.
BEFORE_P99_MAX_MS = 1_000
LOOK_EVERY_S = 0.1
_TOPICS = ("refund", "chargeback", "payout", "invoice", "card", "transfer", "fee", "dispute")


class PromotionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Before, while the generation was built and checked, and around the switch.

    `mixed` counts answers of the old generation that were asked for after the first of the new one had come; `strange`
    those that are of no generation that was there, or speak of another payment than they were asked about.
    """

    documents: int
    per_second: float
    before: Times
    building: Times
    switch: Times
    after: Times
    build_s: float
    mixed: int
    strange: int
    switch_to_before: float
    meets_target: bool


async def bench_promotion(
    documents: int, per_second: float, seconds: float, say: Callable[[str], None]
) -> PromotionReport:
    """A steady rate of questions that no cache knows; after some seconds a build, and some seconds after its switch."""
    traffic = generate(seed=SEED, payments=PAYMENTS, start=datetime.now(UTC) - timedelta(weeks=16))
    payments = [payment_id for payment_id in traffic.truth if payment_id.startswith("pi_")]
    async with (
        stack() as running,
        GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as client,
    ):
        say(f"feeding {len(payments)} payments and {documents} documents")
        await client.deliver(deliveries(traffic, seed=SEED))
        await _publish(client, documents)
        await client.drained()
        at = running.address
        load = SteadyLoad(at.host, at.port, _questions(at.netloc, payments), per_second=per_second)
        asking = asyncio.create_task(load.run())
        say(f"{per_second:g} questions/s for {seconds:g} s, then a build")
        await asyncio.sleep(seconds)
        started_s = time.perf_counter()
        built_s = await _build(client)
        await asyncio.sleep(seconds)
        load.stop()
        await asking
    return _report(load.answered, documents, per_second, started_s, built_s)


async def _publish(client: GatewayClient, documents: int) -> None:
    rng = random.Random(SEED)
    at_once = asyncio.Semaphore(16)

    async def publish(number: int) -> None:
        topics = rng.sample(_TOPICS, 3)
        rule = f"Rule {number}: a {topics[0]} is settled within {number % 27 + 2} days unless a {topics[1]} is open."
        text = f"{rule} Whoever asks about the {topics[2]} of case {number} is told its state and the date."
        async with at_once:
            await client.put_document(f"rule-{number}", f"Rule {number} about {topics[0]}", text)

    await asyncio.gather(*(publish(number) for number in range(documents)))


def _questions(host: str, payments: Sequence[str]) -> Callable[[], bytes]:
    """Questions that differ in their words, each about one payment."""
    rng = random.Random(SEED)
    asked = 0

    def next_request() -> bytes:
        nonlocal asked
        asked += 1
        question = f"Where is my refund for {rng.choice(payments)}? This is my question number {asked}."
        return ask_request(host, question)

    return next_request


async def _build(client: GatewayClient) -> float:
    """Begin a build and wait until it is active; returns when that was seen."""
    begun: dict[str, Any] = await client.post(f"/v1/{TENANT}/generations", {"reason": "bench"})
    wanted = begun["generations"][0]["generation"]
    while True:
        found = await client.get(f"/v1/{TENANT}/generations")
        if found["active"] == wanted:
            return time.perf_counter()
        if found["generations"][0]["stage"] == "abandoned":
            raise TerminalError(f"the build was given up: {found['generations'][0]['abandoned_for']}")
        await asyncio.sleep(LOOK_EVERY_S)


def _report(
    answered: Sequence[Answered], documents: int, per_second: float, started_s: float, built_s: float
) -> PromotionReport:
    bodies = [(each, msgspec.json.decode(each.body)) for each in answered if each.status == 200]
    old = min(body["generation"] for _, body in bodies)
    came_s = min(each.due_s + each.took_s for each, body in bodies if body["generation"] == old + 1)
    mixed = sum(body["generation"] == old and each.due_s > came_s + HEARD_WITHIN_S for each, body in bodies)
    strange = sum(body["generation"] not in (old, old + 1) or len(body["payments"]) > 1 for _, body in bodies)
    before = times_of([each for each in answered if each.due_s < started_s])
    switch = times_of([each for each in answered if abs(each.due_s - came_s) < SWITCH_S])
    whole = times_of(answered)
    ratio = round(switch.p99_ms / before.p99_ms, 2)
    return PromotionReport(
        documents=documents,
        per_second=per_second,
        before=before,
        building=times_of([each for each in answered if started_s <= each.due_s <= came_s - SWITCH_S]),
        switch=switch,
        after=times_of([each for each in answered if each.due_s > came_s + SWITCH_S]),
        build_s=round(built_s - started_s, 2),
        mixed=mixed,
        strange=strange,
        switch_to_before=ratio,
        meets_target=ratio <= SLOWER_MAX
        and before.p99_ms <= BEFORE_P99_MAX_MS
        and not (whole.failed or mixed or strange),
    )
