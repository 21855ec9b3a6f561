"""A question in a chat is answered once, to whom it concerns, whatever crashes."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.journal import Journal
from actors.payment_shard import KINDS
from actors.recorder import LogRecorder
from domain.answer import AnswerGiven, AnswerRecord
from domain.codec import AnyCommand, Submission
from domain.conversation import (
    IdentifyCustomer,
    Message,
    MessageAnswered,
    RecordMessage,
    RequestErasure,
)
from domain.errors import RetryableError
from domain.ids import stream_id
from domain.message import Failed, Reply, Trace
from domain.settings import AskSettings
from gateway.asking import AnswerJson, Asker, AskRequest
from gateway.changes import Listener
from gateway.conversations import REPLY_WITHIN, Answerer
from gateway.http.problems import ProblemError
from gateway.ledger import Ledger
from projections.conversations import Conversations
from projections.feed import SqliteFeed
from projections.knowledge import KnowledgeStore, Passage
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector
from projections.retrieval import AnyFound, AnyQuery, Gather, Gathered, TenantReader
from projections.store import Store
from tests.spec import NOON
from tests.worlds import TENANT, Clock, entries_in, ids, new_log, new_shard, record

CHAT = "zalo:2512523625412515"
POLICY = Passage(
    document_id="refunds", version=1, title="Refunds", heading="", text="A refund takes five days.", score=0.9
)

Submit = Callable[[Sequence[Submission]], Any]


async def at_once(_: float) -> None:
    """A pause of no time."""
    await asyncio.sleep(0)


class World:
    """A log with a shard of payments and conversations, and a gateway that asks: all of it real but the documents."""

    def __init__(self, directory: Path, recorder: LogRecorder) -> None:
        self._directory = directory
        self._progress = directory / "conversations.sqlite"
        self.recorder = recorder
        self.clock = Clock()
        self._shard = new_shard(recorder, kinds=KINDS, clock=self.clock)
        self._payments = PaymentStore(directory / "payments")
        self._projector = Projector(self._feed(), topics=TOPICS, store_of=lambda _: self._payments)
        self._ledger = Ledger(Journal(recorder), node="gateway", clock=self.clock, new_id=ids("ledger"))
        self.asker = Asker(
            call_of=lambda _: self._call,
            listener_of=lambda _: Listener(
                self._call, on_change=lambda _: None, on_missed=lambda: None, clock_s=lambda: 0.0
            ),
            ledger=self._ledger,
            settings=AskSettings(linger_ms=0.0),
            clock=self.clock,
            new_id=ids("answer"),
        )

    def _feed(self) -> SqliteFeed:
        return SqliteFeed(str(self._directory / "log.sqlite"))

    async def _call(self, method: str, payload: bytes) -> bytes:
        """An index shard that is always up to date and has one document."""
        assert method == "query"
        reader = TenantReader(self._payments, cast(KnowledgeStore, None), 1)
        step = self._projector.run_once()
        found: list[AnyFound] = []
        for query in msgspec.msgpack.decode(payload, type=list[AnyQuery]):
            assert isinstance(query, Gather)
            assert query.min_position <= step.position
            payments, looked_up = reader.evidence(query)
            found.append(
                Gathered(
                    position=step.position,
                    knowledge_position=step.position,
                    generation=1,
                    lag_ms=0,
                    payments=payments,
                    passages=[POLICY],
                    looked_up=looked_up,
                )
            )
        return msgspec.msgpack.encode(found)

    async def submit(self, batch: Sequence[Submission]) -> list[Reply]:
        return self._shard.handle(batch)

    def answerer(self, **options: Any) -> Answerer:
        """As after a start of the gateway: it goes on where the last one had got."""
        given: dict[str, Any] = {"ask": self.asker.ask, "submit": self.submit, "clock": self.clock, "pause": at_once}
        progress = Store(self._progress, "")
        return Answerer(self._feed(), self.conversations(), progress, **{**given, **options})

    def conversations(self) -> Conversations:
        return Conversations(self._feed())

    def read_to(self) -> int:
        """How far the log need not be read again."""
        with closing(sqlite3.connect(self._progress)) as connection:
            return int(connection.execute("SELECT position FROM checkpoint").fetchone()[0])

    def forget_progress(self) -> None:
        self._progress = self._directory / "another.sqlite"

    def tell(self, *commands: AnyCommand, chat: str = CHAT) -> None:
        """Something is recorded in a conversation."""
        stream = stream_id("conversation", TENANT, chat)
        replies = self._shard.handle(
            [Submission(stream=stream, command=each, trace=Trace(correlation_id="c-1")) for each in commands]
        )
        assert not [each for each in replies if isinstance(each, Failed)]

    def pay(self, payment_id: str, customer_id: str, number: int = 1) -> None:
        self._shard.handle([record(number, payment_id, customer_id=customer_id)])

    def given(self) -> list[AnswerRecord]:
        """The answers in the ledger."""
        events = [entry.envelope().event for entry in entries_in(self.recorder)]
        return [event.record for event in events if isinstance(event, AnswerGiven)]

    def answered(self) -> list[MessageAnswered]:
        """The answers in conversations, as often as they are in the log."""
        events = [entry.envelope().event for entry in entries_in(self.recorder)]
        return [event for event in events if isinstance(event, MessageAnswered)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    log = new_log(tmp_path)
    yield World(tmp_path, log)
    log.datastore.close()


def wrote(text: str = "How long does a refund take?", message_id: str = "m_1", **fields: Any) -> RecordMessage:
    told = {"author": "customer", "kind": "text", "occurred_at": NOON, **fields}
    return RecordMessage(message=Message(message_id=message_id, text=text, **told))


async def answer_all(answerer: Answerer) -> None:
    while await answerer.turn():
        pass
    await answerer.settled()


async def test_a_question_is_answered_in_its_conversation(world: World) -> None:
    world.tell(wrote())

    await answer_all(world.answerer())

    (answer,), (record) = world.answered(), world.given()
    assert answer.message_id == "m_1"
    assert answer.text == 'From "Refunds": "A refund takes five days."'
    assert [(each.answer_id, each.answer, each.customer_id) for each in record] == [
        (answer.answer_id, answer.text, CHAT)
    ]
    assert entries_in(world.recorder)[-1].envelope().trace.correlation_id == "c-1"


@pytest.mark.parametrize(
    "said",
    [
        wrote("Xin chào"),
        wrote(""),
        wrote("", kind="image", attachments=("image",)),
        wrote("Where is my refund?", author="business"),
    ],
    ids=["greeting", "empty", "image", "business"],
)
async def test_what_is_no_question_gets_no_answer(world: World, said: RecordMessage) -> None:
    world.tell(said)

    await answer_all(world.answerer())

    assert (world.given(), world.answered()) == ([], [])


async def test_a_customer_who_is_known_hears_of_their_own_payments(world: World) -> None:
    world.pay("pi_1", "cus_1")
    world.tell(IdentifyCustomer(customer_id="cus_1"), wrote("Did my payment go through?"))

    await answer_all(world.answerer())

    (answer,), (record,) = world.answered(), world.given()
    assert [each.payment_id for each in record.stated] == ["pi_1"]
    assert "captured" in answer.text
    assert not answer.abstained


@pytest.mark.parametrize("question", ["What is the status of pi_1?", "Refund for ch_1?", "Did my payment go through?"])
@pytest.mark.parametrize("asker", [None, "cus_2"])
async def test_nobody_hears_of_anothers_payments(world: World, question: str, asker: str | None) -> None:
    """And not even whether there are any: the answer is the one that it would be if there were none."""
    world.tell(*([IdentifyCustomer(customer_id=asker)] if asker else []), wrote(question))
    await answer_all(world.answerer())
    world.pay("pi_1", "cus_1")
    world.pay("pi_3", "", number=3)

    world.tell(wrote(question, "m_2"))
    await answer_all(world.answerer())

    before, after = world.answered()
    assert after.text == before.text
    assert [(each.stated, each.fact_ids) for each in world.given()] == [((), ())] * 2


async def test_an_answer_that_somebody_may_hear_is_not_repeated_to_who_may_not(world: World) -> None:
    world.pay("pi_1", "cus_1")
    question = "What is the status of pi_1?"
    told = await world.asker.ask(TENANT, AskRequest(question=question), Trace())
    world.tell(wrote(question))

    await answer_all(world.answerer())

    assert [each.payment_id for each in told.payments] == ["pi_1"]
    assert world.answered()[0].text != told.answer


async def test_a_question_is_answered_once_however_often_the_log_is_read(world: World) -> None:
    world.tell(wrote())
    await answer_all(world.answerer())
    world.tell(IdentifyCustomer(customer_id="cus_1"))
    entries = len(entries_in(world.recorder))

    await answer_all(world.answerer())
    world.forget_progress()
    await answer_all(world.answerer())

    assert len(entries_in(world.recorder)) == entries


async def test_a_crash_between_the_ledger_and_the_conversation_leaves_one_answer(world: World) -> None:
    world.tell(wrote("Did my payment go through?"))
    reached = asyncio.Event()

    async def crash(_: Sequence[Submission]) -> list[Reply]:
        reached.set()
        return await asyncio.Future[list[Reply]]()

    running = asyncio.create_task(world.answerer(submit=crash).run())
    await reached.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    world.pay("pi_1", CHAT)  # Asked again, it would be another answer.

    await answer_all(world.answerer())

    (answer,), (record,) = world.answered(), world.given()
    assert (answer.answer_id, answer.text) == (record.answer_id, record.answer)


async def test_what_was_composed_for_one_customer_is_not_said_to_another_after_a_crash(world: World) -> None:
    world.pay("pi_1", "cus_1")
    world.tell(IdentifyCustomer(customer_id="cus_1"), wrote("Did my payment go through?"))

    await answer_all(
        world.answerer(
            submit=failed_once(world.submit, meanwhile=lambda: world.tell(IdentifyCustomer(customer_id="cus_2")))
        )
    )

    (answer,) = world.answered()
    assert answer.abstained
    assert "captured" not in answer.text


def failed_once(submit: Submit, meanwhile: Callable[[], None] = lambda: None) -> Submit:
    """A way to the shards that fails the first time, when something else happens."""
    calls = 0

    async def call(batch: Sequence[Submission]) -> list[Reply]:
        nonlocal calls
        calls += 1
        if calls == 1:
            meanwhile()
            return [Failed(reason="away", retryable=True)]
        return cast(list[Reply], await submit(batch))

    return call


@pytest.mark.parametrize(
    "error", [RetryableError("away"), ProblemError(503, "index.away", "away"), AssertionError("ours")], ids=repr
)
async def test_what_fails_is_asked_again_and_holds_nobody_up(world: World, error: Exception) -> None:
    world.tell(wrote(), chat="zalo:1")
    world.tell(wrote(), chat="zalo:2")
    is_away, recorded = True, asyncio.Event()

    async def submit(batch: Sequence[Submission]) -> list[Reply]:
        replies = await world.submit(batch)
        recorded.set()
        return replies

    async def ask(tenant: str, request: AskRequest, trace: Trace, *, answer_id: str) -> AnswerJson:
        if is_away and request.customer_id == "zalo:1":
            raise error
        return await world.asker.ask(tenant, request, trace, answer_id=answer_id)

    answerer = world.answerer(ask=ask, submit=submit)
    await answerer.turn()
    await recorded.wait()
    await answerer.turn()
    assert world.read_to() == 0, "the first question is not answered yet"

    is_away = False
    await answerer.settled()

    assert len(world.answered()) == 2
    assert world.read_to() >= 2


async def test_what_is_refused_is_let_go(world: World) -> None:
    world.tell(wrote())

    async def refuse(*_: Any, **__: Any) -> AnswerJson:
        raise ProblemError(400, "question.empty", "no words")

    with capture_logs() as lines:
        await answer_all(world.answerer(ask=refuse))

    assert [(line["event"], line["code"]) for line in lines] == [("answer_refused", "question.empty")]


@pytest.mark.parametrize(("age", "answers"), [(timedelta(0), 1), (REPLY_WITHIN, 0)])
async def test_a_question_that_nobody_may_reply_to_any_more_is_let_go(
    world: World, age: timedelta, answers: int
) -> None:
    world.tell(wrote(occurred_at=NOON - age))

    await answer_all(world.answerer())

    assert len(world.answered()) == answers


async def test_a_request_for_erasure_is_told_and_what_was_asked_before_is_not_answered(world: World) -> None:
    world.tell(wrote(), RequestErasure(occurred_at=NOON), wrote(message_id="m_2", occurred_at=NOON + timedelta(1)))

    with capture_logs() as lines:
        await answer_all(world.answerer())

    assert [each.message_id for each in world.answered()] == ["m_2"]
    (told,) = [line for line in lines if line["event"] == "erasure_requested"]
    assert (told["tenant"], told["conversation_id"]) == (TENANT, CHAT)


async def test_no_log_line_says_what_was_asked(world: World) -> None:
    world.tell(wrote("How long does a refund for Nguyễn Văn An take?"))

    with capture_logs() as lines:
        await answer_all(world.answerer(submit=failed_once(world.submit)))

    assert {line["event"] for line in lines} == {"answer_delayed", "question_answered"}
    assert "Nguyễn" not in repr(lines)


async def test_a_loop_that_ends_leaves_nothing_under_way(world: World) -> None:
    world.tell(wrote())
    asked = asyncio.Event()

    async def never(*_: Any, **__: Any) -> AnswerJson:
        asked.set()
        return await asyncio.Future[AnswerJson]()

    running = asyncio.create_task(world.answerer(ask=never).run())
    await asked.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert world.answered() == []
