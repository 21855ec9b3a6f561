"""`recount bench saga`: sagas per second, beside DBOS Transact running the same saga on the same store in one run.

Both keep their state in an SQLite file of their own on the same disk, and fsync what they commit (synchronous FULL).
Ours takes the way of production: commands to the payment shard in batches of bytes, its journal, the outbox, the effect
runner, and the outcomes back as commands. Only the provider (`simulations.saga_account`) and the call to the shard,
which production makes through Ray, stay inside the process.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, get_args

import msgspec

from actors.effects import EffectRunner
from actors.log import place_of
from actors.payment_shard import PaymentShard, ShardPlace, new_id, now
from actors.router import Router
from actors.telemetry import configure_logging
from domain.codec import Submission, tag_of
from domain.effects import RecordEffectOutcome
from domain.errors import TerminalError
from domain.ids import stream_id
from domain.message import Accepted, Reply, Trace
from domain.payment_policy import Policy
from domain.payment_saga import PaymentSettled, StartPayment
from domain.settings import BATCH_MAX, EffectSettings
from projections.feed import SqliteFeed
from projections.outbox import Outbox
from simulations.bench_saga_dbos import DbosRun, Journal, Way, run_dbos, synchronous, version
from simulations.saga_account import Account

TENANTS = 8
TARGET_RATIO = 10
ROUNDS = 3
# Whichever of the first is quickest is the peer: all that DBOS lets one choose. It makes its file with a rollback
# journal; the last two have a write-ahead log, which somebody else has to give the file.
PEERS: tuple[tuple[Way, Journal, int], ...] = (
    ("threads", "delete", 1),
    ("threads", "delete", 8),
    ("started", "delete", 32),
    ("async", "delete", 32),
    ("threads", "wal", 1),
    ("async", "wal", 32),
)


class OurRun(msgspec.Struct, frozen=True, kw_only=True):
    """What ours did: `calls` at the provider and `events` in the log for all `sagas`."""

    sagas: int
    per_second: float
    calls: int
    events: int
    commits: int


class SagaReport(msgspec.Struct, frozen=True, kw_only=True):
    """The median rounds of both, and what ours is to the peer.

    Args:
        ours: in one process, as the peer.
        dbos_version: of the peer.
        dbos: every configuration of it.
        synchronous: how the peer's file is synced; ours is with `full`.
        ratio: to the quickest with the journal that DBOS makes.
        ratio_wal: to the quickest with a write-ahead log, as ours has.
        meets_target: whether `ratio` is `TARGET_RATIO` or more.
    """

    ours: OurRun
    dbos_version: str
    dbos: list[DbosRun]
    synchronous: str
    ratio: float
    ratio_wal: float
    meets_target: bool


def bench_saga(directory: Path, sagas: int, peer_sagas: int, say: Callable[[str], None]) -> SagaReport:
    """Ours and every configuration of the peer, round after round.

    Raises `TerminalError` if a saga does not end as it must.
    """
    installed = version()
    directory.mkdir(parents=True, exist_ok=True)
    # A node writes a line for each attempt.
    configure_logging("info", file=directory / "bench.jsonl")
    ours: list[OurRun] = []
    theirs: list[list[DbosRun]] = [[] for _ in PEERS]
    # In turns, because a machine is not equally quick all the time.
    for turn in range(ROUNDS):
        say(f"round {turn + 1} of {ROUNDS}: {sagas} sagas of ours, {TENANTS} tenants")
        place = directory / f"ours-{turn}"
        place.mkdir()
        ours.append(asyncio.run(run_ours(place, sagas)))
        say(f"round {turn + 1} of {ROUNDS}: {peer_sagas} sagas of DBOS {installed} in {len(PEERS)} configurations")
        for number, (way, journal, at_once) in enumerate(PEERS):
            peer = directory / f"dbos-{turn}-{number}"
            theirs[number].append(run_dbos(peer, way=way, journal=journal, at_once=at_once, sagas=peer_sagas))
    mine, peers = _median(ours), [_median(each) for each in theirs]
    best = {journal: max(each.per_second for each in peers if each.journal == journal) for journal in get_args(Journal)}
    return SagaReport(
        ours=mine,
        dbos_version=installed,
        dbos=peers,
        synchronous=synchronous(directory / "dbos-0-0" / "dbos.sqlite"),
        ratio=round(mine.per_second / best["delete"], 1),
        ratio_wal=round(mine.per_second / best["wal"], 1),
        meets_target=mine.per_second >= TARGET_RATIO * best["delete"],
    )


RunT = TypeVar("RunT", OurRun, DbosRun)


def _median(runs: Sequence[RunT]) -> RunT:
    return sorted(runs, key=lambda each: each.per_second)[len(runs) // 2]


def rows(report: SagaReport) -> list[tuple[str, ...]]:
    """The report as a table: what, sagas, sagas per second, times the peer."""
    ours = report.ours.per_second
    found: list[tuple[str, ...]] = [("recount", str(report.ours.sagas), f"{ours:,.0f}", "1")]
    for each in report.dbos:
        name = f"DBOS {report.dbos_version}, {each.way}, {each.at_once} at once, journal {each.journal}"
        found.append((name, str(each.sagas), f"{each.per_second:,.0f}", f"1/{ours / each.per_second:.1f}"))
    return found


class _InProcess:
    """A payment shard in this process. Like an actor it handles one call at a time, beside the loop."""

    def __init__(self, shard: PaymentShard) -> None:
        self._shard = shard
        self._thread = ThreadPoolExecutor(1)

    async def call(self, method: str, payload: bytes) -> bytes:
        assert method == "handle", f"a shard handles commands, not {method}"
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._shard.handle, payload)


class _Counted:
    """The way of the runner's commands to the router; `reached` once so many effects are performed and in the log."""

    def __init__(self, router: Router, wanted: int) -> None:
        self.reached = asyncio.Event()
        self._router = router
        self._left = wanted

    async def submit(self, batch: Sequence[Submission]) -> list[Reply]:
        replies = await self._router.submit(batch)
        for submission, reply in zip(batch, replies, strict=True):
            command = submission.command
            if isinstance(command, RecordEffectOutcome) and command.outcome == "done" and isinstance(reply, Accepted):
                self._left -= 1
        if self._left <= 0:
            self.reached.set()
        return replies


async def run_ours(directory: Path, sagas: int) -> OurRun:
    """So many sagas, from the first start to the last end being in the log; the directory is there."""
    place = ShardPlace(log=place_of("sqlite", directory), shard=0, shard_count=1)
    shard = PaymentShard(msgspec.msgpack.encode(place))
    router = Router([_InProcess(shard)])
    feed = SqliteFeed(place_of("sqlite", directory))
    outbox, account = Outbox(directory / "outbox.sqlite", feed), Account()
    counted = _Counted(router, 2 * sagas)
    runner = EffectRunner(
        outbox,
        {"pull": account, "cancel": account},
        submit=counted.submit,
        owner="bench",
        clock=now,
        clock_s=time.monotonic,
        settings=EffectSettings(),
        # As the peer: what failed is tried again at once.
        jitter=lambda: 0.0,
    )
    starts = _starts(sagas)
    started_s = time.perf_counter()
    running = asyncio.create_task(runner.run())
    replies = [
        reply
        for start in range(0, sagas, BATCH_MAX)
        for reply in await router.submit(starts[start : start + BATCH_MAX])
    ]
    if not all(isinstance(reply, Accepted) for reply in replies):
        raise TerminalError("a payment could not be started")
    await counted.reached.wait()
    took_s = time.perf_counter() - started_s
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    settled = len(feed.read(0, limit=sagas + 1, topics=(tag_of(PaymentSettled),)).entries)
    if settled != sagas or len(account.canceled) != sagas:
        raise TerminalError(f"{settled} of {sagas} sagas were settled, {len(account.canceled)} payments canceled")
    stats = msgspec.msgpack.decode(shard.ping())["stats"]
    outbox.close()
    return OurRun(
        sagas=sagas,
        per_second=round(sagas / took_s, 1),
        calls=account.calls,
        events=feed.head(),
        commits=int(stats["appends"]),
    )


def _starts(sagas: int) -> list[Submission]:
    """Payments whose time is over as soon as they are started."""
    deadline_at = datetime.now(UTC)
    return [
        Submission(
            stream=stream_id("payment", f"tenant-{number % TENANTS}", f"pi_{number}"),
            command=StartPayment(
                payment_id=f"pi_{number}",
                amount_minor=4_900,
                currency="EUR",
                deadline_at=deadline_at,
                provider="stripe",
                policy=Policy(on_timeout="cancel"),
            ),
            command_id=new_id(),
            trace=Trace(correlation_id=f"bench-{number}"),
        )
        for number in range(sagas)
    ]
