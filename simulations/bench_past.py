"""`recount bench past`: payments, lists and answers at past positions over HTTP, beside the present in the same run."""

import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from domain.errors import TerminalError
from projections.chunking import chunks
from simulations.bench_stack import API_KEY, SECRET, TENANT, stack
from simulations.client import GatewayClient
from simulations.disorder import Delivery, deliveries
from simulations.http_load import percentile
from simulations.stripe_events import API_VERSION
from simulations.stripe_life import ProviderEvent
from simulations.stripe_traffic import generate

SEED = 17
PAYMENTS = 300
DEEP_PAYMENTS = 10
FACTS = 50
SECTIONS = 250
REQUESTS = 200
ANSWERS = 100
DRAIN_TIMEOUT_S = 600
TARGET_PAYMENT_P95_MS = 50
TARGET_ANSWER_P95_MS = 2_000

_WORDS = "refund card bank transfer parcel invoice voucher courier warranty account order return delivery".split()


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of requests sent one after the other."""

    requests: int
    p50_ms: float
    p95_ms: float
    max_ms: float


class PastReport(msgspec.Struct, frozen=True, kw_only=True):
    """The past and the present of the same things in the same run."""

    facts_per_payment: int
    passages_current: int
    passages_in_history: int
    payment_now: Times
    payment_past: Times
    timeline: Times
    list_now: Times
    list_past: Times
    answer_now: Times
    answer_past: Times
    meets_target: bool


async def bench_past(passages: int, say: Callable[[str], None]) -> PastReport:
    """Two versions of every document, payments with `FACTS` facts among others, then one request after the other."""
    rng = random.Random(SEED)
    start = datetime.now(UTC) - timedelta(weeks=8)
    documents = max(1, passages // SECTIONS)
    async with (
        stack() as running,
        GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as client,
    ):
        texts = [_text(rng, edition) for edition in (1, 2) for _ in range(documents)]
        traffic = deliveries(generate(seed=SEED, payments=PAYMENTS, start=start), seed=SEED)
        half = len(traffic) // 2
        say(f"feeding {DEEP_PAYMENTS} payments with {FACTS} facts, then {PAYMENTS} others")
        say(f"publishing {documents} documents twice, {_count(texts)} passages in all")
        await client.deliver([_now(event) for number in range(DEEP_PAYMENTS) for event in _deep(number, start)])
        await _publish(client, texts[:documents])
        first = (await client.drained(timeout_s=DRAIN_TIMEOUT_S))["head"]
        await client.deliver(traffic[:half])
        await _publish(client, texts[documents:])
        await client.deliver(traffic[half:])
        head = (await client.drained(timeout_s=DRAIN_TIMEOUT_S))["head"]
        await _check(client)

        def past() -> int:
            return rng.randint(first, head)

        def payment() -> str:
            return f"/v1/{TENANT}/payments/pi_deep{rng.randrange(DEEP_PAYMENTS)}"

        async def ask(**options: Any) -> Any:  # noqa: ANN401 - the answer's JSON
            about = f"{rng.choice(_WORDS)} {rng.randrange(10_000)}"
            return await client.ask(f"How long does a {about} take?", **options)

        say("asking for the past and the present")
        report = PastReport(
            facts_per_payment=FACTS,
            passages_current=_count(texts[documents:]),
            passages_in_history=_count(texts),
            payment_now=await _timed(REQUESTS, lambda: client.get(payment())),
            payment_past=await _timed(
                REQUESTS, lambda: client.get(f"{payment()}?known_at={past()}&as_of={_time(start, rng)}")
            ),
            timeline=await _timed(REQUESTS, lambda: client.get(f"{payment()}/timeline")),
            list_now=await _timed(REQUESTS, lambda: client.get(f"/v1/{TENANT}/payments")),
            list_past=await _timed(REQUESTS, lambda: client.get(f"/v1/{TENANT}/payments?known_at={past()}")),
            answer_now=await _timed(ANSWERS, ask),
            answer_past=await _timed(ANSWERS, lambda: ask(known_at=past())),
            meets_target=False,
        )
    return msgspec.structs.replace(
        report,
        meets_target=report.payment_past.p95_ms < TARGET_PAYMENT_P95_MS
        and report.answer_past.p95_ms < TARGET_ANSWER_P95_MS,
    )


async def _timed(requests: int, send: Callable[[], Awaitable[Any]]) -> Times:
    took_ms = []
    for _ in range(requests):
        started_s = time.perf_counter()
        await send()
        took_ms.append((time.perf_counter() - started_s) * 1000)
    took_ms.sort()
    return Times(
        requests=requests,
        p50_ms=round(percentile(took_ms, 0.5), 1),
        p95_ms=round(percentile(took_ms, 0.95), 1),
        max_ms=round(took_ms[-1], 1),
    )


async def _publish(client: GatewayClient, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        await client.put_document(f"doc-{number}", f"Handbook {number}", text)


async def _check(client: GatewayClient) -> None:
    """Measured is only what is there."""
    for number in range(DEEP_PAYMENTS):
        payment = await client.payment(f"pi_deep{number}")
        if payment is None or payment["facts"] != FACTS:
            raise TerminalError(f"pi_deep{number} has not {FACTS} facts: {payment}")


def _time(start: datetime, rng: random.Random) -> str:
    return f"{start + timedelta(seconds=rng.randrange(FACTS - 10, FACTS)):%Y-%m-%dT%H:%M:%SZ}"


def _text(rng: random.Random, edition: int) -> str:
    """A handbook of `SECTIONS` short sections, each a passage of its own."""
    sections = []
    for number in range(SECTIONS):
        words = " ".join(rng.choices(_WORDS, k=6))
        sections.append(f"## Section {number}\n\nEdition {edition}: a {words} takes {rng.randint(2, 30)} days.")
    return "\n\n".join(sections)


def _count(texts: list[str]) -> int:
    return sum(len(chunks("doc", 1, "Handbook", text)) for text in texts)


def _now(event: ProviderEvent) -> Delivery:
    return Delivery(event=event, deliver_at=event.emitted_at, attempt=1, is_duplicate=False, is_late=False)


def _deep(number: int, start: datetime) -> list[ProviderEvent]:
    """A payment that was taken once and given back in many small refunds: `FACTS` events, a second apart."""
    intent, charge = f"pi_deep{number}", f"ch_deep{number}"
    common = {"currency": "eur", "customer": f"cus_deep{number}", "livemode": True, "metadata": {}}
    bodies: list[tuple[str, dict[str, Any]]] = [
        (
            "payment_intent.succeeded",
            {"id": intent, "object": "payment_intent", "amount": 90_000, "amount_received": 90_000,
             "amount_capturable": 0, "status": "succeeded", "latest_charge": charge, **common},
        ),
        (
            "charge.succeeded",
            {"id": charge, "object": "charge", "amount": 90_000, "amount_captured": 90_000, "amount_refunded": 0,
             "captured": True, "paid": True, "refunded": False, "status": "succeeded", "payment_intent": intent,
             **common},
        ),
    ]  # fmt: skip
    for each in range((FACTS - len(bodies)) // 2):
        refund = {"id": f"re_deep{number}_{each}", "object": "refund", "amount": 1_000 + each, "charge": charge,
                  "payment_intent": intent, "currency": "eur", "metadata": {}}  # fmt: skip
        bodies.append(("refund.created", {**refund, "status": "pending"}))
        bodies.append(("refund.updated", {**refund, "status": "succeeded"}))
    return [_event(intent, order, kind, body, start) for order, (kind, body) in enumerate(bodies)]


def _event(payment_id: str, order: int, event_type: str, body: dict[str, Any], start: datetime) -> ProviderEvent:
    emitted_at = start + timedelta(seconds=order)
    event_id, created = f"evt_{payment_id}_{order}", int(emitted_at.timestamp())
    envelope = {
        "id": event_id, "object": "event", "api_version": API_VERSION, "created": created, "livemode": True,
        "data": {"object": {"created": created, **body}}, "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None}, "type": event_type,
    }  # fmt: skip
    return ProviderEvent(
        event_id=event_id,
        event_type=event_type,
        payment_id=payment_id,
        body=msgspec.json.encode(envelope),
        emitted_at=emitted_at,
        order=order,
    )
