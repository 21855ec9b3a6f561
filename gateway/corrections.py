"""Finds the answers that were wrong when they were given, and says so: in the log, on the bus, and to the customer.

The log is followed at least once. An answer is due from the commit that makes it so until it is judged, and a
correction is open until it is published and sent, so that a crash at any point repeats work and misses none. What is
repeated changes nothing: the ledger enters each new truth once, and an effect has a key.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec
import structlog

from domain.answer import JudgeAnswer, untrue
from domain.codec import Submission
from domain.effects import ERRAND_ATTEMPTS_MAX, Effect, RequestEffect, effect_key
from domain.errors import FencedError, RetryableError, TerminalError
from domain.evidence import PaymentEvidence, evidence
from domain.fact import RecordedFact
from domain.ids import stream_id
from domain.message import Accepted, Failed, Rejected, Reply, Trace
from domain.payment import PaymentView, view
from domain.tenant_settings import TenantSettings
from gateway.answering.correcting import correction, reinstatement
from gateway.conversations import REPLY_WITHIN
from gateway.http.correction_views import CorrectionJson, ReinstatedJson, correction_json, reinstated_json
from projections.answer_ledger import TOPICS, AnswerFound, AnswerLedger, AnswerStore, Correction
from projections.conversations import Conversations
from projections.feed import Feed, LogEntry
from projections.progress import Progress
from projections.projector import Projector, Step

PAGE_MAX = 2_000
JUDGED_MAX = 100
HINTED_MAX = 100
POLL_S = 0.1
# Derived files that are rebuilt find every correction again. What was found out longer ago was sent then, or was not to
# be sent.
SEND_WITHIN = timedelta(days=2)

log = structlog.get_logger("corrections")

Submit = Callable[[Sequence[Submission]], Awaitable[list[Reply]]]


Way = Literal["notify", "reply"]


def ways_of(settings: TenantSettings) -> frozenset[Way]:
    """How a tenant's customers may be told of corrections: in their chat, through the merchant's endpoint, or not."""
    match settings.corrections:
        case "none":
            return frozenset()
        case "notify":
            return frozenset({"notify"})
        case "reply":
            return frozenset({"reply"} if settings.notify is None else {"reply", "notify"})


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation in which an answer was given: until when it may be written to, and whether it may at all."""

    conversation_id: str
    ends_at: datetime
    is_to_be_erased: bool = False


class Publish(Protocol):
    """Publishes to a subject. Raises `RetryableError` while the bus is away."""

    async def __call__(self, subject: str, payload: bytes) -> None: ...


class Corrector:
    """Judges the answers of all tenants.

    Args:
        feed: the log, to follow.
        ledger: the answers by what they relied on.
        progress: how far the log is read.
        conversations: who asked for erasure is not written to.
        judge: takes commands to the answers' streams, one reply each, in order.
        request: takes requests for effects to the shards.
        publish: tells anyone on the bus.
        ways: how a tenant's customers may be told.
        clock: the time of correcting.
        pause: waits that many seconds where there is nothing to do.
        at_point: called with the name of each point at which a crash matters; tests and simulations hook in here.
    """

    def __init__(
        self,
        feed: Feed,
        ledger: AnswerLedger,
        progress: Progress,
        *,
        conversations: Conversations,
        judge: Submit,
        request: Submit,
        publish: Publish,
        ways: Callable[[str], Collection[Way]],
        clock: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        at_point: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._ledger = ledger
        self._progress = progress
        self._conversations = conversations
        self._judge = judge
        self._request = request
        self._publish = publish
        self._ways = ways
        self._clock = clock
        self._pause = pause
        self._at_point = at_point
        self._projector = Projector(
            feed,
            topics=TOPICS,
            store_of=ledger.store,
            position=progress.resume_position(lambda tenant: ledger.store(tenant).store.position()),
            batch_max=PAGE_MAX,
            on_parked=_on_parked,
            at_point=at_point,
        )
        self._busy = set(ledger.tenants())
        # Every answer is judged by all that lies up to here, and the judgements are listed.
        self.position = 0
        # How often answers were found wrong, and right after all, since the start.
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Correct for as long as the task lives, or until another process owns the files."""
        while True:
            try:
                is_busy = await self._try_turn()
            except FencedError as error:
                log.warning("corrections_fenced", reason=error.reason)
                return
            if not is_busy:
                await self._pause(POLL_S)

    async def _try_turn(self) -> bool:
        try:
            return await self.turn()
        except FencedError:
            raise
        except Exception as error:  # noqa: BLE001 - a loop that ends would leave every wrong answer standing
            log.warning("corrections_delayed", reason=f"{type(error).__name__}: {error}")
            return False

    async def turn(self) -> bool:
        """Read on, judge what is due, tell what was found. Returns whether there may be more to read."""
        step = await asyncio.to_thread(self._apply)
        self._busy |= step.changed.keys()
        for tenant, answer_ids in step.changed.items():
            if answer_ids:
                hint = {"position": step.position, "changed": sorted(answer_ids)[:HINTED_MAX]}
                await self._published(f"answers.{tenant}", msgspec.json.encode(hint))
        is_news, is_judged = False, True
        for tenant in sorted(self._busy):
            try:
                is_news |= await self._judge_due(tenant)
                if await self._tell(tenant):
                    self._busy.discard(tenant)
            except (RetryableError, TerminalError, msgspec.DecodeError, sqlite3.Error) as error:
                # The others' corrections do not wait for it.
                log.warning("corrections_delayed", tenant=tenant, reason=f"{type(error).__name__}: {error}")
                is_judged = False
        if is_judged and not is_news:
            self.position = step.position
        return is_news or step.applied >= PAGE_MAX

    def _apply(self) -> Step:
        step = self._projector.run_once()
        if step.changed or step.position > self._progress.position() + PAGE_MAX:
            reached = [(tenant, self._ledger.store(tenant).store.position()) for tenant in step.changed]
            self._progress.reach(step.position, reached)
        return step

    async def _judge_due(self, tenant: str) -> bool:
        """Returns whether there are judgements in the log that are still to be read."""
        store = self._ledger.store(tenant)
        is_news = False
        while due := await asyncio.to_thread(store.due, JUDGED_MAX):
            judged = await asyncio.to_thread(self._judgements, tenant, due)
            self._at_point("before_judging")
            replies = await self._judge([submission for submission, _ in judged])
            for (submission, found), reply in zip(judged, replies, strict=True):
                self._note(tenant, submission, found, reply)
                is_news |= isinstance(reply, Accepted)
            self._at_point("before_judged")
            await asyncio.to_thread(store.judged, due)
        return is_news

    def _judgements(self, tenant: str, answer_ids: Sequence[str]) -> list[tuple[Submission, AnswerFound]]:
        """The commands that enter what is known now of these answers; none for one that stands as it always did."""
        facts: dict[str, list[RecordedFact]] = {}
        judged = []
        for answer_id in answer_ids:
            try:
                found = self._ledger.answer(tenant, answer_id)
                stated = [said.payment_id for said in found.record.stated] if found else []
                facts |= {each: self._ledger.facts(tenant, each) for each in stated if each not in facts}
            except msgspec.DecodeError as error:
                # Read again when the payment changes again, by a version that can.
                log.exception("answer_unreadable", tenant=tenant, answer_id=answer_id, exc_info=error)
                continue
            if found is not None and (command := _judgement(found, facts)) is not None:
                submission = Submission(
                    stream=stream_id("answer", tenant, answer_id),
                    command=command,
                    trace=Trace(correlation_id=found.correlation_id),
                )
                judged.append((submission, found))
        return judged

    def _note(self, tenant: str, submission: Submission, found: AnswerFound, reply: Reply) -> None:
        """Raises `RetryableError` if the ledger cannot commit now; what it never will is told and let go."""
        command, answer_id = submission.command, found.record.answer_id
        assert isinstance(command, JudgeAnswer)
        match reply:
            case Failed(reason=reason, retryable=True):
                raise RetryableError(reason)
            case Failed(reason=code) | Rejected(code=code):
                log.error("answer_not_judged", tenant=tenant, answer_id=answer_id, code=code)
            case Accepted(position=position) if command.untrue:
                self.counts["invalidated"] += 1
                log.info(
                    "answer_invalidated",
                    tenant=tenant,
                    answer_id=answer_id,
                    payment_ids=[each.said.payment_id for each in command.untrue],
                    fields=sorted({field for each in command.untrue for field in each.fields}),
                    fact_ids=[fact.fact_id for each in command.untrue for fact in each.facts],
                    times_given=found.times_given,
                    given_s=round((self._clock() - found.record.given_at).total_seconds()),
                    position=position,
                    correlation_id=found.correlation_id,
                )
            case Accepted(position=position):
                self.counts["reinstated"] += 1
                log.info("answer_reinstated", tenant=tenant, answer_id=answer_id, position=position)

    async def _tell(self, tenant: str) -> bool:
        """Publish and send what is open. Returns whether nothing is left."""
        store = self._ledger.store(tenant)
        is_all, after = True, 0
        while page := await asyncio.to_thread(store.corrections, after, limit=JUDGED_MAX, is_open=True):
            for each in page:
                is_all &= await self._tell_one(tenant, store, each)
            after = page[-1].position
        return is_all

    async def _tell_one(self, tenant: str, store: AnswerStore, told: Correction) -> bool:
        found = await asyncio.to_thread(self._ledger.answer, tenant, told.answer_id)
        if found is None or found.position != told.position:
            return False  # A newer word about it is in the log, and is read next.
        said = await asyncio.to_thread(self._json, tenant, found, told)
        event = {"type": "answer.invalidated" if told.is_wrong else "answer.reinstated", **said}
        is_published = told.is_published or await self._published(f"corrections.{tenant}", msgspec.json.encode(event))
        is_sent = told.is_sent or await self._sent(tenant, found, told, msgspec.json.encode(said))
        self._at_point("before_told")
        await asyncio.to_thread(store.settle, told, is_published=is_published, is_sent=is_sent)
        return is_published and is_sent

    def _json(self, tenant: str, found: AnswerFound, told: Correction) -> dict[str, object]:
        if told.is_wrong:
            now = payments_now(self._ledger, tenant, found)
            said: CorrectionJson | ReinstatedJson = correction_json(found, told.conversation_id, now, at=self._clock())
        else:
            said = reinstated_json(found)
        told_of: dict[str, object] = msgspec.to_builtins(said)
        return told_of

    async def _published(self, subject: str, payload: bytes) -> bool:
        try:
            await self._publish(subject, payload)
        except RetryableError as error:
            log.debug("not_published", subject=subject, reason=error.reason)
            return False
        return True

    async def _sent(self, tenant: str, found: AnswerFound, told: Correction, payload: bytes) -> bool:
        """Have it sent, if that is wanted and still makes sense. Returns whether nothing is left to do."""
        ways, at = self._ways(tenant), self._clock()
        assert found.judged_at is not None
        if not ways or at - found.judged_at > SEND_WITHIN:
            return True
        chat = await asyncio.to_thread(self._chat, tenant, told) if "reply" in ways and told.conversation_id else None
        if chat is not None and chat.ends_at <= at:
            chat = None
        effect = effect_of(tenant, found, told, chat, payload.decode())
        if effect.kind not in ways or (chat is not None and chat.is_to_be_erased):
            return True
        submission = Submission(
            stream=stream_id("effect", tenant, effect.key),
            command=RequestEffect(effect=effect),
            command_id=effect.key,
            trace=Trace(correlation_id=found.correlation_id),
        )
        match await self._request([submission]):
            case [Failed(reason=reason)]:
                log.warning("corrections_delayed", tenant=tenant, reason=reason)
                return False
            case [Rejected(code=code)] if code != "effect.key_reused":
                log.error("correction_refused", tenant=tenant, answer_id=told.answer_id, code=code)
            case _:
                log.info("correction_requested", tenant=tenant, answer_id=told.answer_id, way=effect.kind)
        return True

    def _chat(self, tenant: str, told: Correction) -> Chat:
        """The conversation as it is now. A business may write for a while after the customer's last message."""
        found = self._conversations.one(tenant, told.conversation_id)
        assert found is not None, f"{told.answer_id} was given in {told.conversation_id}, which is not there"
        state = found.conversation
        answered = [each.message_id for each in state.answers.values() if each.answer_id == told.answer_id]
        return Chat(
            conversation_id=told.conversation_id,
            ends_at=max(each.occurred_at for each in state.messages.values() if each.author == "customer")
            + REPLY_WITHIN,
            is_to_be_erased=any(state.is_to_be_erased(state.messages[message_id]) for message_id in answered),
        )


def effect_of(tenant: str, found: AnswerFound, told: Correction, chat: Chat | None, body: str) -> Effect:
    """What tells the customer: a reply in the chat, or without one a notification with `body` to the merchant."""
    assert found.judged_at is not None, "only what was judged is sent"
    kind: Way = "notify" if chat is None else "reply"
    step = f"{kind}-{told.position}"
    return Effect(
        kind=kind,
        due_at=found.judged_at,
        step=step,
        key=effect_key(tenant, told.answer_id, step),
        tenant=tenant,
        payment_id=next((each.said.payment_id for each in found.untrue), ""),
        to="" if chat is None else chat.conversation_id,
        topic="answer.invalidated" if told.is_wrong else "answer.reinstated",
        text=body if chat is None else found.text,
        reason="an answer was wrong when it was given" if told.is_wrong else "an answer was right after all",
        attempts_max=ERRAND_ATTEMPTS_MAX,
        not_after=found.judged_at + SEND_WITHIN if chat is None else chat.ends_at,
    )


def payments_now(ledger: AnswerLedger, tenant: str, found: AnswerFound) -> dict[str, PaymentView | None]:
    """The payments of which an answer was wrong, as they are known now, by the ids that it stated."""
    ids = [each.said.payment_id for each in found.untrue]
    return {payment_id: view(payment_id, ledger.facts(tenant, payment_id)) for payment_id in ids}


def _judgement(found: AnswerFound, facts: Mapping[str, Sequence[RecordedFact]]) -> JudgeAnswer | None:
    wrong = untrue(found.record, facts, found.repeated_at)
    if wrong:
        now = {each.said.payment_id: evidence(each.said.payment_id, facts[each.said.payment_id]) for each in wrong}
        known: dict[str, PaymentEvidence] = {payment_id: each for payment_id, each in now.items() if each is not None}
        return JudgeAnswer(untrue=wrong, text=correction(wrong, known, found.record.basis.language))
    if found.untrue:
        return JudgeAnswer(text=reinstatement(found.untrue[0].given_at, found.record.basis.language))
    return None


def _on_parked(entry: LogEntry, error: str) -> None:
    log.error("event_parked", position=entry.position, stream=entry.stream, topic=entry.topic, reason=error)
