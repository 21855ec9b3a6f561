"""`recount bench ask`: questions over HTTP, cached and not, beside a bare handler of the same framework."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

import msgspec

from simulations.bench_stack import API_KEY, SECRET, TENANT, stack
from simulations.client import GatewayClient
from simulations.demo import POLICY_ID, POLICY_TEXT, POLICY_TITLE
from simulations.disorder import deliveries
from simulations.http_load import LoadResult, request_bytes, run_load
from simulations.steady_load import SteadyLoad, Times, times_of
from simulations.stripe_traffic import generate

SEED = 7
PAYMENTS = 500
DISTINCT = 500
CONNECTIONS = 64
ZIPF_EXPONENT = 1.0
STEADY_PER_SECOND = 200
TARGET_PER_SECOND = 1_500
TARGET_P95_MS = 100

_TEMPLATES = (
    "Where is my refund for {payment}?",
    "What happened to payment {payment}?",
    "Has {payment} been refunded?",
    "Was payment {payment} declined, and why?",
)


class AskReport(msgspec.Struct, frozen=True, kw_only=True):
    """Cached and uncached questions, and the bare handler of the same run.

    `uncached_steady` is of `STEADY_PER_SECOND`, each due at its time, with the wait for whatever was due before.
    """

    precision: str
    distinct_questions: int
    connections: int
    cached: LoadResult
    uncached: LoadResult
    uncached_steady: Times
    bare_handler: LoadResult
    cached_to_bare: float
    uncached_to_bare: float
    meets_target: bool


async def bench_ask(seconds: float, precision: str, say: Callable[[str], None]) -> AskReport:
    """Zipf-repeated questions over `DISTINCT` ones with the cache on; then every question another; then the peer."""
    traffic = generate(seed=SEED, payments=PAYMENTS, start=datetime.now(UTC) - timedelta(weeks=16))
    payments = [payment_id for payment_id in traffic.truth if payment_id.startswith("pi_")]
    questions = [_TEMPLATES[n % len(_TEMPLATES)].format(payment=payments[n]) for n in range(DISTINCT)]
    async with stack(more=f'[index]\nprecision = "{precision}"\n') as running:
        async with GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as client:
            say(f"feeding {len(payments)} payments")
            await client.put_document(POLICY_ID, POLICY_TITLE, POLICY_TEXT)
            await client.deliver(deliveries(traffic, seed=SEED))
            await client.drained()
            say(f"asking {DISTINCT} questions once")
            for question in questions:
                await client.ask(question)
        at = urlsplit(running.http_url)
        assert at.hostname is not None, f"{running.http_url} names no host"
        assert at.port is not None, f"{running.http_url} names no port"
        say(f"cached, {seconds:g} s on {CONNECTIONS} connections")
        cached = await run_load(
            at.hostname, at.port, _zipf(_requests(at.netloc, questions)), connections=CONNECTIONS, seconds=seconds
        )
        say(f"uncached, {seconds:g} s")
        uncached = await run_load(
            at.hostname, at.port, _never_twice(at.netloc, payments), connections=CONNECTIONS, seconds=seconds
        )
        say(f"uncached, {STEADY_PER_SECOND}/s, {seconds:g} s")
        load = SteadyLoad(
            at.hostname, at.port, _never_twice(at.netloc, payments, " of today"), per_second=STEADY_PER_SECOND
        )
        asking = asyncio.create_task(load.run())
        await asyncio.sleep(seconds)
        load.stop()
        await asking
    say(f"a bare handler, {seconds:g} s")
    bare = await _bare(seconds)
    return AskReport(
        precision=precision,
        distinct_questions=DISTINCT,
        connections=CONNECTIONS,
        cached=cached,
        uncached=uncached,
        uncached_steady=times_of(load.answered),
        bare_handler=bare,
        cached_to_bare=round(cached.per_second / bare.per_second, 2),
        uncached_to_bare=round(uncached.per_second / bare.per_second, 2),
        meets_target=cached.per_second >= TARGET_PER_SECOND and cached.p95_ms < TARGET_P95_MS and not cached.errors,
    )


def _request(host: str, body: dict[str, Any]) -> bytes:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    return request_bytes("POST", host, f"/v1/{TENANT}/ask", headers, msgspec.json.encode(body))


def _requests(host: str, questions: Sequence[str]) -> list[bytes]:
    return [_request(host, {"question": question}) for question in questions]


def _zipf(requests: Sequence[bytes]) -> Callable[[], bytes]:
    rng = random.Random(SEED)
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, len(requests) + 1)))
    return lambda: rng.choices(requests, cum_weights=weights)[0]


def _never_twice(host: str, payments: Sequence[str], word: str = "") -> Callable[[], bytes]:
    """Questions that differ in their words, so that neither the answer nor the question's vector is known."""
    rng = random.Random(SEED)
    asked = 0

    def next_request() -> bytes:
        nonlocal asked
        asked += 1
        template = _TEMPLATES[asked % len(_TEMPLATES)]
        question = f"{template.format(payment=rng.choice(payments))} This is my question number {asked}{word}."
        return _request(host, {"question": question})

    return next_request


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


async def _bare(seconds: float) -> LoadResult:
    """The peer: the same framework and server with a handler that does nothing."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BARE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        requests = _zipf(_requests(f"127.0.0.1:{port}", [f"question {number}" for number in range(DISTINCT)]))
        return await run_load("127.0.0.1", port, requests, connections=CONNECTIONS, seconds=seconds)
    finally:
        process.terminate()
        await process.wait()
