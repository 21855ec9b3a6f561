"""Answers what customers ask in chats: follows the log, asks for each question, and records the answer beside it.

The log is read at least once and each question is answered once: the answer's id is made of the message's, so that what
is done again after a crash is found to be done. How far the log is read is kept where the projectors keep it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

import msgspec
import structlog

from actors.tasks import end
from domain.codec import Envelope, Submission, tag_of
from domain.conversation import AnswerMessage, ErasureRequested, Message, MessageReceived
from domain.effects import ERRAND_ATTEMPTS_MAX, Effect, RequestEffect, effect_key
from domain.errors import RetryableError
from domain.ids import StreamId, stream_id
from domain.message import Failed, Rejected, Reply, Trace
from gateway.answering.understand import understand
from gateway.asking import QUESTION_CHARS_MAX, AnswerJson, AskRequest
from gateway.http.problems import ProblemError
from projections.conversations import Conversations
from projections.feed import Feed, LogEntry
from projections.store import Store

TOPICS = (tag_of(MessageReceived), tag_of(ErasureRequested))
# A business may reply for 48 hours after a customer's last message
# (https://developers.zalo.me/docs/official-account/tin-nhan/tin-tu-van); what is older was meant for a person then.
REPLY_WITHIN = timedelta(hours=48)
PAGE_MAX = 200
UNDER_WAY_MAX = 1_000
ASKED_AT_ONCE_MAX = 32
POLL_S = 0.1
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 30.0

log = structlog.get_logger("conversations")


class Ask(Protocol):
    """Answers a question under an id that is given."""

    async def __call__(self, tenant: str, request: AskRequest, trace: Trace, *, answer_id: str) -> AnswerJson: ...


class _Question(msgspec.Struct, frozen=True, kw_only=True):
    """A message that asks something, where it lies in the log, and what it came with."""

    tenant: str
    conversation_id: str
    stream: StreamId
    message: Message
    position: int
    trace: Trace


class Answerer:
    """Answers the questions in all conversations, in whatever tenant.

    Args:
        feed: the log.
        conversations: reads them from the log.
        progress: keeps how far the log is read.
        ask: answers one question.
        submit: sends commands to the shards, one reply each, in order.
        clock: the time of answering.
        can_reply: whether a tenant's chats can be written to; then the answer is sent as well, as an effect.
        pause: waits that many seconds before a question is asked again.
    """

    def __init__(
        self,
        feed: Feed,
        conversations: Conversations,
        progress: Store,
        *,
        ask: Ask,
        submit: Callable[[Sequence[Submission]], Awaitable[list[Reply]]],
        clock: Callable[[], datetime],
        can_reply: Callable[[str], bool] = lambda tenant: False,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._feed = feed
        self._conversations = conversations
        self._progress = progress
        self._ask = ask
        self._submit = submit
        self._clock = clock
        self._can_reply = can_reply
        self._pause = pause
        self._read_to = self._kept = progress.position()
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(ASKED_AT_ONCE_MAX)

    async def run(self) -> None:
        """Answer for as long as the task lives; what is under way ends with it and is taken up again later."""
        try:
            while True:
                if not await self._try_turn():
                    await self._pause(POLL_S)
        finally:
            await end(self._under_way.values())

    async def _try_turn(self) -> bool:
        try:
            return await self.turn()
        except Exception as error:  # noqa: BLE001 - a loop that ends would leave every customer without an answer
            log.warning("conversations_not_read", reason=f"{type(error).__name__}: {error}")
            return False

    async def turn(self) -> bool:
        """Read on, take up what is asked, and keep how far all is done. Returns whether there may be more to read."""
        room = min(PAGE_MAX, UNDER_WAY_MAX - len(self._under_way))
        if room <= 0:
            await self._keep_progress()
            return False
        page = await asyncio.to_thread(self._feed.read, self._read_to, limit=room, topics=TOPICS)
        for entry in page.entries:
            self._take_up(entry)
        self._read_to = page.position
        await self._keep_progress()
        return len(page.entries) == room

    async def settled(self) -> None:
        """Returns once nothing that was read is left to be answered."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())
        await self._keep_progress()

    async def _keep_progress(self) -> None:
        """What lies before the first question that is not answered yet need not be read again."""
        done = min(self._under_way, default=self._read_to + 1) - 1
        if done > self._kept:
            await asyncio.to_thread(self._keep, done)
            self._kept = done

    def _keep(self, position: int) -> None:
        with self._progress.writing(position):
            pass

    def _take_up(self, entry: LogEntry) -> None:
        try:
            envelope = entry.envelope()
        except msgspec.DecodeError as error:
            log.exception("message_unreadable", position=entry.position, stream=entry.stream, exc_info=error)
            return
        if isinstance(envelope.event, ErasureRequested):
            # Whoever operates this owes the customer that it is done.
            log.warning("erasure_requested", tenant=entry.tenant, conversation_id=entry.key, position=entry.position)
            return
        question = _question(entry, envelope)
        if question is None:
            return
        task = asyncio.create_task(self._settle(question))
        self._under_way[entry.position] = task
        task.add_done_callback(lambda _: self._under_way.pop(entry.position))

    async def _settle(self, question: _Question) -> None:
        """Answer one question, however often it takes: until it is answered, refused or too old."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                async with self._slots:
                    await self._answer(question)
                return
            except ProblemError as problem:
                if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    log.error("answer_refused", **_names(question), code=problem.code)  # noqa: TRY400 - no mistake of ours
                    return
                log.warning("answer_delayed", **_names(question), reason=problem.detail)
            except Exception as error:  # noqa: BLE001 - whatever it is, the customer still waits
                log.warning("answer_delayed", **_names(question), reason=f"{type(error).__name__}: {error}")
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def _answer(self, question: _Question) -> None:
        tenant, message = question.tenant, question.message
        found = await asyncio.to_thread(self._conversations.one, tenant, question.conversation_id)
        assert found is not None, f"{question.stream} has a message at {question.position}"
        state = found.conversation
        if message.message_id in state.answers:
            return
        if state.is_to_be_erased(message) or self._clock() - message.occurred_at > REPLY_WITHIN:
            log.info("question_let_go", **_names(question), is_to_be_erased=state.is_to_be_erased(message))
            return
        # Whoever is not identified is nobody's customer: another's payments are as if they were not there.
        scope = state.customer_id or question.conversation_id
        answer_id = answer_id_of(question.stream, message.message_id, scope)
        record = await asyncio.to_thread(self._conversations.answer, tenant, answer_id)
        if record is not None:
            # A crash came between the ledger and the conversation: what was said then is said now.
            text, abstained = record.answer, record.abstained
        else:
            request = AskRequest(
                question=message.text[:QUESTION_CHARS_MAX], customer_id=scope, min_position=question.position
            )
            given = await self._ask(tenant, request, question.trace, answer_id=answer_id)
            text, abstained = given.answer, given.abstained
        answer = AnswerMessage(message_id=message.message_id, answer_id=answer_id, text=text, abstained=abstained)
        if self._can_reply(tenant):
            # First: a question that is recorded as answered is not looked at again.
            await self._request_reply(question, answer)
        await self._record(question, answer)

    async def _request_reply(self, question: _Question, answer: AnswerMessage) -> None:
        """Have the answer said in the chat, once, and not after the time in which a business may reply."""
        key = effect_key(question.tenant, answer.answer_id, "reply")
        effect = Effect(
            kind="reply",
            key=key,
            tenant=question.tenant,
            due_at=self._clock(),
            to=question.conversation_id,
            text=answer.text,
            reason="a question was answered",
            attempts_max=ERRAND_ATTEMPTS_MAX,
            not_after=question.message.occurred_at + REPLY_WITHIN,
        )
        submission = Submission(
            stream=stream_id("effect", question.tenant, key),
            command=RequestEffect(effect=effect),
            command_id=key,
            trace=question.trace,
        )
        match await self._submit([submission]):
            case [Failed(reason=reason)]:
                raise RetryableError(reason)
            case [Rejected(code=code)]:
                log.error("answer_refused", **_names(question), code=code)

    async def _record(self, question: _Question, answer: AnswerMessage) -> None:
        submission = Submission(
            stream=question.stream,
            command=answer,
            command_id=f"answer:{answer.message_id}",
            trace=question.trace,
        )
        match await self._submit([submission]):
            case [Failed(reason=reason)]:
                raise RetryableError(reason)
            case [Rejected(code=code)]:
                log.error("answer_refused", **_names(question), code=code)
            case _:
                log.info(
                    "question_answered",
                    **_names(question),
                    answer_id=answer.answer_id,
                    abstained=answer.abstained,
                )


def is_question(message: Message) -> bool:
    """Whether a customer asks something that an answer could be given to; greetings and thanks need none."""
    return message.author == "customer" and bool(message.text) and understand(message.text).intent != "unknown"


def answer_id_of(stream: str, message_id: str, scope: str) -> str:
    """The id of the answer to a message, 32 hexadecimal characters.

    It is another one for another scope: what was composed for one customer is never given to another.
    """
    return hashlib.sha256(f"{stream}\n{message_id}\n{scope}".encode()).hexdigest()[:32]


def _question(entry: LogEntry, envelope: Envelope) -> _Question | None:
    event = envelope.event
    if not isinstance(event, MessageReceived) or not is_question(event.message):
        return None
    return _Question(
        tenant=entry.tenant,
        conversation_id=entry.key,
        stream=StreamId(entry.stream),
        message=event.message,
        position=entry.position,
        trace=envelope.trace,
    )


def _names(question: _Question) -> dict[str, str]:
    """What a log line may say of a question; never its words."""
    return {
        "tenant": question.tenant,
        "conversation_id": question.conversation_id,
        "message_id": question.message.message_id,
        "correlation_id": question.trace.correlation_id,
    }
