"""`recount bench ask`: questions over HTTP, cached and not, beside a bare handler of the same framework."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from actors.log import place_of
from projections.feeds import feed_at
from simulations.ask_traffic import SEED, never_twice, questions_about, zipf
from simulations.bench_ask_changing import (
    CONNECTIONS,
    WEBHOOKS_PER_SECOND,
    Changing,
    ask_while_it_changes,
    held_against,
)
from simulations.bench_ask_curve import LoadPoint, ask_steadily, curves, draw
from simulations.bench_stack import API_KEY, SECRET, TENANT, stack
from simulations.client import GatewayClient
from simulations.demo import POLICY_ID, POLICY_TEXT, POLICY_TITLE
from simulations.disorder import Delivery, deliveries
from simulations.http_load import LoadResult, run_load
from simulations.steady_load import Times
from simulations.stripe_traffic import Traffic, generate

PAYMENTS = 500
STEADY_PER_SECOND = 200
TARGET_PER_SECOND = 2_000
TARGET_P95_MS = 50
TARGET_STEADY_P95_MS = 100


class AskReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of each part.

    Args:
        precision: of the embedding model (`index.precision`).
        distinct_questions: how many there are of those that are repeated.
        connections: on which was asked, each time after the answer.
        cached: repeated questions, all asked once before.
        changing: the same while webhooks arrive about what is asked.
        uncached: questions that nobody asked before.
        uncached_steady: 200 of them in a second, each due at its time.
        bare_handler: the same server with a handler that does nothing.
        cached_curve: latency against load, if a plot is wanted.
        uncached_curve: the same of new questions.
    """

    precision: str
    distinct_questions: int
    connections: int
    cached: LoadResult
    changing: Changing
    uncached: LoadResult
    uncached_steady: Times
    bare_handler: LoadResult
    cached_to_bare: float
    uncached_to_bare: float
    cached_curve: list[LoadPoint]
    uncached_curve: list[LoadPoint]
    missed: list[str]
    meets_target: bool


async def bench_ask(seconds: float, precision: str, plot: Path | None, say: Callable[[str], None]) -> AskReport:
    """Zipf-repeated questions about `PAYMENTS` payments; then every question another; then the peer."""
    traffic = generate(seed=SEED, payments=PAYMENTS, start=datetime.now(UTC) - timedelta(weeks=16))
    arrivals = deliveries(traffic, seed=SEED)
    coming = min(round(seconds * WEBHOOKS_PER_SECOND), len(arrivals) // 2)
    before, during = arrivals[:-coming], arrivals[-coming:]
    payments = _changing_first(traffic, during)
    questions = questions_about(payments)
    async with (
        stack(more=f'[index]\nprecision = "{precision}"\n') as running,
        GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as client,
    ):
        say(f"feeding {len(payments)} payments")
        await client.put_document(POLICY_ID, POLICY_TITLE, POLICY_TEXT)
        await client.deliver(before)
        await client.drained()
        say(f"asking {len(questions)} questions once")
        for question in questions:
            await client.ask(question)
        at = running.address

        async def load(requests: Callable[[], bytes]) -> LoadResult:
            return await run_load(at.host, at.port, requests, connections=CONNECTIONS, seconds=seconds)

        say(f"cached, {seconds:g} s on {CONNECTIONS} connections")
        cached = await load(zipf(at.netloc, questions))
        say(f"cached while {WEBHOOKS_PER_SECOND} webhooks/s arrive, {seconds:g} s")
        answers = await ask_while_it_changes(client, at, questions, during, seconds)
        await client.drained()
        say("holding each answer against the log")
        feed = feed_at(place_of("sqlite", running.data))
        changing = await asyncio.to_thread(held_against, feed, TENANT, answers)
        say(f"uncached, {seconds:g} s")
        uncached = await load(never_twice(at.netloc, payments))
        say(f"uncached, {STEADY_PER_SECOND}/s, {seconds:g} s")
        requests = never_twice(at.netloc, payments, " once more")
        steady = await ask_steadily(at, requests, per_second=STEADY_PER_SECOND, seconds=seconds)
        points = await curves(at, questions, payments, seconds / 2, say) if plot else ([], [])
    if plot:
        draw(*points, f"recount bench ask, {precision}", plot)
    say(f"a bare handler, {seconds:g} s")
    bare = await _bare(questions, seconds)
    steady_times = [steady, *(point.times for each in points for point in each)]
    failed = cached.errors + changing.answers.errors + uncached.errors + sum(each.failed for each in steady_times)
    missed = _missed(cached, changing, steady, failed)
    return AskReport(
        precision=precision,
        distinct_questions=len(questions),
        connections=CONNECTIONS,
        cached=cached,
        changing=changing,
        uncached=uncached,
        uncached_steady=steady,
        bare_handler=bare,
        cached_to_bare=round(cached.per_second / bare.per_second, 2),
        uncached_to_bare=round(uncached.per_second / bare.per_second, 2),
        cached_curve=points[0],
        uncached_curve=points[1],
        missed=missed,
        meets_target=not missed,
    )


def _changing_first(traffic: Traffic, during: Sequence[Delivery]) -> list[str]:
    """The payments, and those first, which are asked about the most, of which something is heard during the run."""
    coming = dict.fromkeys(delivery.event.payment_id for delivery in during)
    known = [payment_id for payment_id in traffic.truth if payment_id.startswith("pi_")]
    return [each for each in known if each in coming] + [each for each in known if each not in coming]


def _missed(cached: LoadResult, changing: Changing, steady: Times, failed: int) -> list[str]:
    reasons = (
        (cached.per_second < TARGET_PER_SECOND, f"{cached.per_second:.0f} cached questions/s"),
        (cached.p95_ms >= TARGET_P95_MS, f"{cached.p95_ms:g} ms at p95 when cached"),
        (
            steady.p95_ms >= TARGET_STEADY_P95_MS,
            f"{steady.p95_ms:g} ms at p95 of {STEADY_PER_SECOND} new questions a second",
        ),
        (failed > 0, f"{failed} questions were not answered"),
        (changing.stale_count > 0, f"{changing.stale_count} answers were not true at their position"),
    )
    return [reason for is_missed, reason in reasons if is_missed]


BARE = """
import sys
import uvicorn
from litestar import Litestar, post
import msgspec
class Question(msgspec.Struct):
    question: str
@post("/v1/{tenant:str}/ask", status_code=200)
async def ask(tenant: str, data: Question) -> dict[str, str]:
    return {"answer": data.question}
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
app = Litestar([ask], openapi_config=None, logging_config=None)
Server(uvicorn.Config(app, port=0, log_config=None, access_log=False)).run()
"""


async def _bare(questions: Sequence[str], seconds: float) -> LoadResult:
    """The peer: the same framework and server with a handler that does nothing."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BARE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        requests = zipf(f"127.0.0.1:{port}", questions)
        return await run_load("127.0.0.1", port, requests, connections=CONNECTIONS, seconds=seconds)
    finally:
        process.terminate()
        await process.wait()
