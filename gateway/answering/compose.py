"""The composer by default: templates over facts, sentences from documents, and an honest "I do not know"."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from types import MappingProxyType
from typing import Literal

import msgspec

from domain.evidence import PaymentEvidence
from gateway.answering.charged_twice import Charged, tell_charged
from gateway.answering.evidence import Citation, DocumentCited, FactCited, Passage
from gateway.answering.intents import Intent
from gateway.answering.language import Language
from gateway.answering.quote import quote
from gateway.answering.references import Reference
from gateway.answering.speaking import speech_in
from gateway.answering.speech import Kind, Speech
from gateway.answering.statements import (
    Statement,
    caveat,
    checking,
    everything,
    no_dispute,
    no_refund,
    of_disputes,
    of_refunds,
    of_status,
)
from gateway.answering.understand import Understanding

LISTED_MAX = 5

# Why nothing was stated. Stable: clients decide by them what to do next (docs/http.md).
Abstention = Literal[
    "",
    "reference.unknown",
    "customer.unidentified",
    "payment.none",
    "document.none",
    "question.unclear",
]


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and what it rests on.

    `stated_payment_ids` are the payments of which it says how they stand, `payment_ids` also those of which it only
    says that they are being checked. `asks_back` are those between which the asker is to choose. An answer that
    abstained says why in `abstained_because` and may still quote a document. `quotation` is the end of the answer that
    introduces and holds what is quoted.
    """

    answer: str
    abstained: bool
    citations: tuple[Citation, ...]
    stated_payment_ids: tuple[str, ...]
    payment_ids: tuple[str, ...]
    intent: Intent
    language: Language = "en"
    abstained_because: Abstention = ""
    asks_back: tuple[str, ...] = ()
    quotation: str = ""


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The payments that a question is about, and the asker's other ones, the latest first.

    `is_named` is whether it names them by their ids, `is_narrowed` whether by an amount or a day, which several may
    share; `unknown` are the ids that belong to none.
    """

    speech: Speech
    payments: Sequence[PaymentEvidence]
    others: Sequence[PaymentEvidence] = ()
    is_named: bool = False
    is_narrowed: bool = False
    unknown: tuple[Reference, ...] = ()


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of the payments asked about, and those between which the asker is to choose."""

    statements: Sequence[Statement] = ()
    asks_back: tuple[str, ...] = ()


def compose(
    question: str,
    understanding: Understanding,
    payments: Sequence[PaymentEvidence],
    passages: Sequence[Passage],
    *,
    min_score: float,
    zone: tzinfo = UTC,
    is_identified: bool = True,
    resolved: Mapping[str, str] = MappingProxyType({}),
) -> Composition:
    """Answer from the payments (all that the asker may see) and the passages (at or above `min_score`).

    Facts first, at most one quotation of a document after them. Every status, amount and date is the view's, and days
    are those of `zone`. `is_identified` is whether it is known whose payments the asker may see, `resolved` has the
    payments of ids that are not their own.
    """
    speech = speech_in(understanding.language, zone)
    quoted = quote(question, passages, min_score=min_score)
    quotation = speech.quoted(_title(quoted, passages), quoted.quote) if quoted is not None else ""
    tell = _TELLERS.get(understanding.intent)
    if tell is None:
        told = _Told(statements=() if quoted else [Statement(text=speech.no_document())])
        because: Abstention = "question.unclear" if understanding.intent == "unknown" else "document.none"
        return _composition(understanding, told, quoted, quotation, because="" if quoted else because)
    asked = _asked(understanding, payments, speech, resolved)
    told = tell(asked) if asked.payments else _Told()
    statements, because = list(told.statements), ""
    if asked.unknown:
        statements.append(_unknown(asked, question))
        because = "reference.unknown"
    elif not statements:
        statements.append(_nothing(understanding, speech, is_identified=is_identified))
        because = "payment.none" if is_identified else "customer.unidentified"
    has_facts = any(statement.facts for statement in statements)
    told = _Told(statements=statements, asks_back=told.asks_back)
    return _composition(understanding, told, quoted, quotation, because="" if has_facts else because)


def _composition(
    understanding: Understanding,
    told: _Told,
    quoted: DocumentCited | None,
    quotation: str,
    *,
    because: Abstention,
) -> Composition:
    texts = [statement.text for statement in told.statements]
    citations: list[Citation] = [
        FactCited(fact_id=fact.fact_id, position=fact.position) for each in told.statements for fact in each.facts
    ]
    if quoted is not None:
        texts.append(quotation)
        citations.append(quoted)
    about = [(payment_id, each.is_settled) for each in told.statements for payment_id in each.about]
    return Composition(
        answer=" ".join(texts),
        abstained=bool(because),
        citations=tuple(dict.fromkeys(citations)),
        stated_payment_ids=tuple(dict.fromkeys(payment_id for payment_id, is_settled in about if is_settled)),
        payment_ids=tuple(dict.fromkeys(payment_id for payment_id, _ in about)),
        intent=understanding.intent,
        language=understanding.language,
        abstained_because=because,
        asks_back=told.asks_back,
        quotation=quotation,
    )


def _title(quoted: DocumentCited, passages: Sequence[Passage]) -> str:
    return next((passage.title for passage in passages if passage.document_id == quoted.document_id), "")


def _unknown(asked: _Asked, question: str) -> Statement:
    """Which ids belong to nothing. What was taken out of the question as personal data is not repeated."""
    shown = [(each.of, each.id) for each in asked.unknown if each.id in question]
    return Statement(text=asked.speech.unknown(shown) if shown else asked.speech.unknown_number())


def _nothing(understanding: Understanding, speech: Speech, *, is_identified: bool) -> Statement:
    """That nothing fits; whoever is not known to have payments is asked which one is meant."""
    nothing = speech.nothing("payout" if understanding.intent == "payout_status" else "payment")
    return Statement(text=nothing if is_identified else f"{nothing} {speech.say_which()}")


def _asked(
    understanding: Understanding, payments: Sequence[PaymentEvidence], speech: Speech, resolved: Mapping[str, str]
) -> _Asked:
    """The payments that the question names by an id; else those with an amount and of a day that it names; else all.

    A payout pays many payments out at once: unless it is named, it is only looked at where payouts are asked about.
    """
    latest_first = sorted(payments, key=lambda each: (each.view.occurred_at, each.view.payment_id), reverse=True)
    named = {resolved.get(each, each) for each in understanding.ids} | set(understanding.ids)
    if named:
        meant = [each for each in latest_first if not named.isdisjoint(each.names())]
    else:
        wants_payouts = understanding.intent == "payout_status"
        latest_first = [each for each in latest_first if bool(each.view.payouts) == wants_payouts]
        meant = [each for each in latest_first if _has_amount(each, understanding)] or latest_first
        meant = [each for each in meant if _is_of_day(each, understanding, speech.zone)] or meant
    known = {name for each in meant for name in each.names()}
    meant_ids = {each.view.payment_id for each in meant}
    return _Asked(
        speech=speech,
        payments=meant,
        others=[each for each in latest_first if each.view.payment_id not in meant_ids],
        is_named=bool(named),
        is_narrowed=not named and len(meant) < len(latest_first),
        unknown=tuple(each for each in understanding.references if known.isdisjoint((each.id, resolved.get(each.id)))),
    )


def _has_amount(evidence: PaymentEvidence, understanding: Understanding) -> bool:
    view = evidence.view
    parts = (*view.refunds, *view.disputes, *view.payouts)
    amounts_minor = {view.amount_minor, *(part.amount_minor for part in parts)}
    return any(
        each.amount_minor in amounts_minor and each.currency in {"", view.currency} for each in understanding.amounts
    )


def _is_of_day(evidence: PaymentEvidence, understanding: Understanding, zone: tzinfo) -> bool:
    """Whether anything about the payment came about on one of the days that the question names."""
    days = understanding.days
    return days is not None and any(days.holds(fact.occurred_at, zone) for fact in evidence.citations)


def _each(
    asked: _Asked,
    payments: Sequence[PaymentEvidence],
    tell: Callable[[PaymentEvidence], list[Statement]],
    *,
    kind: Kind = "payments",
) -> _Told:
    """What there is to tell of each payment, after a list of them where there are several.

    Where the question was to single one out and did not, or where not all are told, the asker is to say which.
    """
    speech = asked.speech
    shown = payments[:LISTED_MAX]
    statements: list[Statement] = []
    for each in shown:
        is_checked = each.view.certainty == "conflicting"
        statements += [checking(each, speech)] if is_checked else [*tell(each), *caveat(each, speech)]
    if len(payments) == 1:
        return _Told(statements=statements)
    ids = [each.view.payment_id for each in shown]
    amount = _common_amount(payments, speech) if asked.is_narrowed and kind == "payments" else ""
    seen = speech.seen(kind, ids, count=len(payments), amount=amount)
    statements.insert(0, Statement(text=seen))
    if asked.is_named or not (asked.is_narrowed or len(payments) > LISTED_MAX):
        return _Told(statements=statements)
    return _Told(statements=[*statements, Statement(text=speech.which_one())], asks_back=tuple(ids))


def _common_amount(payments: Sequence[PaymentEvidence], speech: Speech) -> str:
    """The amount of all of them, empty where they differ or where something about one is being checked."""
    amounts = {(each.view.amount_minor, each.view.currency) for each in payments}
    is_settled = all(each.view.certainty != "conflicting" and each.view.amount_minor for each in payments)
    return speech.amount(*amounts.pop()) if len(amounts) == 1 and is_settled else ""


def _tell_payment(asked: _Asked) -> _Told:
    return _each(asked, asked.payments, lambda each: everything(each, asked.speech))


def _tell_refunds(asked: _Asked) -> _Told:
    """The refunds there are. A payment without one is only spoken of if it was named or none has any."""
    speech = asked.speech
    refunded = [each for each in asked.payments if each.view.refunds]
    if refunded and not asked.is_named:
        return _each(asked, refunded, lambda each: of_refunds(each, speech), kind="payments with refunds")
    return _each(asked, asked.payments, lambda each: of_refunds(each, speech) or [no_refund(each, speech)])


def _tell_disputes(asked: _Asked) -> _Told:
    speech = asked.speech
    disputed = [each for each in asked.payments if each.view.disputes]
    if disputed and not asked.is_named:
        return _each(asked, disputed, lambda each: of_disputes(each, speech), kind="payments with disputes")
    return _each(asked, asked.payments, lambda each: of_disputes(each, speech) or [no_dispute(each, speech)])


def _tell_payouts(asked: _Asked) -> _Told:
    return _each(asked, asked.payments, lambda each: everything(each, asked.speech), kind="payouts")


def _tell_decline(asked: _Asked) -> _Told:
    """Why payments failed. If none did, how they stand."""
    failed = [each for each in asked.payments if each.view.status == "failed"]
    if failed and not asked.is_named:
        return _each(asked, failed, lambda each: [of_status(each, asked.speech)], kind="payments that failed")
    return _each(asked, asked.payments, lambda each: [of_status(each, asked.speech)])


def _tell_charged_twice(asked: _Asked) -> _Told:
    charged = Charged(payments=asked.payments, others=asked.others, shown_max=LISTED_MAX)
    return _Told(statements=tell_charged(charged, asked.speech))


_TELLERS: Mapping[Intent, Callable[[_Asked], _Told]] = {
    "refund_status": _tell_refunds,
    "payment_status": _tell_payment,
    "dispute_status": _tell_disputes,
    "decline_reason": _tell_decline,
    "charged_twice": _tell_charged_twice,
    "payout_status": _tell_payouts,
}
