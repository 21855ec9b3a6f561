"""`recount bench mixed`: webhooks come in and questions go out at the same time, each at a steady rate, on one node."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from actors.index import PAYMENTS
from gateway.bus import Outgoing, Publisher, connect, ingest_subject
from projections.delays import BOUNDS_S, Delays
from simulations.ask_traffic import ask_request, zipf_drawn
from simulations.bench_stack import API_KEY, SECRET, TENANT, Running, stack
from simulations.client import GatewayClient
from simulations.disorder import deliveries
from simulations.http_load import percentile
from simulations.steady_load import Answered, SteadyLoad, Times, times_of
from simulations.stripe_traffic import Traffic, generate
from simulations.truth import differences

SEED = 23
# Of the payments that are asked about nothing new is heard during the run; of the others everything is.
ASKED_PAYMENTS, DELIVERIES_PER_PAYMENT, PAYMENTS_MIN = 500, 7.9, 20
NEW_QUESTION_SHARE = 0.01
CHECKED_PAYMENTS = 300
TICK_S, LOOK_EVERY_S = 0.005, 0.2
# The objective of answer latency (ops/slo/answer-latency.yml); the others are what a customer would not notice.
TARGET_ANSWER_P99_MS = 500
TARGET_TAKEN_P95_MS = 250
TARGET_VISIBLE_P95_S = 1.0


class MixedReport(msgspec.Struct, frozen=True, kw_only=True):
    """Both at once.

    `taken` is from when a webhook was due until it was durable in the stream, `visible_p95_s` from recorded to visible;
    `answers_p95_ms` has each second's. `wrong_count` is in how many ways the `checked` payments differ from the
    provider's books afterwards, and `wrong` has the first of them.
    """

    messages_per_second: float
    questions_per_second: float
    messages: int
    taken: Times
    answers: Times
    answers_p95_ms: list[float]
    visible_p95_s: float
    drained_s: float
    checked: int
    wrong: list[str]
    wrong_count: int
    missed: list[str]
    meets_target: bool


async def bench_mixed(per_second: float, seconds: float, say: Callable[[str], None]) -> MixedReport:
    """Webhooks of simulated traffic in disorder over NATS, and Zipf-repeated questions over HTTP, `per_second` each."""
    start = datetime.now(UTC) - timedelta(weeks=16)
    known = generate(seed=SEED, payments=ASKED_PAYMENTS, start=start)
    # All that is told of a payment comes, so that the books are what the node should say.
    payments = max(round(per_second * seconds / DELIVERIES_PER_PAYMENT), PAYMENTS_MIN)
    coming = generate(seed=SEED + 1, payments=payments, start=start)
    async with (
        stack() as running,
        GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as client,
    ):
        say(f"feeding {len(known.truth)} payments and asking about each once")
        await client.deliver(deliveries(known, seed=SEED))
        await client.drained()
        asked = [payment_id for payment_id in known.truth if payment_id.startswith("pi_")]
        for payment_id in asked:
            await client.ask(_question(payment_id))
        say(f"{per_second:g} webhooks/s in and {per_second:g} questions/s out, {seconds:g} s")
        before = await _visible(running, client)
        taken, answered = await _both(running, coming, asked, per_second=per_second)
        ended_s = time.perf_counter()
        await client.drained()
        drained_s = time.perf_counter() - ended_s
        visible = (await _visible(running, client)).since(before)
        checked = _sample(coming)
        wrong = await _wrong(client, coming, checked)
    return _report(
        taken,
        answered,
        per_second=per_second,
        visible=visible,
        drained_s=drained_s,
        checked=len(checked),
        wrong=wrong,
    )


async def _visible(running: Running, client: GatewayClient) -> Delays:
    """From recorded to visible since the node started, with all that is visible now counted."""
    now_visible = (await client.get(f"/v1/{TENANT}/freshness"))["projections"][PAYMENTS]["visible"]
    async with httpx.AsyncClient(base_url=running.http_url) as http:
        while True:
            found = _delays((await http.get("/metrics")).text)
            if found.count >= now_visible:
                return found
            await asyncio.sleep(LOOK_EVERY_S)


def _delays(metrics: str) -> Delays:
    """The delays of payments in what Prometheus reads, all hosts together."""
    cumulative: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "recount_visible_seconds_bucket" and sample.labels["projection"] == PAYMENTS:
                cumulative[sample.labels["le"]] += round(sample.value)
    within = [cumulative[bound] for bound in [*map(str, BOUNDS_S), "+Inf"]]
    return Delays(tenant="", projection=PAYMENTS, counts=tuple(b - a for a, b in pairwise([0, *within])))


async def _both(
    running: Running, coming: Traffic, asked: Sequence[str], *, per_second: float
) -> tuple[list[Answered], list[Answered]]:
    """When each webhook was durable, and what was answered."""
    at = running.address
    load = SteadyLoad(at.host, at.port, _requests(at.netloc, asked), per_second=per_second)
    bodies = [each.event.body for each in deliveries(coming, seed=SEED)]
    asking = asyncio.create_task(load.run())
    try:
        taken = await _publish(running.nats_url, bodies, per_second)
    finally:
        load.stop()
        await asking
    return taken, load.answered


async def _publish(nats_url: str, bodies: Sequence[bytes], per_second: float) -> list[Answered]:
    """Publish at the rate; a message that the server does not take ends the run, because nothing may be lost."""
    client = await connect(nats_url, name="bench")
    publisher = Publisher(client)
    subject = ingest_subject(TENANT, "stripe")
    taken: list[Answered] = []

    async def publish(body: bytes, due_s: float) -> None:
        await publisher.publish(Outgoing(subject, body, {}))
        taken.append(Answered(due_s=due_s, took_s=time.perf_counter() - due_s, status=202, body=b""))

    try:
        first_s = time.perf_counter()
        async with asyncio.TaskGroup() as publishing:
            for number, body in enumerate(bodies):
                due_s = first_s + number / per_second
                if (ahead_s := due_s - time.perf_counter()) > TICK_S:
                    await asyncio.sleep(ahead_s)
                # A timer has no finer grain than a tick: what goes out before it is due is due then.
                publishing.create_task(publish(body, min(due_s, time.perf_counter())))
    finally:
        await client.close()
    return taken


def _question(payment_id: str) -> str:
    return f"Where is my refund for {payment_id}?"


def _requests(host: str, payments: Sequence[str]) -> Callable[[], bytes]:
    """Questions by Zipf's law, and now and then one that nobody asked before."""
    rng = random.Random(SEED)
    drawn = zipf_drawn(rng, payments)
    asked = 0

    def next_request() -> bytes:
        nonlocal asked
        asked += 1
        question = _question(drawn())
        if rng.random() < NEW_QUESTION_SHARE:
            question += f" This is my question number {asked}."
        return ask_request(host, question)

    return next_request


def _sample(traffic: Traffic) -> list[str]:
    return random.Random(SEED).sample(sorted(traffic.truth), min(CHECKED_PAYMENTS, len(traffic.truth)))


async def _wrong(client: GatewayClient, traffic: Traffic, payments: Sequence[str]) -> list[str]:
    """Where payments differ from the provider's books."""
    found: list[str] = []
    for payment_id in payments:
        view = await client.payment(payment_id)
        found += differences(traffic.truth[payment_id], view) if view else [f"{payment_id}: is not known"]
    return found


def _report(
    taken: Sequence[Answered],
    answered: Sequence[Answered],
    *,
    per_second: float,
    visible: Delays,
    drained_s: float,
    checked: int,
    wrong: list[str],
) -> MixedReport:
    messages, answers = times_of(taken), times_of(answered)
    visible_p95_s = visible.quantile_s(0.95)
    rate_in, rate_out = len(taken) / _lasted_s(taken), (len(answered) - answers.failed) / _lasted_s(answered)
    missed = [
        sentence
        for is_missed, sentence in (
            (rate_in < 0.95 * per_second, f"{rate_in:.0f} webhooks/s were taken of {per_second:g}"),
            (rate_out < 0.95 * per_second, f"{rate_out:.0f} questions/s were answered of {per_second:g}"),
            (answers.failed > 0, f"{answers.failed} questions were not answered"),
            (answers.p99_ms >= TARGET_ANSWER_P99_MS, f"an answer took {answers.p99_ms:g} ms at p99"),
            (messages.p95_ms >= TARGET_TAKEN_P95_MS, f"a webhook was durable after {messages.p95_ms:g} ms at p95"),
            (visible_p95_s is None, "no fact became visible"),
            ((visible_p95_s or 0.0) >= TARGET_VISIBLE_P95_S, f"a fact was visible after {visible_p95_s} s at p95"),
            (bool(wrong), f"{len(wrong)} differences from the provider's books, the first: {(wrong or [''])[0]}"),
        )
        if is_missed
    ]
    return MixedReport(
        messages_per_second=round(rate_in, 1),
        questions_per_second=round(rate_out, 1),
        messages=len(taken),
        taken=messages,
        answers=answers,
        answers_p95_ms=_each_second(answered),
        visible_p95_s=round(visible_p95_s or 0.0, 3),
        drained_s=round(drained_s, 2),
        checked=checked,
        wrong=wrong[:20],
        wrong_count=len(wrong),
        missed=missed,
        meets_target=not missed,
    )


def _lasted_s(requests: Sequence[Answered]) -> float:
    """From when the first was due until the last was done."""
    return max(each.due_s + each.took_s for each in requests) - min(each.due_s for each in requests)


def _each_second(answered: Sequence[Answered]) -> list[float]:
    first_s = min(each.due_s for each in answered)
    seconds: dict[int, list[float]] = {}
    for each in answered:
        seconds.setdefault(int(each.due_s - first_s), []).append(each.took_s)
    return [round(percentile(sorted(seconds.get(number, [])), 0.95) * 1000, 1) for number in range(max(seconds) + 1)]
