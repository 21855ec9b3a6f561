"""`recount bench corrections`: from a late fact to the corrections of exactly the answers that it makes wrong.

The ledger, the corrector and nats-server are the production ones; the corrections are timed where a subscriber of
`corrections.<tenant>` gets them. Afterwards every answer in the log is judged anew in the plainest way, and compared.
The same is done with a tenth of the answers about a tenth of the payments: what a late fact costs must not grow.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.journal import Journal
from actors.log import place_of
from actors.payment_shard import KINDS, ROLE, new_id, now
from actors.recorder import open_log
from actors.router import Router
from actors.shard import Shard
from actors.telemetry import configure_logging
from domain.answer import AnswerGiven, AnswerInvalidated, AnswerRecord, Basis, stated
from domain.codec import AnyEvent, Submission, tag_of
from domain.errors import TerminalError
from domain.fact import Fact, RecordedFact
from domain.ids import stream_id
from domain.message import Accepted, Event, Trace
from domain.payment import view
from domain.payment_saga import FactRecorded, RecordFact
from domain.settings import BATCH_MAX
from domain.sharding import BUCKET_COUNT
from gateway.bus import connect
from gateway.corrections import Corrector
from gateway.ledger import Ledger, LocalEndpoint
from gateway.nats_server import NatsServer
from projections.answer_ledger import AnswerLedger
from projections.conversations import Conversations
from projections.feed import LogEntry, SqliteFeed
from projections.progress import Progress
from simulations.http_load import percentile

TENANT = "bench"
SEED = 19
ANSWERS_PER_PAYMENT = 25
LATE_FACTS = 40
DAYS = 4
TIMEOUT_S = 60
TARGET_S = 1.0
# What a late fact may cost with ten times the answers, in terms of what it costs without.
TARGET_GROWTH = 1.5
PAGE = 5_000


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """One ledger, and the late facts that came to it.

    Args:
        answers: in the ledger.
        payments: that they stated.
        late_facts: recorded one after the other, of which some make answers wrong.
        corrections: that were published.
        per_fact: corrections of one fact, at most.
        p50_ms: from a fact being durable to the last of its corrections at the subscriber.
        p95_ms: the same.
        max_ms: the same.
        missing: answers that are wrong by brute force over all, and were not corrected.
        unfounded: answers that were corrected, and are not wrong by brute force.
    """

    answers: int
    payments: int
    late_facts: int
    corrections: int
    per_fact: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    missing: list[str]
    unfounded: list[str]


class CorrectionsReport(msgspec.Struct, frozen=True, kw_only=True):
    """Both ledgers in one run; `growth` is the ratio of their medians."""

    tenth: Scale
    full: Scale
    growth: float
    meets_target: bool


async def bench_corrections(directory: Path, answers: int, say: Callable[[str], None]) -> CorrectionsReport:
    """Raises `TerminalError` if a correction does not come within `TIMEOUT_S`."""
    configure_logging("info", file=directory / "bench.jsonl")
    async with AsyncExitStack() as stack:
        server = NatsServer(directory / "nats", port=0, on_event=lambda event, fields: None)
        await server.start()
        stack.push_async_callback(server.stop)
        scales = []
        for size in (answers // 10, answers):
            say(f"{size} answers about {size // ANSWERS_PER_PAYMENT} payments, then {LATE_FACTS} late facts")
            scales.append(await _scale(directory / str(size), server.url, size))
    tenth, full = scales
    growth = full.p50_ms / tenth.p50_ms
    is_exact = not any(each.missing or each.unfounded for each in scales)
    return CorrectionsReport(
        tenth=tenth,
        full=full,
        growth=round(growth, 2),
        meets_target=is_exact and full.max_ms < TARGET_S * 1_000 and growth <= TARGET_GROWTH,
    )


def rows(report: CorrectionsReport) -> list[tuple[str, ...]]:
    """The report as a table."""
    return [
        (
            f"{each.answers:,} answers, {each.payments:,} payments",
            str(each.corrections),
            f"{each.p50_ms:.0f} ms",
            f"{each.p95_ms:.0f} ms",
            f"{each.max_ms:.0f} ms",
            f"{len(each.missing)} / {len(each.unfounded)}",
        )
        for each in (report.tenth, report.full)
    ]


async def _scale(directory: Path, nats_url: str, answers: int) -> Scale:
    rng = random.Random(SEED)
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, name="gateway")
        stack.push_async_callback(client.close)
        subscriber = await connect(nats_url, name="subscriber")
        stack.push_async_callback(subscriber.close)
        node = Node(directory, client)
        payments = [f"pi_{number}" for number in range(answers // ANSWERS_PER_PAYMENT)]
        await node.take_in([fact for payment_id in payments for fact in _paid(payment_id)])
        await node.answer(payments, answers, rng)
        heard = Heard()
        subscription = await subscriber.subscribe(f"corrections.{TENANT}", cb=heard.take)
        await subscriber.flush()
        await node.judged()
        running = asyncio.create_task(node.corrector.run())
        try:
            took_ms, per_fact = await _late_facts(node, heard, payments, rng)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await node.judged()
        await subscription.unsubscribe()
        untrue, corrected = by_brute_force(node.feed)
        node.close()
    took_ms.sort()
    return Scale(
        answers=answers,
        payments=len(payments),
        late_facts=LATE_FACTS,
        corrections=len(heard.answer_ids),
        per_fact=per_fact,
        p50_ms=round(percentile(took_ms, 0.5), 1),
        p95_ms=round(percentile(took_ms, 0.95), 1),
        max_ms=round(took_ms[-1], 1),
        missing=sorted(untrue - (corrected & heard.answer_ids)),
        unfounded=sorted((corrected | heard.answer_ids) - untrue),
    )


class Node:
    """A payment shard, the ledger of answers and the corrector, as a gateway has them."""

    def __init__(self, directory: Path, client: Client) -> None:
        directory.mkdir(parents=True)
        path = place_of("sqlite", directory)
        recorder = open_log(path)
        shard = Shard(
            Journal(recorder),
            KINDS,
            role=ROLE,
            buckets=range(BUCKET_COUNT),
            owner="bench",
            clock=now,
            new_id=new_id,
        )
        self.feed = SqliteFeed(path)
        self.stating: dict[str, list[AnswerRecord]] = {}
        self._client = client
        self._router = Router([LocalEndpoint(shard)], calls_max=1)
        self._ledger = Ledger(Journal(recorder), node="bench", clock=now, new_id=lambda: uuid.uuid4().hex)
        self._answers = AnswerLedger(SqliteFeed(path), directory / "tenants")
        self.corrector = Corrector(
            SqliteFeed(path),
            self._answers,
            Progress(directory / "corrections.sqlite"),
            conversations=Conversations(SqliteFeed(path)),
            judge=self._ledger.judge,
            request=self._router.submit,
            publish=self._publish,
            ways=lambda tenant: (),
            clock=now,
        )

    async def _publish(self, subject: str, payload: bytes) -> None:
        await self._client.publish(subject, payload)

    async def take_in(self, facts: Sequence[Fact]) -> None:
        """Returns once they are in the log."""
        batch = [
            Submission(
                stream=stream_id("payment", TENANT, fact.payment_id),
                command=RecordFact(fact=fact),
                trace=Trace(correlation_id=fact.fact_id),
            )
            for fact in facts
        ]
        for start in range(0, len(batch), BATCH_MAX):
            for reply in await self._router.submit(batch[start : start + BATCH_MAX]):
                if not isinstance(reply, Accepted):
                    raise TerminalError(f"a fact was not recorded: {reply}")

    async def answer(self, payments: Sequence[str], answers: int, rng: random.Random) -> None:
        """Answers of the last days, each stating one payment or two as they were known then."""
        known_to, today = self.feed.head(), now()
        views = {each: view(each, facts) for each, facts in facts_of(_entries(self.feed, FactRecorded)).items()}
        for start in range(0, answers, BATCH_MAX):
            entering = []
            for number in range(start, min(start + BATCH_MAX, answers)):
                given_at = today - timedelta(seconds=rng.uniform(0, DAYS * 86_400))
                chosen = [payments[number % len(payments)], *rng.choices(payments, k=int(rng.random() < 0.1))]
                record = AnswerRecord(
                    answer_id=f"a{number}",
                    question="Where is my refund?",
                    intent="refund_status",
                    answer="It was sent.",
                    stated=tuple(stated(folded) for each in dict.fromkeys(chosen) if (folded := views[each])),
                    position=known_to,
                    as_of=given_at,
                    given_at=given_at,
                    basis=Basis(known_to=known_to),
                )
                for each in dict.fromkeys(chosen):
                    self.stating.setdefault(each, []).append(record)
                entering.append(self._ledger.enter(TENANT, record, Trace(correlation_id=record.answer_id)))
            await asyncio.gather(*entering)

    async def judged(self) -> None:
        """Returns once all answers are judged by all that is in the log."""
        while await self.corrector.turn() or self.corrector.position < self.feed.head():
            continue

    def close(self) -> None:
        self._answers.close()
        self.feed.close()


class Heard:
    """What a subscriber of the corrections got."""

    def __init__(self) -> None:
        self.answer_ids: set[str] = set()
        self._changed = asyncio.Condition()

    async def take(self, message: Msg) -> None:
        event = msgspec.json.decode(message.data, type=_Published)
        assert event.type == "answer.invalidated", event
        async with self._changed:
            self.answer_ids.add(event.answer_id)
            self._changed.notify_all()

    async def all_of(self, answer_ids: set[str]) -> None:
        """Returns once these are corrected."""
        async with self._changed:
            await self._changed.wait_for(lambda: answer_ids <= self.answer_ids)


class _Published(msgspec.Struct):
    type: str
    answer_id: str


async def _late_facts(node: Node, heard: Heard, payments: Sequence[str], rng: random.Random) -> tuple[list[float], int]:
    """Milliseconds of each fact that makes answers wrong, and how many answers one made wrong at most."""
    took_ms, most = [], 0
    chosen = rng.sample(payments, LATE_FACTS)
    for number, payment_id in enumerate(chosen):
        # Every fourth is of now, and no news of what was so when the answers were given.
        fact = _failed(payment_id, rng) if number % 4 else _disputed(payment_id)
        await node.take_in([fact])
        recorded_s = time.perf_counter()
        facts = {payment_id: _recorded(node.feed.stream(stream_id("payment", TENANT, payment_id)))}
        wanted = wrong(node.stating[payment_id], facts) - heard.answer_ids
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await heard.all_of(wanted)
        except TimeoutError:
            left = len(wanted - heard.answer_ids)
            raise TerminalError(f"{fact.fact_id}: {left} corrections did not come within {TIMEOUT_S} s") from None
        if wanted:
            took_ms.append((time.perf_counter() - recorded_s) * 1_000)
            most = max(most, len(wanted))
    return took_ms, most


def by_brute_force(feed: SqliteFeed) -> tuple[set[str], set[str]]:
    """The answers that are wrong, each judged by all facts of the log; and those that the log says are wrong."""
    records = [event.record for entry in _entries(feed, AnswerGiven) if isinstance(event := _event(entry), AnswerGiven)]
    return wrong(records, facts_of(_entries(feed, FactRecorded))), {
        entry.key for entry in _entries(feed, AnswerInvalidated)
    }


def wrong(records: Sequence[AnswerRecord], facts: Mapping[str, Sequence[RecordedFact]]) -> set[str]:
    """The answers that stated of one of these payments what was not so at the time of which they spoke."""
    return {
        record.answer_id
        for record in records
        for said in record.stated
        if said.payment_id in facts
        and ((so := view(said.payment_id, facts[said.payment_id], as_of=record.as_of)) is None or stated(so) != said)
    }


def facts_of(entries: Sequence[LogEntry]) -> dict[str, list[RecordedFact]]:
    """The facts of each payment, in log order."""
    by_payment: dict[str, list[LogEntry]] = {}
    for entry in entries:
        by_payment.setdefault(entry.key, []).append(entry)
    return {payment_id: _recorded(of_payment) for payment_id, of_payment in by_payment.items()}


def _recorded(entries: Sequence[LogEntry]) -> list[RecordedFact]:
    found = []
    for entry in entries:
        envelope = entry.envelope()
        if isinstance(envelope.event, FactRecorded):
            fact = envelope.event.fact
            found.append(RecordedFact(fact=fact, position=entry.position, recorded_at=envelope.recorded_at))
    return found


def _entries(feed: SqliteFeed, kind: type[Event]) -> list[LogEntry]:
    """Every event of one kind."""
    found: list[LogEntry] = []
    while entries := feed.read(found[-1].position if found else 0, limit=PAGE, topics=(tag_of(kind),)).entries:
        found += entries
    return found


def _event(entry: LogEntry) -> AnyEvent:
    return entry.envelope().event


def _paid(payment_id: str) -> list[Fact]:
    """A payment that was taken long ago, and of which a part was returned."""
    before = now() - timedelta(days=DAYS + 10)
    return [
        Fact(
            fact_id=f"stripe:evt_{payment_id}_1",
            object="intent",
            status="captured",
            occurred_at=before,
            captured_minor=4_900,
            provider="stripe",
            payment_id=payment_id,
            currency="EUR",
            amount_minor=4_900,
        ),
        _refund(payment_id, "succeeded", before + timedelta(days=1)),
    ]


def _failed(payment_id: str, rng: random.Random) -> Fact:
    """The refund failed at some time of the last days, and only now is it told."""
    return _refund(payment_id, "failed", now() - timedelta(seconds=rng.uniform(0, DAYS * 86_400)))


def _refund(payment_id: str, status: str, occurred_at: datetime) -> Fact:
    return Fact(
        fact_id=f"stripe:evt_{payment_id}_{status}",
        provider="stripe",
        payment_id=payment_id,
        object=f"refund:re_{payment_id}",
        status=status,
        occurred_at=occurred_at,
        amount_minor=1_900,
        currency="EUR",
    )


def _disputed(payment_id: str) -> Fact:
    """What happens now makes no answer wrong that was given before."""
    return Fact(
        fact_id=f"stripe:evt_{payment_id}_disputed",
        provider="stripe",
        payment_id=payment_id,
        object=f"dispute:dp_{payment_id}",
        status="open",
        occurred_at=now(),
        amount_minor=4_900,
        currency="EUR",
    )
