"""What leaves of answers and their corrections, through HTTP and on the bus."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from domain.answer import AnswerRecord, CitedFact, StatedPart, StatedPayment, Untruth, Verdict
from domain.payment import PaymentView
from gateway.answering.evidence import FactCited
from gateway.http.views import PaymentJson, Timestamp, payment_json, timestamp
from projections.answer_ledger import AnswerFound


class StatedPartJson(msgspec.Struct, frozen=True, kw_only=True):
    """A refund, dispute or payout."""

    id: str
    status: str
    amount_minor: int
    reason: str | None


class StatedPaymentJson(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that an answer states of a payment; `null` where an older version did not keep one."""

    payment_id: str
    status: str
    amount_minor: int
    currency: str
    captured_minor: int | None
    refunded_minor: int
    refunds: list[StatedPartJson]
    disputes: list[StatedPartJson]
    payouts: list[StatedPartJson] | None
    reason: str | None


class DocumentVersionCited(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="document"):
    """The version of a document that was quoted."""

    document_id: str
    version: int


class WrongPaymentJson(msgspec.Struct, frozen=True, kw_only=True):
    """One payment of which an answer stated what was not so.

    `stated` is what it said, `actual` what was so then as is known now (`null` if nothing had happened), `now` how the
    payment stands today. `as_of` is the first time of which it spoke and at which it was not so. `citations` are the
    facts that decide what differs.
    """

    payment_id: str
    fields: list[str]
    stated: StatedPaymentJson
    actual: StatedPaymentJson | None
    now: PaymentJson | None
    as_of: Timestamp
    given_at: Timestamp
    citations: list[FactCited]


class CorrectionJson(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was wrong when it was given, with what is true. `text` says so to the customer.

    `position` is where in the log it was found out, at `invalidated_at`. `conversation_id` is empty for an answer that
    was not given in a chat.
    """

    answer_id: str
    position: int
    invalidated_at: Timestamp
    question: str
    answer: str
    given_at: Timestamp
    as_of: Timestamp
    times_given: int
    customer_id: str
    conversation_id: str
    payments: list[WrongPaymentJson]
    text: str


class ReinstatedJson(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that had been found wrong, and was right when it was given after all."""

    answer_id: str
    position: int
    reinstated_at: Timestamp
    text: str


class CorrectionsJson(msgspec.Struct, frozen=True, kw_only=True):
    """A page of corrections in the order of the log, each with the last word about its answer.

    `position` continues: the next page is what lies after it.
    """

    corrections: list[CorrectionJson]
    reinstated: list[ReinstatedJson]
    position: int


class GivenJson(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it is in the ledger, with all it relied on, and how it is judged by what is known now.

    `verdict` is `stands`, `outdated` (right when it was given, and the world has moved on) or `wrong`. `correction` is
    what was found untrue last.
    """

    answer_id: str
    question: str
    intent: str
    answer: str
    abstained: bool
    customer_id: str
    conversation_id: str
    verdict: Verdict
    stated: list[StatedPaymentJson]
    citations: list[FactCited | DocumentVersionCited]
    position: int
    known_to: int
    known_at: int | None
    generation: int
    composer: str
    as_of: Timestamp
    given_at: Timestamp
    times_given: int
    last_given_at: Timestamp
    correction: CorrectionJson | None


def correction_json(
    found: AnswerFound, conversation_id: str, now: Mapping[str, PaymentView | None], *, at: datetime
) -> CorrectionJson:
    """The correction of an answer that was found wrong; `now` has its payments at `at`, by the ids that it stated."""
    record = found.record
    assert found.judged_at is not None, f"{record.answer_id} was never found wrong"
    return CorrectionJson(
        answer_id=record.answer_id,
        position=found.position,
        invalidated_at=timestamp(found.judged_at),
        question=record.question,
        answer=record.answer,
        given_at=timestamp(record.given_at),
        as_of=timestamp(record.as_of),
        times_given=found.times_given,
        customer_id=record.customer_id,
        conversation_id=conversation_id,
        payments=[_wrong(each, now.get(each.said.payment_id), at) for each in found.untrue],
        text=found.text,
    )


def reinstated_json(found: AnswerFound) -> ReinstatedJson:
    """The answer that was right after all."""
    assert found.judged_at is not None, f"{found.record.answer_id} was never found wrong"
    return ReinstatedJson(
        answer_id=found.record.answer_id,
        position=found.position,
        reinstated_at=timestamp(found.judged_at),
        text=found.text,
    )


def given_json(
    found: AnswerFound, conversation_id: str, verdict: Verdict, now: Mapping[str, PaymentView | None], *, at: datetime
) -> GivenJson:
    """The answer and how it is judged at `at`."""
    record = found.record
    return GivenJson(
        answer_id=record.answer_id,
        question=record.question,
        intent=record.intent,
        answer=record.answer,
        abstained=record.abstained,
        customer_id=record.customer_id,
        conversation_id=conversation_id,
        verdict=verdict,
        stated=[_stated(each) for each in record.stated],
        citations=_citations(record),
        position=record.position,
        known_to=record.basis.known_to,
        known_at=record.basis.known_at,
        generation=record.generation,
        composer=record.composer,
        as_of=timestamp(record.as_of),
        given_at=timestamp(record.given_at),
        times_given=found.times_given,
        last_given_at=timestamp(max([record.given_at, *found.repeated_at])),
        correction=correction_json(found, conversation_id, now, at=at) if found.untrue else None,
    )


def _citations(record: AnswerRecord) -> list[FactCited | DocumentVersionCited]:
    """Records of older versions do not say where their facts are: 0."""
    positions = record.basis.fact_positions or (0,) * len(record.fact_ids)
    cited: list[FactCited | DocumentVersionCited] = [
        FactCited(fact_id=fact_id, position=position)
        for fact_id, position in zip(record.fact_ids, positions, strict=True)
    ]
    cited += [DocumentVersionCited(document_id=each.document_id, version=each.version) for each in record.documents]
    return cited


def _wrong(untrue: Untruth, now: PaymentView | None, at: datetime) -> WrongPaymentJson:
    return WrongPaymentJson(
        payment_id=untrue.said.payment_id,
        fields=list(untrue.fields),
        stated=_stated(untrue.said),
        actual=_stated(untrue.so) if untrue.so is not None else None,
        now=payment_json(now, as_of=at) if now is not None else None,
        as_of=timestamp(untrue.as_of),
        given_at=timestamp(untrue.given_at),
        citations=_facts(untrue.facts),
    )


def _facts(facts: Sequence[CitedFact]) -> list[FactCited]:
    return [FactCited(fact_id=each.fact_id, position=each.position) for each in facts]


def _stated(payment: StatedPayment) -> StatedPaymentJson:
    return StatedPaymentJson(
        payment_id=payment.payment_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        captured_minor=payment.captured_minor,
        refunded_minor=payment.refunded_minor,
        refunds=_parts(payment.refunds),
        disputes=_parts(payment.disputes),
        payouts=None if payment.payouts is None else _parts(payment.payouts),
        reason=payment.reason,
    )


def _parts(parts: Sequence[StatedPart]) -> list[StatedPartJson]:
    return [
        StatedPartJson(id=each.id, status=each.status, amount_minor=each.amount_minor, reason=each.reason)
        for each in parts
    ]
