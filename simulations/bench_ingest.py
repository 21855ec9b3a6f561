"""`recount bench ingest`: from JetStream to visible in the payments view, beside plain fetching and acknowledging.

Three parts in one run: the peer (the client library's fetch of 500 and an acknowledgement each), a backlog taken in as
fast as it goes, and a steady stream with the time from recorded to visible; and a backlog of chats if that is wished.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig

from actors.changes import AwaitChanges, Changes
from actors.index import PAYMENTS
from domain.errors import TerminalError
from domain.payment_saga import FactRecorded
from domain.settings import HttpSettings, NatsSettings, NodeSettings, RaySettings, TelemetrySettings
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.bus import CONSUMER, STREAM, Outgoing, ingest_subject
from gateway.node import Node
from gateway.serve import running
from projections.feed import Feed
from projections.retrieval import GetPayment
from simulations.bench_stack import API_KEY, SECRET, TENANT
from simulations.http_load import percentile
from simulations.stripe_traffic import generate

SEED = 11
EVENTS_PER_PAYMENT = 6
PEER_FETCH = 500
TARGET_PER_SECOND = 3_000
TARGET_SHARE_OF_PEER = 1 / 3
STEADY_PER_SECOND = 500
TARGET_VISIBLE_P95_MS = 250
TICK_S = 0.02
PAUSED_FOR = timedelta(minutes=30)
PROJECTED_TIMEOUT_S = 120
CHAT_CUSTOMERS = 100
CHAT_TEXT = "Call Anna Schmidt at +49 151 2345678 or write to anna@example.com about order 12. " * 24


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """Webhooks per second, and milliseconds from recorded to visible at a steady rate.

    `chats_per_second` is of chat messages, whose texts are searched for personal data; 0 if there were none.
    """

    webhooks: int
    seconds: float
    per_second: float
    fetch_and_ack_per_second: float
    share_of_fetch_and_ack: float
    steady_per_second: float
    visible_p50_ms: float
    visible_p95_ms: float
    visible_p99_ms: float
    chats_per_second: float
    meets_target: bool


def node_settings(data: str, intakes: int) -> NodeSettings:
    """One tenant on free ports."""
    return NodeSettings(
        data=data,
        http=HttpSettings(listen="127.0.0.1:0"),
        nats=NatsSettings(port=0),
        ray=RaySettings(intakes=intakes),
        telemetry=TelemetrySettings(log_level="error"),
        tenants={TENANT: TenantSettings(api_keys=(API_KEY,), sources={"stripe": SourceSettings(secrets=(SECRET,))})},
    )


async def bench_ingest(
    data: str, webhooks: int, steady_s: float, say: Callable[[str], None], *, intakes: int = 1, chats: int = 0
) -> IngestReport:
    """Run all parts on a stack of its own in `data`."""
    bodies = bodies_of(webhooks + round(steady_s * STEADY_PER_SECOND), SEED)
    backlog, steady = bodies[:webhooks], bodies[webhooks:]
    async with running(node_settings(data, intakes), on_progress=lambda words: say(f"starting {words}")) as (node, _):
        await _pause(node.bus, datetime.now(UTC) + PAUSED_FOR)
        say(f"publishing {len(backlog)} webhooks")
        await _publish(node, "stripe", backlog)
        say("the peer: fetch and acknowledge, nothing else")
        peer = await _fetch_and_ack(node.bus, len(backlog))
        await _open_tenant(node)
        say("taking in the backlog")
        taken, seconds = await _take_in(node)
        say(f"steady {STEADY_PER_SECOND}/s for {steady_s:g} s")
        visible_ms, rate = await _steady(node, steady)
        chats_per_second = await _take_in_chats(node, chats, say) if chats else 0.0
    per_second = taken / seconds
    p95_ms = percentile(visible_ms, 0.95)
    return IngestReport(
        webhooks=taken,
        seconds=round(seconds, 2),
        per_second=round(per_second, 1),
        fetch_and_ack_per_second=round(peer, 1),
        share_of_fetch_and_ack=round(per_second / peer, 2),
        steady_per_second=round(rate, 1),
        visible_p50_ms=round(percentile(visible_ms, 0.50), 1),
        visible_p95_ms=round(p95_ms, 1),
        visible_p99_ms=round(percentile(visible_ms, 0.99), 1),
        chats_per_second=round(chats_per_second, 1),
        meets_target=per_second >= TARGET_PER_SECOND
        and per_second >= peer * TARGET_SHARE_OF_PEER
        and p95_ms < TARGET_VISIBLE_P95_MS,
    )


def bodies_of(count: int, seed: int) -> list[bytes]:
    """So many webhooks of simulated traffic, in the order in which they were sent."""
    traffic = generate(
        seed=seed, payments=max(count // EVENTS_PER_PAYMENT * 2, 100), start=datetime(2026, 1, 1, tzinfo=UTC)
    )
    if len(traffic.events) < count:
        raise TerminalError(f"the traffic has {len(traffic.events)} events and {count} are needed")
    return [event.body for event in traffic.events[:count]]


async def _publish(node: Node, source: str, bodies: Sequence[bytes]) -> None:
    subject = ingest_subject(TENANT, source)
    for start in range(0, len(bodies), 1_000):
        await asyncio.gather(
            *(node.publisher.publish(Outgoing(subject, body, {})) for body in bodies[start : start + 1_000])
        )


async def _pause(client: Client, until: datetime | None) -> None:
    """Stop the intake's consumer until then; `None` lets it go on (ADR-52, consumer pause)."""
    request = {"pause_until": until.isoformat()} if until else {}
    answer = await client.request(
        f"$JS.API.CONSUMER.PAUSE.{STREAM}.{CONSUMER}", msgspec.json.encode(request), timeout=5
    )
    reply = msgspec.json.decode(answer.data)
    if "error" in reply:
        raise TerminalError(f"the consumer cannot be paused: {reply['error']}")


async def _fetch_and_ack(client: Client, count: int) -> float:
    """Messages per second through the client library's own pull subscription."""
    context = client.jetstream()
    subscription = await context.pull_subscribe(
        "ingest.>",
        durable="peer",
        stream=STREAM,
        config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=20_000),
    )
    taken, started_s = 0, time.perf_counter()
    while taken < count:
        try:
            messages = await subscription.fetch(PEER_FETCH, timeout=5)
        except NatsTimeoutError as error:
            raise TerminalError(f"the peer saw {taken} of {count} messages") from error
        for message in messages:
            await message.ack()
        taken += len(messages)
    await client.flush()
    seconds = time.perf_counter() - started_s
    await subscription.unsubscribe()
    await context.delete_consumer(STREAM, "peer")
    return count / seconds


async def _open_tenant(node: Node) -> None:
    """Have the tenant's stores open: its first event would wait for Chroma's import, which takes over a second."""
    query = GetPayment(tenant=TENANT, payment_id="unknown")
    await node.call_index(TENANT)("query", msgspec.msgpack.encode([query]))


async def _take_in(node: Node) -> tuple[int, float]:
    """How many messages were not settled yet when the intake was first seen at work, and the seconds from then on.

    The end is when everything is acknowledged and visible.
    """
    context = node.bus.jetstream()
    [listener] = node.listeners
    await _pause(node.bus, None)
    taken, started_s = 0, time.perf_counter()
    while True:
        info = await context.consumer_info(STREAM, CONSUMER)
        if not info.num_pending and not info.num_ack_pending:
            break
        # A paused consumer lets the intake's request run out: until it asks anew, seconds pass that are the pause's.
        if not taken and info.num_ack_pending:
            taken, started_s = (info.num_pending or 0) + info.num_ack_pending, time.perf_counter()
        await asyncio.sleep(TICK_S)
    if not await listener.wait_for((PAYMENTS,), node.feed.head(), PROJECTED_TIMEOUT_S):
        raise TerminalError("the payments view did not catch up with the log")
    return taken, time.perf_counter() - started_s


async def _take_in_chats(node: Node, count: int, say: Callable[[str], None]) -> float:
    """So many messages to customers, which nobody is to answer: how many were taken in per second."""
    await _pause(node.bus, datetime.now(UTC) + PAUSED_FOR)
    say(f"publishing {count} chat messages")
    await _publish(node, "zalo", [_chat(number) for number in range(count)])
    say("taking in the chats")
    taken, seconds = await _take_in(node)
    return taken / seconds


def _chat(number: int) -> bytes:
    """What the business wrote to one of its customers, as Zalo tells it."""
    message = {
        "app_id": "360846524940903967",
        "event_name": "oa_send_text",
        "timestamp": "1772366400123",
        "sender": {"id": "388613280878808645"},
        "recipient": {"id": str(number % CHAT_CUSTOMERS)},
        "message": {"msg_id": f"o_{number}", "text": CHAT_TEXT},
    }
    return msgspec.json.encode(message)


async def _steady(node: Node, bodies: Sequence[bytes]) -> tuple[list[float], float]:
    """Milliseconds from recorded to visible for each fact, ascending; and the rate at which webhooks really came."""
    before = node.feed.head()
    seen: list[tuple[int, float]] = []
    news = asyncio.Event()
    watching = asyncio.create_task(_watch(node, seen, news))
    started_s = time.perf_counter()
    per_tick = round(STEADY_PER_SECOND * TICK_S)
    for number, start in enumerate(range(0, len(bodies), per_tick), start=1):
        await _publish(node, "stripe", bodies[start : start + per_tick])
        await asyncio.sleep(max(0.0, started_s + number * TICK_S - time.perf_counter()))
    rate = len(bodies) / (time.perf_counter() - started_s)
    await _take_in(node)
    head = node.feed.head()
    async with asyncio.timeout(PROJECTED_TIMEOUT_S):
        while not seen or seen[-1][0] < head:
            news.clear()
            await news.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    recorded = _recorded(node.feed, before)
    positions = [position for position, _ in seen]
    visible_ms = []
    for position, at in recorded:
        index = bisect_left(positions, position)
        if index == len(seen):
            raise TerminalError(f"position {position} was never announced as visible")
        visible_ms.append((seen[index][1] - at) * 1000)
    return sorted(visible_ms), rate


async def _watch(node: Node, seen: list[tuple[int, float]], news: asyncio.Event) -> None:
    """Note for every turn of the payments projector when a listener heard of it: its position and the wall clock."""
    call = node.call_index(TENANT)
    after = 0
    while True:
        wanted = AwaitChanges(after=after, timeout_s=1.0)
        heard = msgspec.msgpack.decode(await call("changes", msgspec.msgpack.encode(wanted)), type=Changes)
        at = time.time()
        seen.extend((change.position, at) for change in heard.changes if change.projection == PAYMENTS)
        after = heard.next
        news.set()


def _recorded(feed: Feed, after: int) -> list[tuple[int, float]]:
    """(position, time of recording in seconds since 1970) of every fact after a position."""
    found: list[tuple[int, float]] = []
    while entries := feed.read(after, limit=1_000).entries:
        after = entries[-1].position
        for entry in entries:
            envelope = entry.envelope()
            if isinstance(envelope.event, FactRecorded):
                found.append((entry.position, envelope.recorded_at.timestamp()))
    return found
