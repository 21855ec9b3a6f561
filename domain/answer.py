"""The answer ledger: what was answered, on what evidence, and when an answer is wrong rather than outdated."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.fact import RecordedFact
from domain.ids import Category
from domain.message import Command, Event
from domain.payment import PaymentView, view

Verdict = Literal["stands", "outdated", "wrong"]


class StatedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer said of one refund or dispute."""

    id: str
    status: str
    amount_minor: int


class StatedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that an answer stated of one payment, as it stated them."""

    payment_id: str
    status: str
    amount_minor: int
    currency: str
    refunded_minor: int
    refunds: tuple[StatedPart, ...] = ()
    disputes: tuple[StatedPart, ...] = ()


class CitedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a document that an answer quoted."""

    document_id: str
    version: int


class AnswerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer with all it relied on. The question is kept scrubbed of personal data.

    `position` is the log position at which the answer was computed, `as_of` the time in the world that it spoke of.
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


class RecordAnswer(Command, frozen=True, kw_only=True, tag="answer.record"):
    """Enter an answer before it leaves."""

    record: AnswerRecord


class RecordRepeat(Command, frozen=True, kw_only=True, tag="answer.record_repeat"):
    """Enter that the same answer was given again, `count` times, the last time at `given_at`."""

    given_at: datetime
    count: int = 1


AnswerCommand = RecordAnswer | RecordRepeat


class AnswerGiven(Event, frozen=True, kw_only=True, tag="answer.given"):
    record: AnswerRecord


class AnswerRepeated(Event, frozen=True, kw_only=True, tag="answer.repeated"):
    given_at: datetime
    count: int = 1


AnswerEvent = AnswerGiven | AnswerRepeated


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the answer is in the ledger, and how often it was given."""

    times_given: int = 0


class AnswerDecider:
    """The ledger's rules: an answer is entered once; repeats are counted."""

    tag: Category = "answer"

    def initial(self) -> Answer:
        return Answer()

    def decide(self, state: Answer, command: AnswerCommand, at: datetime) -> Sequence[AnswerEvent]:
        match command:
            case RecordAnswer(record=record):
                return [] if state.times_given else [AnswerGiven(record=record)]
            case RecordRepeat(given_at=given_at, count=count):
                return [AnswerRepeated(given_at=given_at, count=count)]
            case _:
                assert_never(command)

    def evolve(self, state: Answer, event: AnswerEvent) -> Answer:
        match event:
            case AnswerGiven():
                return Answer(times_given=state.times_given + 1)
            case AnswerRepeated(count=count):
                return Answer(times_given=state.times_given + count)
            case _:
                assert_never(event)


def stated(payment: PaymentView) -> StatedPayment:
    """The fields of a payment that an answer about it states."""
    return StatedPayment(
        payment_id=payment.payment_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        refunded_minor=payment.refunded_minor,
        refunds=tuple(
            StatedPart(id=each.id, status=each.status, amount_minor=each.amount_minor) for each in payment.refunds
        ),
        disputes=tuple(
            StatedPart(id=each.id, status=each.status, amount_minor=each.amount_minor) for each in payment.disputes
        ),
    )


def verdict(
    record: AnswerRecord, facts: Mapping[str, Sequence[RecordedFact]], repeated_at: Sequence[datetime] = ()
) -> Verdict:
    """Judge an answer by all facts known now about the payments that it stated (by payment id).

    `wrong`: as of the time of which it spoke, or of one of its repetitions, what it stated was not so. `outdated`: it
    was right whenever it was given, and the world has moved on. Only the first is corrected.
    """
    is_outdated = False
    for said in record.stated:
        of_payment = facts.get(said.payment_id, ())
        for as_of in (record.as_of, *repeated_at):
            then = view(said.payment_id, of_payment, as_of=as_of)
            if then is None or stated(then) != said:
                return "wrong"
        now = view(said.payment_id, of_payment)
        is_outdated = is_outdated or now is None or stated(now) != said
    return "outdated" if is_outdated else "stands"
