"""The composer by default: templates over facts, sentences from documents, and an honest "I do not know"."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

import msgspec

from domain.evidence import PaymentEvidence
from gateway.answering.evidence import Citation, DocumentCited, FactCited, Passage
from gateway.answering.quote import quote
from gateway.answering.statements import (
    Statement,
    caveat,
    checking,
    deciding,
    everything,
    no_dispute,
    no_refund,
    of_disputes,
    of_refunds,
    of_status,
)
from gateway.answering.understand import Intent, Understanding
from gateway.answering.wording import amount, day, listing, sentence

LISTED_MAX = 5
TWICE_WITHIN = timedelta(minutes=10)


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and what it rests on.

    `stated_payment_ids` are the payments of which it says how they stand, `payment_ids` also those of which it only
    says that they are being checked. An answer that abstained may still quote a document.
    """

    answer: str
    abstained: bool
    citations: tuple[Citation, ...]
    stated_payment_ids: tuple[str, ...]
    payment_ids: tuple[str, ...]
    intent: Intent


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The payments that a question is about, and the asker's other ones, the latest first.

    `is_named` is whether it names them by their ids; `unknown_ids` are those that belong to none.
    """

    payments: Sequence[PaymentEvidence]
    others: Sequence[PaymentEvidence] = ()
    is_named: bool = False
    unknown_ids: tuple[str, ...] = ()


def compose(
    question: str,
    understanding: Understanding,
    payments: Sequence[PaymentEvidence],
    passages: Sequence[Passage],
    *,
    min_score: float,
) -> Composition:
    """Answer from the payments (all that the asker may see) and the passages (at or above `min_score`).

    Facts first, at most one quotation of a document after them. Every status, amount and date is the view's.
    """
    quoted = quote(question, passages, min_score=min_score)
    tell = _TELLERS.get(understanding.intent)
    if tell is None:
        nothing = "I do not know the answer to this question: no document that I may quote speaks to it."
        statements = [] if quoted else [Statement(text=nothing)]
        return _composition(understanding.intent, statements, quoted, passages, abstained=quoted is None)
    asked = _asked(understanding, payments)
    statements = tell(asked) if asked.payments else []
    if asked.unknown_ids:
        statements.append(Statement(text=f"I do not know of {listing([_named(each) for each in asked.unknown_ids])}."))
    elif not statements:
        what = "payout" if understanding.intent == "payout_status" else "payment"
        statements.append(Statement(text=f"I do not know of a {what} that this question could be about."))
    abstained = not any(statement.facts for statement in statements)
    return _composition(understanding.intent, statements, quoted, passages, abstained=abstained)


def _composition(
    intent: Intent,
    statements: Sequence[Statement],
    quoted: DocumentCited | None,
    passages: Sequence[Passage],
    *,
    abstained: bool,
) -> Composition:
    texts = [statement.text for statement in statements]
    citations: list[Citation] = [
        FactCited(fact_id=fact.fact_id, position=fact.position) for statement in statements for fact in statement.facts
    ]
    if quoted is not None:
        texts.append(f'{_source(quoted, passages)}: "{quoted.quote}"')
        citations.append(quoted)
    about = [(payment_id, each.is_settled) for each in statements for payment_id in each.about]
    return Composition(
        answer=" ".join(texts),
        abstained=abstained,
        citations=tuple(dict.fromkeys(citations)),
        stated_payment_ids=tuple(dict.fromkeys(payment_id for payment_id, is_settled in about if is_settled)),
        payment_ids=tuple(dict.fromkeys(payment_id for payment_id, _ in about)),
        intent=intent,
    )


def _source(quoted: DocumentCited, passages: Sequence[Passage]) -> str:
    title = next((passage.title for passage in passages if passage.document_id == quoted.document_id), "")
    return f'From "{title}"' if title else "From our documents"


def _asked(understanding: Understanding, payments: Sequence[PaymentEvidence]) -> _Asked:
    """The payments that the question names by an id; else those with an amount that it names; else all.

    A payout pays many payments out at once: unless it is named, it is only looked at where payouts are asked about.
    """
    latest_first = sorted(payments, key=lambda each: (each.view.occurred_at, each.view.payment_id), reverse=True)
    named = (*understanding.payment_ids, *understanding.object_ids)
    if named:
        meant = [not set(named).isdisjoint(each.names()) for each in latest_first]
    else:
        wants_payouts = understanding.intent == "payout_status"
        latest_first = [each for each in latest_first if bool(each.view.payouts) == wants_payouts]
        meant = [_has_amount(each, understanding) for each in latest_first]
        meant = meant if any(meant) else [True] * len(meant)
    payments = [each for each, is_meant in zip(latest_first, meant, strict=True) if is_meant]
    known = {name for each in payments for name in each.names()}
    return _Asked(
        payments=payments,
        others=[each for each, is_meant in zip(latest_first, meant, strict=True) if not is_meant],
        is_named=bool(named),
        unknown_ids=tuple(name for name in named if name not in known),
    )


def _has_amount(evidence: PaymentEvidence, understanding: Understanding) -> bool:
    view = evidence.view
    parts = (*view.refunds, *view.disputes, *view.payouts)
    amounts_minor = {view.amount_minor, *(part.amount_minor for part in parts)}
    return any(
        each.amount_minor in amounts_minor and each.currency in {"", view.currency} for each in understanding.amounts
    )


_OBJECTS = {"po": "payout", "re": "refund", "pyr": "refund", "dp": "dispute", "du": "dispute"}


def _named(object_id: str) -> str:
    return f"a {_OBJECTS.get(object_id.partition('_')[0], 'payment')} {object_id}"


def _each(
    payments: Sequence[PaymentEvidence], tell: Callable[[PaymentEvidence], list[Statement]], *, kind: str = "payments"
) -> list[Statement]:
    """What there is to tell of each payment, after a list of them where there are several."""
    told = payments[:LISTED_MAX]
    statements = [
        statement
        for each in told
        for statement in ([checking(each)] if each.view.certainty == "conflicting" else [*tell(each), *caveat(each)])
    ]
    if len(payments) == 1:
        return statements
    ids = listing([each.view.payment_id for each in told])
    latest = f"; the latest {LISTED_MAX} are" if len(payments) > LISTED_MAX else ":"
    return [Statement(text=f"I see {len(payments)} {kind}{latest} {ids}."), *statements]


def _tell_payment(asked: _Asked) -> list[Statement]:
    return _each(asked.payments, everything)


def _tell_refunds(asked: _Asked) -> list[Statement]:
    """The refunds there are. A payment without one is only spoken of if it was named or none has any."""
    refunded = [each for each in asked.payments if each.view.refunds]
    if refunded and not asked.is_named:
        return _each(refunded, of_refunds, kind="payments with refunds")
    return _each(asked.payments, lambda each: of_refunds(each) or [no_refund(each)])


def _tell_disputes(asked: _Asked) -> list[Statement]:
    disputed = [each for each in asked.payments if each.view.disputes]
    if disputed and not asked.is_named:
        return _each(disputed, of_disputes, kind="payments with disputes")
    return _each(asked.payments, lambda each: of_disputes(each) or [no_dispute(each)])


def _tell_payouts(asked: _Asked) -> list[Statement]:
    return _each(asked.payments, everything, kind="payouts")


def _tell_decline(asked: _Asked) -> list[Statement]:
    """Why payments failed. If none did, how they stand."""
    failed = [each for each in asked.payments if each.view.status == "failed"]
    if failed and not asked.is_named:
        return _each(failed, lambda each: [of_status(each)], kind="payments that failed")
    return _each(asked.payments, lambda each: [of_status(each)])


def _tell_charged_twice(asked: _Asked) -> list[Statement]:
    """Payments of one amount that were captured within ten minutes; else, which were captured at all."""
    amounts = {(each.view.amount_minor, each.view.currency) for each in asked.payments}
    twins = [each for each in asked.others if (each.view.amount_minor, each.view.currency) in amounts]
    settled = [each for each in (*asked.payments, *twins) if each.view.certainty != "conflicting"]
    checked = [each for each in (*asked.payments, *twins) if each.view.certainty == "conflicting"]
    captured = [each for each in settled if each.view.status == "captured"]
    repeated = _repeated(captured)
    if repeated:
        told = [_charged_repeatedly(group) for group in repeated]
        shown = [each for group in repeated for each in group]
        told += [statement for each in shown for statement in of_refunds(each)]
    else:
        shown = settled[:LISTED_MAX]
        told = [_not_repeated(settled, captured, asked, so_far=bool(checked))] if settled else []
        told += [statement for each in shown for statement in (of_status(each), *of_refunds(each))]
    return [*told, *(statement for each in shown for statement in caveat(each)), *map(checking, checked)]


def _repeated(captured: Sequence[PaymentEvidence]) -> list[list[PaymentEvidence]]:
    """The groups of two and more of one amount, each captured within ten minutes of the one before."""
    of_amount: dict[tuple[int, str], list[PaymentEvidence]] = {}
    # Of a payment that only its refund proves, neither the amount nor the time of its capture is known.
    timed = [each for each in captured if each.view.amount_minor and deciding(each).is_own]
    for each in sorted(timed, key=lambda each: (deciding(each).occurred_at, each.view.payment_id)):
        of_amount.setdefault((each.view.amount_minor, each.view.currency), []).append(each)
    groups = []
    for equal in of_amount.values():
        group = equal[:1]
        for before, each in pairwise(equal):
            if deciding(each).occurred_at - deciding(before).occurred_at > TWICE_WITHIN:
                groups.append(group)
                group = []
            group.append(each)
        groups.append(group)
    return [group for group in groups if len(group) > 1]


def _charged_repeatedly(group: Sequence[PaymentEvidence]) -> Statement:
    view = group[0].view
    when = listing([f"{each.view.payment_id} on {day(deciding(each).occurred_at)}" for each in group])
    return Statement(
        text=f"I see {len(group)} payments of {amount(view, view.amount_minor)}, "
        f"each captured within 10 minutes of another: {when}.",
        facts=tuple(deciding(each) for each in group),
        about=tuple(each.view.payment_id for each in group),
    )


def _not_repeated(
    settled: Sequence[PaymentEvidence], captured: Sequence[PaymentEvidence], asked: _Asked, *, so_far: bool
) -> Statement:
    of_amount = " of the amount asked about" if asked.others else ""
    if len(captured) == 1:
        text = f"only one payment{of_amount} was captured"
    elif captured:
        text = f"I see {len(captured)} captured payments, but no two of the same amount within 10 minutes"
    else:
        text = f"no payment{of_amount} was captured"
    return Statement(
        text=sentence(f"so far {text}" if so_far else text),
        facts=tuple(deciding(each) for each in captured),
        about=tuple(each.view.payment_id for each in settled),
    )


_TELLERS: Mapping[Intent, Callable[[_Asked], list[Statement]]] = {
    "refund_status": _tell_refunds,
    "payment_status": _tell_payment,
    "dispute_status": _tell_disputes,
    "decline_reason": _tell_decline,
    "charged_twice": _tell_charged_twice,
    "payout_status": _tell_payouts,
}
