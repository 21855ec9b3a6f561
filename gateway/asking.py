"""Answering a question: exact cache, micro-batch, one call to the tenant's index shard, composition, ledger."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, tzinfo
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
from gateway.answering.speaking import speech_in
from gateway.answering.understand import understand
from gateway.changes import Listener
from gateway.composing import Composer, TemplateComposer
from gateway.http.problems import ProblemError
from gateway.http.views import PaymentJson, Timestamp, payment_json, timestamp
from gateway.ledger import Ledger
from gateway.micro_batch import Lane
from gateway.privacy.scrub import scrub
from gateway.time_zones import zone_named
from projections.retrieval import Gather, Gathered, NotYet

QUESTION_CHARS_MAX = 2_000


class AskRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question in the customer's words, and what it is about where that is known.

    `customer_id` restricts the answer to one customer's payments: another's are as if they were not there.
    `time_zone` (IANA) is where the asker's days begin and end; else it is the tenant's.
    """

    question: Annotated[str, Meta(min_length=1, max_length=QUESTION_CHARS_MAX)]
    customer_id: Annotated[str, Meta(max_length=200)] | None = None
    payment_id: Annotated[str, Meta(max_length=200)] | None = None
    as_of: datetime | None = None
    known_at: Annotated[int, Meta(ge=0)] | None = None
    min_position: Annotated[int, Meta(ge=0)] = 0
    top_k: Annotated[int, Meta(ge=0, le=20)] | None = None
    time_zone: Annotated[str, Meta(max_length=64)] | None = None


class AnswerJson(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with its evidence, and from which log position and index generation it speaks.

    `abstained_because` is a stable code, empty unless it abstained. `asks_back` are the payments between which the
    asker is to choose. `language` is ISO 639-1, `composer` what worded it.
    """

    answer_id: str
    answer: str
    abstained: bool
    abstained_because: str
    asks_back: list[str]
    intent: str
    language: str
    composer: str
    payments: list[PaymentJson]
    citations: list[Any]
    position: int
    lag_ms: int
    generation: int
    as_of: Timestamp
    cached: bool


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
        composer: words what the templates composed.
        zone_of: tenant -> where the days of its customers begin and end, unless they say.
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
        composer: Composer | None = None,
        zone_of: Callable[[str], tzinfo] = lambda _: UTC,
    ) -> None:
        self._composer = composer or TemplateComposer()
        self._zone_of = zone_of
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
        else:
            self.cache.bypasses += 1
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
            # What was yesterday, and on which day something happened, is another for each zone and day.
            request.time_zone or "",
            _day(self._clock(), self._zone(tenant, request)).isoformat(),
        )

    def _zone(self, tenant: str, request: AskRequest) -> tzinfo:
        zone = zone_named(request.time_zone) if request.time_zone else None
        return zone or self._zone_of(tenant)

    async def _answer(
        self, tenant: str, request: AskRequest, trace: Trace, key: Key | None, answer_id: str
    ) -> AnswerJson:
        # Ids, amounts and days are read from the question itself; everything after that sees it without personal data.
        zone = self._zone(tenant, request)
        today = _day(request.as_of or self._clock(), zone)
        understanding = understand(request.question, today)
        question = self._clean(tenant, request.question)
        named = (request.payment_id,) if request.payment_id else understanding.ids
        gathered = await self.gather(
            tenant,
            Gather(
                tenant=tenant,
                min_position=request.min_position,
                question=question,
                object_ids=named,
                scope_customer_id=request.customer_id or "",
                # Whether something was charged twice shows beside it, not in it.
                is_beside=understanding.intent == "charged_twice",
                wants_payouts=understanding.intent == "payout_status",
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
            zone=zone,
            is_identified=bool(request.customer_id or named) or understanding.intent == "payout_status",
            resolved=gathered.resolved,
        )
        # Of this moment it speaks, however long it takes to be worded. What is past is always worded in the same way.
        known_at = self._clock()
        composer = self._composer if key is not None else TemplateComposer()
        speech = speech_in(composition.language, zone)
        composition, composer_name = await composer.word(tenant, question, composition, gathered.payments, speech)
        written = _Written(composition=composition, gathered=gathered, known_at=known_at, composer=composer_name)
        record = _record(answer_id, request, question, written, given_at=self._clock())
        await _entered(self._ledger.enter(tenant, record, trace))
        answer = _answer_json(record, written, request.as_of or written.latest)
        if key is not None:
            self.cache.store(key, answer, _dependencies(tenant, gathered))
        return answer

    async def gather(self, tenant: str, query: Gather) -> Gathered:
        """What a question needs, asked together with others of its tenant.

        Raises:
            ProblemError: 503, the projection does not reach the position that the query needs.
            RetryableError: the index shard does not answer.
        """
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


def _day(at: datetime, zone: tzinfo) -> date:
    """The day of a moment where the zone is; at the ends of the calendar that of UTC."""
    try:
        return at.astimezone(zone).date()
    except OverflowError:
        return at.date()


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
    if request.time_zone is not None and zone_named(request.time_zone) is None:
        raise ProblemError(400, "time_zone.unknown", "time_zone: an IANA name, e.g. Asia/Ho_Chi_Minh")
    if request.as_of is not None and request.as_of.tzinfo is None:
        raise ProblemError(400, "time.without_zone", "as_of: give the time with its zone, e.g. 2026-11-22T10:00:00Z")


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it was worded, what it was composed from, and when that was known."""

    composition: Composition
    gathered: Gathered
    known_at: datetime
    composer: str

    @property
    def said(self) -> list[PaymentView]:
        """The payments that it states."""
        views = {each.view.payment_id: each.view for each in self.gathered.payments}
        return [views[payment_id] for payment_id in self.composition.stated_payment_ids]

    @property
    def shown(self) -> list[PaymentView]:
        """The same, and those of which it says that they are being checked."""
        views = {each.view.payment_id: each.view for each in self.gathered.payments}
        return [views[payment_id] for payment_id in self.composition.payment_ids]

    @property
    def position(self) -> int:
        """A fact is visible a moment before its position is announced, and an answer never cites what it is behind."""
        return max([self.gathered.position, *(payment.position for payment in self.shown)])

    @property
    def latest(self) -> datetime:
        """A provider's clock may be ahead of ours: the answer speaks of all that it was told, of nothing to come."""
        return max([self.known_at, *(payment.occurred_at for payment in self.said)])


def _record(
    answer_id: str, request: AskRequest, question: str, written: _Written, *, given_at: datetime
) -> AnswerRecord:
    composition, gathered = written.composition, written.gathered
    facts = [each for each in composition.citations if isinstance(each, FactCited)]
    return AnswerRecord(
        answer_id=answer_id,
        question=question,
        intent=composition.intent,
        answer=composition.answer,
        customer_id=request.customer_id or "",
        abstained=composition.abstained,
        stated=tuple(stated(payment) for payment in written.said),
        fact_ids=tuple(each.fact_id for each in facts),
        documents=tuple(
            CitedDocument(document_id=each.document_id, version=each.version)
            for each in composition.citations
            if isinstance(each, DocumentCited)
        ),
        position=written.position,
        generation=gathered.generation,
        as_of=min(request.as_of or written.latest, written.latest),
        given_at=given_at,
        composer=written.composer,
        basis=Basis(
            known_to=gathered.position,
            known_at=request.known_at,
            fact_positions=tuple(each.position for each in facts),
            language=composition.language,
        ),
    )


def _answer_json(record: AnswerRecord, written: _Written, as_of: datetime) -> AnswerJson:
    composition, gathered = written.composition, written.gathered
    return AnswerJson(
        answer_id=record.answer_id,
        answer=composition.answer,
        abstained=composition.abstained,
        abstained_because=composition.abstained_because,
        asks_back=list(composition.asks_back),
        intent=composition.intent,
        language=composition.language,
        composer=record.composer,
        payments=[payment_json(payment, as_of=as_of) for payment in written.shown],
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
