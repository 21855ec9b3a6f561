"""Answering a question: exact cache, micro-batch, one call to the tenant's index shard, composition, ledger."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from actors.builder import GENERATION_KEY
from actors.changes import Change
from actors.index import DOCUMENTS, PAYMENTS
from domain.answer import AnswerRecord, Basis, CitedDocument, stated
from domain.errors import RetryableError
from domain.ids import is_object_id
from domain.message import Trace
from domain.payment import PaymentView
from domain.settings import AskSettings
from gateway.answer_cache import KNOWLEDGE, AnswerCache, Dependency, Key
from gateway.answering.compose import Composition, compose
from gateway.answering.evidence import DocumentCited, FactCited, Passage
from gateway.answering.understand import understand
from gateway.changes import Listener
from gateway.http.problems import ProblemError
from gateway.http.views import PaymentJson, Timestamp, payment_json, timestamp
from gateway.ledger import Ledger
from gateway.privacy.scrub import scrub
from projections.retrieval import AnyFound, Gather, Gathered, NotYet

QUESTION_CHARS_MAX = 2_000
GATHERS_MAX = 64
# However many tenants ask at once: below this a batch saves little.
GATHERS_MIN = 4


class AskRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question in the customer's words, and what it is about where that is known.

    `customer_id` restricts the answer to one customer's payments: another's are as if they were not there.
    """

    question: Annotated[str, Meta(min_length=1, max_length=QUESTION_CHARS_MAX)]
    customer_id: Annotated[str, Meta(max_length=200)] | None = None
    payment_id: Annotated[str, Meta(max_length=200)] | None = None
    as_of: datetime | None = None
    known_at: Annotated[int, Meta(ge=0)] | None = None
    min_position: Annotated[int, Meta(ge=0)] = 0
    top_k: Annotated[int, Meta(ge=0, le=20)] | None = None


class AnswerJson(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with its evidence, and from which log position and index generation it speaks."""

    answer_id: str
    answer: str
    abstained: bool
    intent: str
    payments: list[PaymentJson]
    citations: list[Any]
    position: int
    lag_ms: int
    generation: int
    as_of: Timestamp
    cached: bool


class Lane:
    """One tenant's questions that wait a few milliseconds for company; one batch of them is under way at a time.

    Args:
        call: calls the tenant's index shard.
        linger_s: how long the first one waits.
        busy: the lanes in which somebody waits; each has an equal share of a batch, so that nobody waits behind all
            that another tenant asks.
    """

    def __init__(self, call: Callable[[str, bytes], Awaitable[bytes]], linger_s: float, busy: "set[Lane]") -> None:
        self._call = call
        self._linger_s = linger_s
        self._busy = busy
        self._waiting: list[tuple[Gather, asyncio.Future[AnyFound]]] = []
        self._flush: asyncio.Task[None] | None = None

    async def ask(self, query: Gather) -> AnyFound:
        """What is found for the query."""
        found: asyncio.Future[AnyFound] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, found))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        return await found

    async def _flush_all(self) -> None:
        self._busy.add(self)
        try:
            while self._waiting:
                await asyncio.sleep(self._linger_s)
                count = max(GATHERS_MIN, GATHERS_MAX // len(self._busy))
                batch, self._waiting = self._waiting[:count], self._waiting[count:]
                await self._serve(batch)
        finally:
            self._busy.discard(self)

    async def _serve(self, batch: Sequence[tuple[Gather, asyncio.Future[AnyFound]]]) -> None:
        try:
            replies = await query_all(self._call, [query for query, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait, not to this task
            for _, found in batch:
                if not found.done():
                    found.set_exception(error)
            return
        for (_, found), reply in zip(batch, replies, strict=True):
            if not found.done():
                found.set_result(reply)


_found = msgspec.msgpack.Decoder(list[AnyFound])


async def query_all(call: Callable[[str, bytes], Awaitable[bytes]], queries: Sequence[Any]) -> list[AnyFound]:
    """Ask an index shard several queries in one call."""
    return _found.decode(await call("query", msgspec.msgpack.encode(list(queries))))


class Asker:
    """Answers the questions of all tenants.

    Args:
        call_of: tenant -> how to call its index shard.
        listener_of: tenant -> who hears its changes.
        ledger: where answers are entered before they leave.
        settings: limits.
        clock: the time of asking.
        new_id: makes answer ids.
        clean: tenant, text -> the text without personal data.
    """

    def __init__(
        self,
        *,
        call_of: Callable[[str], Callable[[str, bytes], Awaitable[bytes]]],
        listener_of: Callable[[str], Listener],
        ledger: Ledger,
        settings: AskSettings,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        clean: Callable[[str, str], str] = lambda _, text: scrub(text),
    ) -> None:
        self._clean = clean
        self._salt = secrets.token_bytes(16)
        self._call_of = call_of
        self._listener_of = listener_of
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._lanes: dict[str, Lane] = {}
        self._busy: set[Lane] = set()
        self.cache: AnswerCache[AnswerJson] = AnswerCache(settings.cache_entries_max)

    def on_change(self, change: Change) -> None:
        """Evict what depends on what a projector changed."""
        for tenant, keys in change.changed.items():
            if change.projection == DOCUMENTS:
                self.cache.changed([(tenant, KNOWLEDGE)], change.position)
            else:
                self.cache.changed([(tenant, key) for key in keys], change.position)

    async def ask(self, tenant: str, request: AskRequest, trace: Trace, *, answer_id: str = "") -> AnswerJson:
        """The answer, entered in the ledger. Raises `ProblemError` or `RetryableError`.

        A caller who names the `answer_id` gets an answer of its own under it, never one that was given to another.
        """
        _check(request)
        listener = self._listener_of(tenant)
        is_current = request.as_of is None and request.known_at is None
        if is_current and not listener.is_hearing():
            self.cache.bypasses += 1
        key = self._key(tenant, request)
        heard = min((listener.projected.get(name, 0) for name in (PAYMENTS, DOCUMENTS)), default=0)
        if is_current and listener.is_hearing() and request.min_position <= heard and not answer_id:
            cached = self.cache.get(key)
            if cached is not None:
                # Nothing that it depends on changed up to the position that was heard last.
                position = max(cached.position, heard)
                await _entered(self._ledger.repeat(tenant, cached.answer_id))
                return msgspec.structs.replace(
                    cached, cached=True, position=position, lag_ms=0, as_of=timestamp(self._clock())
                )
        return await self._answer(tenant, request, trace, key if is_current else None, answer_id or self._new_id())

    def _key(self, tenant: str, request: AskRequest) -> Key:
        top_k = self._settings.top_k if request.top_k is None else request.top_k
        return (
            tenant,
            request.customer_id or "",
            request.payment_id or "",
            # Keyed, and forgotten with the process: what customers ask is not kept as they wrote it.
            blake2b(" ".join(request.question.split()).encode(), key=self._salt, digest_size=16).hexdigest(),
            str(top_k),
        )

    async def _answer(
        self, tenant: str, request: AskRequest, trace: Trace, key: Key | None, answer_id: str
    ) -> AnswerJson:
        # Ids and amounts are read from the question itself; everything after that sees it without personal data.
        understanding = understand(request.question)
        question = self._clean(tenant, request.question)
        named = (request.payment_id,) if request.payment_id else (*understanding.payment_ids, *understanding.object_ids)
        gathered = await self._gather(
            tenant,
            Gather(
                tenant=tenant,
                min_position=request.min_position,
                question=question,
                object_ids=named,
                scope_customer_id=request.customer_id or "",
                # Whether something was charged twice shows beside it, not in it.
                is_beside=understanding.intent == "charged_twice",
                as_of=request.as_of,
                known_at=request.known_at,
                top_k=self._settings.top_k if request.top_k is None else request.top_k,
            ),
        )
        composition = compose(
            question,
            understanding,
            gathered.payments,
            [msgspec.convert(each, Passage, from_attributes=True) for each in gathered.passages],
            min_score=self._settings.min_score,
        )
        now = self._clock()
        views = {each.view.payment_id: each.view for each in gathered.payments}
        said = [views[payment_id] for payment_id in composition.stated_payment_ids]
        shown = [views[payment_id] for payment_id in composition.payment_ids]
        # A fact is visible a moment before its position is announced, and an answer never cites what it is behind.
        position = max([gathered.position, *(payment.position for payment in shown)])
        # A provider's clock may be ahead of ours: the answer speaks of all that it was told, and of nothing to come.
        latest = max([now, *(payment.occurred_at for payment in said)])
        facts = [each for each in composition.citations if isinstance(each, FactCited)]
        record = AnswerRecord(
            answer_id=answer_id,
            question=question,
            intent=composition.intent,
            answer=composition.answer,
            customer_id=request.customer_id or "",
            abstained=composition.abstained,
            stated=tuple(stated(payment) for payment in said),
            fact_ids=tuple(each.fact_id for each in facts),
            documents=tuple(
                CitedDocument(document_id=each.document_id, version=each.version)
                for each in composition.citations
                if isinstance(each, DocumentCited)
            ),
            position=position,
            generation=gathered.generation,
            as_of=min(request.as_of or latest, latest),
            given_at=now,
            basis=Basis(
                known_to=gathered.position,
                known_at=request.known_at,
                fact_positions=tuple(each.position for each in facts),
            ),
        )
        await _entered(self._ledger.enter(tenant, record, trace))
        answer = _answer_json(record, composition, shown, gathered, request.as_of or latest)
        if key is not None:
            self.cache.store(key, answer, _dependencies(tenant, gathered))
        return answer

    async def _gather(self, tenant: str, query: Gather) -> Gathered:
        call = self._call_of(tenant)
        lane = self._lanes.get(tenant)
        if lane is None:
            lane = self._lanes[tenant] = Lane(call, self._settings.linger_ms / 1000, self._busy)
        found = await lane.ask(query)
        if isinstance(found, NotYet):
            needed = (PAYMENTS, DOCUMENTS) if query.top_k else (PAYMENTS,)
            if not await self._listener_of(tenant).wait_for(needed, query.needs_position, self._settings.wait_s):
                raise position_not_reached(query.needs_position)
            found = await lane.ask(query)
            if isinstance(found, NotYet):
                raise position_not_reached(query.needs_position)
        assert isinstance(found, Gathered), f"a gathering was answered by {type(found).__name__}"
        return found


def position_not_reached(position: int) -> ProblemError:
    """The problem for a projection that did not get there in time."""
    return ProblemError(
        503,
        "position.not_reached",
        f"the projection has not reached position {position} yet; ask again",
        {"Retry-After": "1"},
    )


async def _entered(entering: Awaitable[None]) -> None:
    """Wait for the ledger. Raises `ProblemError` 503: what is not in the ledger is not said."""
    try:
        await entering
    except RetryableError as error:
        raise ProblemError(503, "ledger.not_durable", f"{error.reason}; ask again", {"Retry-After": "1"}) from error


def _check(request: AskRequest) -> None:
    if not request.question.strip():
        raise ProblemError(400, "question.empty", "ask something: the question has no words")
    for name in ("customer_id", "payment_id"):
        value = getattr(request, name)
        if value is not None and not is_object_id(value):
            raise ProblemError(400, "id.invalid", f"{name}: 1 to 200 letters, digits and any of _.:@=+~-")
    if request.as_of is not None and request.as_of.tzinfo is None:
        raise ProblemError(400, "time.without_zone", "as_of: give the time with its zone, e.g. 2026-11-22T10:00:00Z")


def _answer_json(
    record: AnswerRecord, composition: Composition, shown: Sequence[PaymentView], gathered: Gathered, as_of: datetime
) -> AnswerJson:
    return AnswerJson(
        answer_id=record.answer_id,
        answer=composition.answer,
        abstained=composition.abstained,
        intent=composition.intent,
        payments=[payment_json(payment, as_of=as_of) for payment in shown],
        citations=[msgspec.to_builtins(each) for each in composition.citations],
        position=record.position,
        lag_ms=gathered.lag_ms,
        generation=gathered.generation,
        as_of=timestamp(as_of),
        cached=False,
    )


def _dependencies(tenant: str, gathered: Gathered) -> dict[Dependency, int]:
    """Whatever, if it changed, could change the answer: payments looked up, found or not, documents, the generation."""
    depends_on: dict[Dependency, int] = {(tenant, each): gathered.position for each in gathered.looked_up}
    depends_on[tenant, KNOWLEDGE] = gathered.knowledge_position
    # Told when another is promoted: an answer of a retired generation is neither served nor kept any more.
    depends_on[tenant, f"{GENERATION_KEY}{gathered.generation}"] = gathered.position
    return depends_on
