"""The answer ledger: what was answered, on what evidence, and when an answer is wrong rather than outdated."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.evidence import FactCitation, PaymentEvidence, evidence
from domain.fact import RecordedFact
from domain.ids import Category
from domain.message import Command, Event
from domain.payment import PartView, PaymentView, view

Verdict = Literal["stands", "outdated", "wrong"]


class StatedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer said of one refund, dispute or payout; `reason` as in `StatedPayment`."""

    id: str
    status: str
    amount_minor: int
    reason: str | None = None


class StatedPayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that an answer stated of one payment, as it stated them.

    `None` is what an older version did not keep; nothing is judged by it. `reason` is the provider's code where an
    answer tells it, and empty where it does not.
    """

    payment_id: str
    status: str
    amount_minor: int
    currency: str
    refunded_minor: int
    refunds: tuple[StatedPart, ...] = ()
    disputes: tuple[StatedPart, ...] = ()
    captured_minor: int | None = None
    payouts: tuple[StatedPart, ...] | None = None
    reason: str | None = None


class CitedFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact, and where in the log it was recorded."""

    fact_id: str
    position: int


class CitedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a document that an answer quoted."""

    document_id: str
    version: int


class Basis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was known when an answer was computed.

    Every fact up to the log position `known_to` was; a fact is visible a moment before its position is announced, so
    the answer's own position may be later. `known_at` is set where the answer was asked for as known at that position:
    no later fact makes it wrong. `fact_positions` has the positions of the facts that it cites, in their order.
    `language` (ISO 639-1) is that of the answer: what corrects it is said in the same.
    """

    known_to: int = 0
    known_at: int | None = None
    fact_positions: tuple[int, ...] = ()
    language: str = "en"


class AnswerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer with all it relied on. The question is kept scrubbed of personal data.

    `position` is the log position at which the answer was computed, `as_of` the time in the world that it spoke of.
    A field that a later version needs goes into `basis`: bytes of more than 15 fields would begin otherwise.
    """

    answer_id: str
    question: str
    intent: str
    answer: str
    customer_id: str = ""
    abstained: bool = False
    stated: tuple[StatedPayment, ...] = ()
    fact_ids: tuple[str, ...] = ()
    documents: tuple[CitedDocument, ...] = ()
    position: int = 0
    generation: int = 0
    as_of: datetime
    given_at: datetime
    composer: str = "template/1"
    basis: Basis = Basis()


class Untruth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer said of one payment, and what was so when it was given, as is known now.

    `as_of` is the first time of which it spoke and at which it was not so, `given_at` when it was given then. `so` is
    `None` if nothing of the payment had occurred by then. `fields` are those of `StatedPayment` that differ, `facts`
    those that decide them.
    """

    said: StatedPayment
    so: StatedPayment | None
    fields: tuple[str, ...]
    as_of: datetime
    given_at: datetime
    facts: tuple[CitedFact, ...] = ()


class RecordAnswer(Command, frozen=True, kw_only=True, tag="answer.record"):
    """Enter an answer before it leaves."""

    record: AnswerRecord


class RecordRepeat(Command, frozen=True, kw_only=True, tag="answer.record_repeat"):
    """Enter that the same answer was given again, `count` times, the last time at `given_at`."""

    given_at: datetime
    count: int = 1


class JudgeAnswer(Command, frozen=True, kw_only=True, tag="answer.judge"):
    """Enter what of the answer is known now to have been untrue when it was given: nothing, if all of it was so.

    `text` says so to the customer.
    """

    untrue: tuple[Untruth, ...] = ()
    text: str = ""


AnswerCommand = RecordAnswer | RecordRepeat | JudgeAnswer


class AnswerGiven(Event, frozen=True, kw_only=True, tag="answer.given"):
    record: AnswerRecord


class AnswerRepeated(Event, frozen=True, kw_only=True, tag="answer.repeated"):
    given_at: datetime
    count: int = 1


class AnswerInvalidated(Event, frozen=True, kw_only=True, tag="answer.invalidated"):
    """The answer was wrong when it was given. A later one says more or otherwise, and stands in place of this one."""

    untrue: tuple[Untruth, ...]
    text: str = ""


class AnswerReinstated(Event, frozen=True, kw_only=True, tag="answer.reinstated"):
    """The answer was right when it was given after all, as is known now."""

    text: str = ""


AnswerEvent = AnswerGiven | AnswerRepeated | AnswerInvalidated | AnswerReinstated


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the answer is in the ledger, how often it was given, and what of it was found untrue last."""

    times_given: int = 0
    untrue: tuple[Untruth, ...] = ()


class AnswerDecider:
    """The ledger's rules: an answer is entered once, repeats are counted, and each new truth is entered once."""

    tag: Category = "answer"

    def initial(self) -> Answer:
        return Answer()

    def decide(self, state: Answer, command: AnswerCommand, at: datetime) -> Sequence[AnswerEvent]:
        match command:
            case RecordAnswer(record=record):
                return [] if state.times_given else [AnswerGiven(record=record)]
            case RecordRepeat(given_at=given_at, count=count):
                return [AnswerRepeated(given_at=given_at, count=count)]
            case JudgeAnswer():
                return _judged(state, command)
            case _:
                assert_never(command)

    def evolve(self, state: Answer, event: AnswerEvent) -> Answer:
        match event:
            case AnswerGiven():
                return msgspec.structs.replace(state, times_given=state.times_given + 1)
            case AnswerRepeated(count=count):
                return msgspec.structs.replace(state, times_given=state.times_given + count)
            case AnswerInvalidated(untrue=untrue):
                return msgspec.structs.replace(state, untrue=untrue)
            case AnswerReinstated():
                return msgspec.structs.replace(state, untrue=())
            case _:
                assert_never(event)


def _judged(state: Answer, command: JudgeAnswer) -> Sequence[AnswerEvent]:
    """One event for each new truth. More evidence for the same truth, or an earlier time of it, is no news."""
    if not state.times_given:
        raise Rejection("answer.unknown", "what was never given cannot have been wrong")
    if _truth(command.untrue) == _truth(state.untrue):
        return []
    if not command.untrue:
        return [AnswerReinstated(text=command.text)]
    return [AnswerInvalidated(untrue=command.untrue, text=command.text)]


def _truth(untrue: Sequence[Untruth]) -> dict[str, StatedPayment | None]:
    return {each.said.payment_id: each.so for each in untrue}


# The statuses of which an answer says why. Whoever disputes always claims something.
_EXPLAINED = frozenset({"failed", "canceled"})


def stated(payment: PaymentView) -> StatedPayment:
    """The fields of a payment that an answer about it states."""
    return StatedPayment(
        payment_id=payment.payment_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        refunded_minor=payment.refunded_minor,
        refunds=_parts(payment.refunds),
        disputes=_parts(payment.disputes, is_always_explained=True),
        captured_minor=payment.captured_minor,
        payouts=_parts(payment.payouts),
        reason=payment.reason if payment.status in _EXPLAINED and not payment.payouts else "",
    )


def _parts(parts: Sequence[PartView], *, is_always_explained: bool = False) -> tuple[StatedPart, ...]:
    return tuple(
        StatedPart(
            id=each.id,
            status=each.status,
            amount_minor=each.amount_minor,
            reason=each.reason if is_always_explained or each.status in _EXPLAINED else "",
        )
        for each in parts
    )


def _as_kept(so: StatedPayment, said: StatedPayment) -> StatedPayment:
    """What was so, without what the answer's version did not keep: reasons, of which it would be news each time."""
    if said.reason is not None:
        return so
    return msgspec.structs.replace(
        so,
        reason=None,
        refunds=_without_reasons(so.refunds),
        disputes=_without_reasons(so.disputes),
        payouts=_without_reasons(so.payouts or ()),
    )


def _without_reasons(parts: Sequence[StatedPart]) -> tuple[StatedPart, ...]:
    return tuple(msgspec.structs.replace(each, reason=None) for each in parts)


def differing(said: StatedPayment, so: StatedPayment | None) -> tuple[str, ...]:
    """The fields of what was said that were not so; all that were said, if nothing was."""
    kept = [name for name in STATED_FIELDS if getattr(said, name) is not None]
    if so is None:
        return tuple(kept)
    so = _as_kept(so, said)
    return tuple(name for name in kept if getattr(said, name) != getattr(so, name))


STATED_FIELDS = tuple(name for name in StatedPayment.__struct_fields__ if name != "payment_id")


def untrue(
    record: AnswerRecord, facts: Mapping[str, Sequence[RecordedFact]], repeated_at: Sequence[datetime] = ()
) -> tuple[Untruth, ...]:
    """What an answer stated and was not so when it was given, or given again, by all facts known now.

    `facts` are those of each payment that it stated, by the id that it stated. The answer is judged as of the time of
    which it spoke: where the provider's clock is ahead of ours, that is the provider's.
    """
    if record.basis.known_at is not None:
        return ()
    found = (_untruth(record, said, facts.get(said.payment_id, ()), repeated_at) for said in record.stated)
    return tuple(each for each in found if each is not None)


def _untruth(
    record: AnswerRecord, said: StatedPayment, facts: Sequence[RecordedFact], repeated_at: Sequence[datetime]
) -> Untruth | None:
    """The first time at which it was not so, `None` if there is none."""
    given = [(record.as_of, record.given_at), *((max(record.as_of, at), at) for at in repeated_at)]
    occurred = sorted(recorded.fact.occurred_at for recorded in facts)
    judged: set[int] = set()
    for as_of, given_at in sorted(given):
        # Between two facts nothing changes: a thousand repeats cost no more folds than there are facts.
        known = bisect_right(occurred, as_of)
        if known in judged:
            continue
        judged.add(known)
        then = evidence(said.payment_id, facts, as_of=as_of)
        so = _as_kept(stated(then.view), said) if then is not None else None
        if fields := differing(said, so):
            return Untruth(
                said=said,
                so=so,
                fields=fields,
                as_of=as_of,
                given_at=given_at,
                facts=() if then is None or so is None else _deciding(said, so, fields, then, record.basis.known_to),
            )
    return None


_OWN_FIELDS = {"status", "amount_minor", "currency", "captured_minor", "reason"}
_PARTS = {"refund": "refunds", "dispute": "disputes", "payout": "payouts"}


def _deciding(
    said: StatedPayment, so: StatedPayment, fields: Sequence[str], then: PaymentEvidence, known_to: int
) -> tuple[CitedFact, ...]:
    """The facts that decide what differs: those that were not known, if any of them was not."""
    before, after = _objects(said), _objects(so)
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    is_own = not _OWN_FIELDS.isdisjoint(fields)

    def decides(citation: FactCitation) -> bool:
        return citation.object in changed or (is_own and citation.is_own)

    deciding = [citation for citation in then.citations if decides(citation)] or list(then.citations)
    late = [citation for citation in deciding if citation.position > known_to]
    return tuple(CitedFact(fact_id=each.fact_id, position=each.position) for each in late or deciding)


def _objects(payment: StatedPayment) -> dict[str, StatedPart]:
    """The refunds, disputes and payouts by their keys in facts, e.g. `refund:re_1`."""
    return {f"{kind}:{part.id}": part for kind, name in _PARTS.items() for part in getattr(payment, name) or ()}


def verdict(
    record: AnswerRecord, facts: Mapping[str, Sequence[RecordedFact]], repeated_at: Sequence[datetime] = ()
) -> Verdict:
    """Judge an answer by all facts known now about the payments that it stated (by the id that it stated).

    `wrong`: as of the time of which it spoke, or of one of its repetitions, what it stated was not so. `outdated`: it
    was right whenever it was given, and the world has moved on. Only the first is corrected.
    """
    if record.basis.known_at is not None:
        return "stands"
    if untrue(record, facts, repeated_at):
        return "wrong"
    now = ((said, view(said.payment_id, facts.get(said.payment_id, ()))) for said in record.stated)
    is_outdated = any(differing(said, stated(payment) if payment else None) for said, payment in now)
    return "outdated" if is_outdated else "stands"
