"""Sentences about a payment. Each says only what its view holds and brings the facts that decide it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from domain.evidence import FactCitation, PaymentEvidence
from domain.payment import PartView, PaymentStatus
from gateway.answering.english import ENGLISH
from gateway.answering.speech import Speech


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One or more sentences, the facts that they rest on, and the payments that they are about.

    `is_settled` is whether they say how the payments stand, and not only that this is being checked.
    """

    text: str
    facts: tuple[FactCitation, ...] = ()
    about: tuple[str, ...] = ()
    is_settled: bool = True


# The statuses of an object that make the payment's own status: of a charge and of a payout, in our words.
_BEHIND: Mapping[PaymentStatus, frozenset[str]] = {
    "captured": frozenset({"captured", "paid"}),
    "processing": frozenset({"processing", "pending", "in_transit"}),
}


def deciding(evidence: PaymentEvidence) -> FactCitation:
    """The fact that decides the payment's own status: the intent's, or a charge's or payout's that says more."""
    status = evidence.view.status
    behind = _BEHIND.get(status, frozenset({status}))
    for kind in ("intent", "charge", "payout"):
        proofs = [each for each in evidence.citations if each.kind == kind and each.status in behind]
        if proofs:
            return max(proofs, key=lambda each: (each.occurred_at, each.fact_id))
    # Without any of them it is the first that is known, or the money's return, which proves that it was taken.
    own = [each for each in evidence.citations if each.is_own]
    return (own or evidence.citations)[0]


def checking(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> Statement:
    """Reports that contradict each other settle nothing."""
    return Statement(
        text=speech.checking(evidence.view.payment_id),
        facts=evidence.citations,
        about=(evidence.view.payment_id,),
        is_settled=False,
    )


def of_status(evidence: PaymentEvidence, speech: Speech = ENGLISH, *, after: str = "") -> Statement:
    """How the payment itself stands, after what is said before."""
    fact = deciding(evidence)
    # A refund that is all we know proves the capture, not its date.
    status = speech.status(evidence.view, fact.occurred_at if fact.is_own else None)
    return Statement(text=f"{after} {status}".lstrip(), facts=(fact,), about=(evidence.view.payment_id,))


def of_refunds(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> list[Statement]:
    """Each refund of the payment, the oldest first."""
    return _of_parts(evidence, "refund", speech)


def of_disputes(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> list[Statement]:
    """Each dispute of the payment, the oldest first."""
    return _of_parts(evidence, "dispute", speech)


def of_payouts(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> list[Statement]:
    """Each payout, the oldest first."""
    return _of_parts(evidence, "payout", speech)


def _of_parts(evidence: PaymentEvidence, kind: str, speech: Speech) -> list[Statement]:
    view = evidence.view
    parts, say = {
        "refund": (view.refunds, speech.refund),
        "dispute": (view.disputes, speech.dispute),
        "payout": (view.payouts, speech.payout),
    }[kind]
    dated = sorted(((evidence.of(f"{kind}:{part.id}"), part) for part in parts), key=_age)
    return [
        Statement(text=say(view, part, fact.occurred_at), facts=(fact,), about=(view.payment_id,))
        for fact, part in dated
    ]


def _age(dated: tuple[FactCitation, PartView]) -> tuple[datetime, str]:
    fact, part = dated
    return fact.occurred_at, part.id


def no_refund(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> Statement:
    """That there is none, and how the payment stands."""
    return of_status(evidence, speech, after=speech.no_refund(evidence.view))


def no_dispute(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> Statement:
    """That there is none, and how the payment stands."""
    return of_status(evidence, speech, after=speech.no_dispute(evidence.view))


def caveat(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> list[Statement]:
    """That something is missing, where it is."""
    if evidence.view.certainty != "incomplete":
        return []
    return [Statement(text=speech.missing(evidence.view.payment_id))]


def everything(evidence: PaymentEvidence, speech: Speech = ENGLISH) -> list[Statement]:
    """All that is known of the payment: itself, its refunds, its disputes; of a payout that alone."""
    own: Sequence[Statement] = of_payouts(evidence, speech) or [of_status(evidence, speech)]
    return [*own, *of_refunds(evidence, speech), *of_disputes(evidence, speech)]
