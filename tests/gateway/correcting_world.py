"""A log with payments, answers and the corrector of a gateway, all of it real; and judging by brute force."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from actors.journal import Journal
from actors.payment_shard import KINDS
from actors.recorder import LogRecorder
from domain.answer import (
    AnswerGiven,
    AnswerInvalidated,
    AnswerRecord,
    AnswerReinstated,
    AnswerRepeated,
    Basis,
    StatedPayment,
    stated,
)
from domain.codec import Submission
from domain.effects import Effect, EffectRequested
from domain.errors import RetryableError
from domain.fact import Fact, RecordedFact
from domain.ids import split_stream_id
from domain.message import Failed, Reply, Trace
from domain.payment import view
from domain.payment_saga import FactRecorded, PaymentLinked, RecordFact
from gateway.corrections import Corrector, Way
from gateway.ledger import Ledger
from projections.answer_ledger import AnswerLedger
from projections.conversations import Conversations
from projections.feed import SqliteFeed
from projections.progress import Progress
from tests.domain.examples import PAYMENT, fact
from tests.spec import NOON
from tests.worlds import TENANT, entries_in, handled, ids, link, new_shard, of_payment

CAPTURED = fact("e1", "intent", "captured", 1, amount_minor=4900, captured_minor=4900)
REFUNDED = fact("e2", "refund:re_1", "succeeded", 100, amount_minor=1900)
FAILED = fact("e3", "refund:re_1", "failed", 200, amount_minor=1900)


class StoppedError(Exception):
    """The process ends here."""


class Clock:
    """A wall clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


async def at_once(_: float) -> None:
    """A pause of no time."""
    await asyncio.sleep(0)


class World:
    """One tenant's payments and answers. Answers are given from what was known at a position that may be old."""

    def __init__(self, directory: Path, recorder: LogRecorder, ways: Collection[Way] = ()) -> None:
        self.directory = directory
        self.recorder = recorder
        self.clock = Clock()
        self.ways = ways
        self.shard = new_shard(recorder, kinds=KINDS, clock=self.clock)
        self._ledger = Ledger(Journal(recorder), node="gateway", clock=self.clock, new_id=ids("ledger"))
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.is_bus_away = False
        self.judged: list[Submission] = []
        # What the ledger says to judgements instead of entering them, by tenant.
        self.refusals: dict[str, Failed] = {}
        self.feed = SqliteFeed(str(directory / "log.sqlite"))

    def corrector(self, at_point: Callable[[str], None] = lambda point: None, *, files: str = "files") -> Corrector:
        """As after a start of the gateway: it goes on where the last one had got in these files."""
        feed = SqliteFeed(str(self.directory / "log.sqlite"))
        self.answers = AnswerLedger(feed, self.directory / files / "tenants")
        return Corrector(
            feed,
            self.answers,
            Progress(self.directory / files / "corrections.sqlite"),
            conversations=Conversations(feed),
            judge=self._judge,
            request=handled(self.shard),
            publish=self._publish,
            ways=lambda _: self.ways,
            clock=self.clock,
            pause=at_once,
            at_point=at_point,
        )

    async def _judge(self, batch: Sequence[Submission]) -> list[Reply]:
        self.judged += batch
        refusal = self.refusals.get(split_stream_id(batch[0].stream)[1]) if batch else None
        return await self._ledger.judge(batch) if refusal is None else [refusal for _ in batch]

    async def _publish(self, subject: str, payload: bytes) -> None:
        if self.is_bus_away:
            raise RetryableError("the bus is away")
        self.published.append((subject, msgspec.json.decode(payload)))

    def tell(self, *submissions: Submission) -> None:
        """Something is recorded."""
        replies = self.shard.handle(submissions)
        assert not [reply for reply in replies if isinstance(reply, Failed)]

    def fact(self, told: Fact, *, under: str = "") -> None:
        self.tell(of_payment(under or told.payment_id, RecordFact(fact=told)))

    def link(self, reference: str, payment_id: str) -> None:
        self.tell(link(reference, payment_id))

    def head(self) -> int:
        return self.feed.head()

    async def answer(self, answer_id: str, *payment_ids: str, known_to: int | None = None, **fields: Any) -> None:
        """An answer that states what was known of these payments at a position, of now."""
        known_to = self.head() if known_to is None else known_to
        refolded = Refolded(entry for entry in entries_in(self.recorder) if entry.position <= known_to)
        views = [payment for each in payment_ids if (payment := view(each, refolded.facts(each))) is not None]
        given: dict[str, Any] = {
            "answer_id": answer_id,
            "question": "Where is my refund?",
            "intent": "refund_status",
            "answer": "It was sent.",
            "stated": tuple(stated(payment) for payment in views),
            "position": known_to,
            "as_of": max([self.clock(), *(payment.occurred_at for payment in views)]),
            "given_at": self.clock(),
            "basis": Basis(known_to=known_to),
            "tenant": TENANT,
            **fields,
        }
        tenant = given.pop("tenant")
        await self._ledger.enter(tenant, AnswerRecord(**given), Trace(correlation_id=f"c-{answer_id}"))

    async def repeat(self, answer_id: str) -> None:
        await self._ledger.repeat(TENANT, answer_id)

    def wrong(self) -> dict[str, dict[str, StatedPayment | None]]:
        """The answers that the log says were wrong, each with what was so of its payments."""
        found: dict[str, dict[str, StatedPayment | None]] = {}
        for entry in entries_in(self.recorder):
            match entry.envelope().event:
                case AnswerInvalidated(untrue=untrue):
                    found[entry.key] = {each.said.payment_id: each.so for each in untrue}
                case AnswerReinstated():
                    del found[entry.key]
        return found

    def events(self, kind: type[Any]) -> list[tuple[str, Any]]:
        """The events of one kind with the keys of their streams, in log order."""
        found = [(entry.key, entry.envelope().event) for entry in entries_in(self.recorder)]
        return [(key, event) for key, event in found if isinstance(event, kind)]

    def effects(self) -> list[Effect]:
        """What was requested of corrections, in log order; not what payments' sagas requested."""
        entries = [entry for entry in entries_in(self.recorder) if entry.stream.startswith("effect:")]
        events = [entry.envelope().event for entry in entries]
        return [event.effect for event in events if isinstance(event, EffectRequested)]

    def by_brute_force(self) -> dict[str, dict[str, StatedPayment | None]]:
        """Every answer judged against every fact, in the plainest way; as `wrong`."""
        entries = entries_in(self.recorder)
        refolded = Refolded(entries)
        records: dict[str, AnswerRecord] = {}
        times: dict[str, list[datetime]] = {}
        for entry in entries:
            match entry.envelope().event:
                case AnswerGiven(record=record):
                    records[entry.key] = record
                    times[entry.key] = [record.as_of]
                case AnswerRepeated(given_at=given_at):
                    times[entry.key].append(max(given_at, records[entry.key].as_of))
        found: dict[str, dict[str, StatedPayment | None]] = {}
        for answer_id, record in records.items():
            for said in record.stated if record.basis.known_at is None else ():
                for as_of in sorted(times[answer_id]):
                    then = view(said.payment_id, refolded.facts(said.payment_id), as_of=as_of)
                    so = stated(then) if then is not None else None
                    if so != said:
                        found.setdefault(answer_id, {})[said.payment_id] = so
                        break
        return found


class Refolded:
    """Payments from log entries, by union over links, in whatever direction they are followed."""

    def __init__(self, entries: Iterable[Any]) -> None:
        self._facts: dict[str, list[RecordedFact]] = {}
        self._links: dict[str, str] = {}
        for entry in entries:
            if not entry.stream.startswith("payment:"):
                continue
            envelope = entry.envelope()
            match envelope.event:
                case FactRecorded(fact=fact):
                    recorded = RecordedFact(fact=fact, position=entry.position, recorded_at=envelope.recorded_at)
                    self._facts.setdefault(entry.key, []).append(recorded)
                case PaymentLinked(payment_id=payment_id):
                    self._links[entry.key] = payment_id

    def _root(self, reference: str) -> frozenset[str]:
        """Where the links end: one reference, or all of those in a circle."""
        path: list[str] = []
        while reference in self._links and reference not in path:
            path.append(reference)
            reference = self._links[reference]
        return frozenset(path[path.index(reference) :]) if reference in path else frozenset({reference})

    def facts(self, payment_id: str) -> list[RecordedFact]:
        """All facts of a payment by any of its references, each since it came first."""
        root = self._root(payment_id)
        every = [each for key, told in self._facts.items() if self._root(key) == root for each in told]
        first: dict[str, RecordedFact] = {}
        for each in sorted(every, key=lambda recorded: recorded.position):
            first.setdefault(each.fact.fact_id, each)
        return list(first.values())


async def settle(corrector: Corrector, head: Callable[[], int]) -> None:
    """Turns until all that is in the log is judged."""
    while await corrector.turn() or corrector.position < head():
        pass


async def corrected(world: World) -> Corrector:
    """A gateway starts, and judges all that there is."""
    corrector = world.corrector()
    await settle(corrector, world.head)
    return corrector


async def told_wrongly(world: World, *answer_ids: str) -> None:
    """Answers at 250 s that say that the refund was sent. It had failed at 200 s, which is not known yet."""
    world.fact(CAPTURED)
    world.fact(REFUNDED)
    world.clock.forward(250)
    for answer_id in answer_ids or ("a-1",):
        await world.answer(answer_id, PAYMENT)
