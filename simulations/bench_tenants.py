"""`recount bench tenants`: thousands of small tenants on one node, their memory, open files and first answers."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from actors.journal import Entry, Journal
from actors.recorder import open_log
from domain.codec import AnyEvent, Envelope
from domain.document import DocumentPublished
from domain.fact import Fact
from domain.ids import stream_id
from domain.payment_saga import FactRecorded
from domain.settings import BATCH_MAX
from simulations.ask_traffic import ask_request
from simulations.bench_stack import API_KEY, TENANT, Running, stack
from simulations.client import GatewayClient
from simulations.http_load import run_load
from simulations.steady_load import SteadyLoad, Times, times_of

SEED = 3
DOCUMENTS = 3
PAYMENTS = 5
PER_SECOND = 20
# Slow enough that each is answered before the next: what is measured is the first answer, not how many there can be.
COLD_PER_SECOND = 8
COLD_MAX = 400
HOT_CONNECTIONS = 64
DRAIN_TIMEOUT_S = 900.0
TARGET_COLD_P95_MS = 300
# How much later a quiet tenant's answers may come while another asks as fast as it can.
SLOWER_MAX = 5.0

_MATTERS = ("refunds", "disputes", "payouts", "fees", "invoices", "cards")


class ProcessFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a process takes, as Linux says."""

    rss_mb: float
    open_files: int
    threads: int


class TenantsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The node with all tenants; the first answer to each of them; the others beside one that asks without pause."""

    tenants: int
    projected_s: float
    index: ProcessFigures
    gateway: ProcessFigures
    tenants_open: int
    cold: Times
    index_afterwards: ProcessFigures
    gateway_afterwards: ProcessFigures
    wrong: int
    quiet: Times
    beside_a_hot_one: Times
    hot_per_second: float
    meets_target: bool


async def bench_tenants(tenants: int, seconds: float, say: Callable[[str], None]) -> TenantsReport:
    """Tenants that lie in the log from before; some are asked once, then one of them asks without pause."""
    names = [f"t{number:05d}" for number in range(tenants)]
    more = "".join(f'[tenants.{name}]\napi_keys = ["{_key(name)}"]\n' for name in names)
    say(f"{tenants} tenants with {DOCUMENTS} documents and {PAYMENTS} payments each")
    async with stack(more=more, prepare=lambda data: _write_log(data, names)) as running:
        started_s = time.perf_counter()
        async with GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret="") as client:
            await client.drained(timeout_s=DRAIN_TIMEOUT_S)
        projected_s = time.perf_counter() - started_s
        index, gateway = await _processes(running)
        say(f"one question to each of {COLD_MAX} that were closed")
        cold, wrong = await _first_answers(running, names)
        of_index, of_gateway = await _processes(running)
        open_now = await _metric(running, "recount_host_tenants_open")
        say(f"{PER_SECOND}/s to some, {seconds:g} s without and {seconds:g} s with another that asks without pause")
        quiet = await _steady(running, names[1:50], seconds)
        hot = asyncio.create_task(_hot(running, names[0], seconds))
        beside = await _steady(running, names[1:50], seconds)
        hot_per_second = await hot
    return TenantsReport(
        tenants=tenants,
        projected_s=round(projected_s, 1),
        index=index,
        gateway=gateway,
        tenants_open=round(open_now),
        cold=cold,
        index_afterwards=of_index,
        gateway_afterwards=of_gateway,
        wrong=wrong,
        quiet=quiet,
        beside_a_hot_one=beside,
        hot_per_second=round(hot_per_second, 1),
        meets_target=cold.p95_ms < TARGET_COLD_P95_MS
        and not (wrong or cold.failed or quiet.failed or beside.failed)
        and beside.p95_ms <= SLOWER_MAX * max(quiet.p95_ms, 10.0),
    )


def _key(name: str) -> str:
    return f"key-of-{name}"


def _write_log(data: Path, names: list[str]) -> None:
    """The tenants' events as shards would have appended them."""
    data.mkdir(parents=True)
    journal = Journal(open_log(str(data / "log.sqlite")))
    rng = random.Random(SEED)
    entries = [entry for name in names for entry in _entries_of(name, rng)]
    for start in range(0, len(entries), BATCH_MAX):
        journal.append(entries[start : start + BATCH_MAX], leases={})


def _entries_of(name: str, rng: random.Random) -> list[Entry]:
    told: list[tuple[str, AnyEvent]] = []
    for number in range(DOCUMENTS):
        matter = _MATTERS[number]
        text = f"At {name}, {matter} are settled within {rng.randrange(2, 40)} days."
        event = DocumentPublished(document_id=matter, version=1, title=f"{matter} at {name}", text=text)
        told.append((stream_id("document", name, matter), event))
    for number in range(PAYMENTS):
        captured = Fact(
            fact_id=f"stripe:evt_{name}_{number}",
            provider="stripe",
            payment_id=f"pi_{name}_{number}",
            object=f"charge:ch_{name}_{number}",
            status="captured",
            occurred_at=datetime(2026, 3, 1, 12, number, tzinfo=UTC),
            source="webhook",
            amount_minor=4_900,
            captured_minor=4_900,
            currency="EUR",
            customer_id=f"cus_{name}",
        )
        told.append((stream_id("payment", name, captured.payment_id), FactRecorded(fact=captured)))
    recorded_at = datetime(2026, 3, 2, tzinfo=UTC)
    return [
        Entry(stream=stream, version=1, envelope=Envelope(event=event, recorded_at=recorded_at, commit="bench"))
        for stream, event in told
    ]


def _question(host: str, name: str, words: str) -> bytes:
    question = f"What happened to pi_{name}_1, and when are refunds settled? {words}"
    return ask_request(host, question, tenant=name, api_key=_key(name))


def _load(running: Running, requests: Callable[[str], bytes | None], per_second: float) -> SteadyLoad:
    at = running.address
    # Each connection is used every two seconds: the server closes one that is idle for five.
    return SteadyLoad(
        at.host, at.port, lambda: requests(at.netloc), per_second=per_second, connections=int(2 * per_second)
    )


async def _first_answers(running: Running, names: list[str]) -> tuple[Times, int]:
    """The first answers of tenants that are closed; and how many speak of another tenant or of nothing."""
    asked = random.Random(SEED).sample(names, min(COLD_MAX, len(names)))
    waiting = list(asked)
    load = _load(running, lambda host: _question(host, waiting.pop(), "Please.") if waiting else None, COLD_PER_SECOND)
    await load.run()
    said = {payment["payment_id"] for each in load.answered for payment in msgspec.json.decode(each.body)["payments"]}
    return times_of(load.answered), len({f"pi_{name}_1" for name in asked} ^ said)


async def _steady(running: Running, names: list[str], seconds: float) -> Times:
    rng = random.Random(SEED)
    asked = iter(range(1_000_000))
    load = _load(running, lambda host: _question(host, rng.choice(names), f"Again {next(asked)}"), PER_SECOND)
    asking = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    load.stop()
    await asking
    return times_of(load.answered)


async def _hot(running: Running, name: str, seconds: float) -> float:
    """One tenant's questions, each another, on many connections without pause; returns answers per second."""
    asked = iter(range(1_000_000))
    at = running.address
    answered = await run_load(
        at.host,
        at.port,
        lambda: _question(at.netloc, name, f"Without pause {next(asked)}"),
        connections=HOT_CONNECTIONS,
        seconds=seconds,
    )
    return answered.per_second


async def _processes(running: Running) -> tuple[ProcessFigures, ProcessFigures]:
    """The index shard's process and the gateway's."""
    async with httpx.AsyncClient() as client:
        parts = (await client.get(f"{running.http_url}/readyz")).json()["parts"]
    index = int(parts["knowledge-0"]["detail"].removeprefix("pid "))
    return _figures(index), _figures(running.pid)


def _figures(pid: int) -> ProcessFigures:
    place = Path("/proc") / str(pid)
    lines = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return ProcessFigures(
        rss_mb=round(int(lines["VmRSS"].split()[0]) / 1024, 1),
        open_files=len(list((place / "fd").iterdir())),
        threads=int(lines["Threads"]),
    )


async def _metric(running: Running, name: str) -> float:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{running.http_url}/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))
