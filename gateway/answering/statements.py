"""Sentences about a payment. Each says only what its view holds and brings the facts that decide it."""

from collections.abc import Mapping, Sequence

import msgspec

from domain.evidence import FactCitation, PaymentEvidence
from domain.payment import PartView, PaymentStatus, PaymentView
from gateway.answering.wording import CANCELLATIONS, CLAIMS, FAILURES, amount, day, in_words, payment, sentence


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


def checking(evidence: PaymentEvidence) -> Statement:
    """Reports that contradict each other settle nothing."""
    return Statement(
        text=f"The provider's reports about payment {evidence.view.payment_id} contradict each other. "
        "It is being checked with the provider, and until then nothing about this payment is settled.",
        facts=evidence.citations,
        about=(evidence.view.payment_id,),
        is_settled=False,
    )


def of_status(evidence: PaymentEvidence) -> Statement:
    """How the payment itself stands."""
    fact = deciding(evidence)
    return Statement(text=sentence(_status(evidence.view, fact)), facts=(fact,), about=(evidence.view.payment_id,))


def _status(view: PaymentView, fact: FactCitation) -> str:
    subject = payment(view)
    # A refund that is all we know proves the capture, not its date.
    on = f" on {day(fact.occurred_at)}" if fact.is_own else ""
    since = f" since {day(fact.occurred_at)}" if fact.is_own else ""
    match view.status:
        case "pending":
            return f"{subject} is pending{since}: it has not been paid"
        case "requires_action":
            return f"{subject} is waiting{since} for an action that it requires of the customer; no money was taken"
        case "processing":
            return f"{subject} is processing{since}: its outcome is not known yet"
        case "authorized":
            return f"{subject} is authorized{since}: the money is reserved and has not been taken"
        case "captured":
            part = f"{amount(view, view.captured_minor)} of " if 0 < view.captured_minor < view.amount_minor else ""
            return f"{part}{subject} was captured{on}"
        case "failed":
            return f"{subject} failed{on}{in_words(view.reason, FAILURES)}; no money was taken"
        case "canceled":
            return f"{subject} was canceled{on}{in_words(view.reason, CANCELLATIONS)}"


def of_refunds(evidence: PaymentEvidence) -> list[Statement]:
    """Each refund of the payment, the oldest first."""
    refunds = sorted(evidence.view.refunds, key=lambda part: (evidence.of(f"refund:{part.id}").occurred_at, part.id))
    return [_of_refund(evidence, part) for part in refunds]


def _of_refund(evidence: PaymentEvidence, refund: PartView) -> Statement:
    view = evidence.view
    fact = evidence.of(f"refund:{refund.id}")
    on = day(fact.occurred_at)
    subject = f"the refund {refund.id} of {amount(view, refund.amount_minor)} for payment {view.payment_id}"
    match refund.status:
        case "pending":
            text = f"{subject} has been requested and is not finished"
        case "requires_action":
            text = f"{subject} is waiting since {on} for an action that it requires of the customer"
        case "succeeded":
            returned = amount(view, refund.amount_minor)
            text = f"{returned} of payment {view.payment_id} was refunded on {on} (refund {refund.id})"
        case "failed":
            text = f"{subject} failed on {on}{in_words(refund.reason, FAILURES)}; {_not_returned(view)}"
        case "canceled":
            text = f"{subject} was canceled on {on}{in_words(refund.reason, FAILURES)}; {_not_returned(view)}"
        case status:
            text = f"{subject} is reported as {status} since {on}"
    return Statement(text=sentence(text), facts=(fact,), about=(view.payment_id,))


def _not_returned(view: PaymentView) -> str:
    """What a refund that came to nothing means, without a word about the other refunds."""
    if view.refunded_minor:
        return "the money of this refund has not been returned to the customer"
    return "the money has not been returned to the customer"


def no_refund(evidence: PaymentEvidence) -> Statement:
    """That there is none, and how the payment stands."""
    view, fact = evidence.view, deciding(evidence)
    if view.certainty == "incomplete":
        text = f"I have not heard of a refund for payment {view.payment_id} so far"
    else:
        text = f"there is no refund for payment {view.payment_id}"
    return Statement(text=f"{sentence(text)} {sentence(_status(view, fact))}", facts=(fact,), about=(view.payment_id,))


def of_disputes(evidence: PaymentEvidence) -> list[Statement]:
    """Each dispute of the payment, the oldest first."""
    disputes = sorted(evidence.view.disputes, key=lambda part: (evidence.of(f"dispute:{part.id}").occurred_at, part.id))
    return [_of_dispute(evidence, part) for part in disputes]


def _of_dispute(evidence: PaymentEvidence, dispute: PartView) -> Statement:
    view = evidence.view
    fact = evidence.of(f"dispute:{dispute.id}")
    on = day(fact.occurred_at)
    claim = in_words(dispute.reason, CLAIMS)
    subject = f"the dispute {dispute.id} about {amount(view, dispute.amount_minor)} of payment {view.payment_id}{claim}"
    match dispute.status:
        case "inquiry":
            text = f"{subject} is an inquiry since {on}"
        case "open":
            text = f"{subject} is open since {on}"
        case "under_review":
            text = f"{subject} is under review since {on}"
        case "won":
            text = f"{subject} was won on {on}: the decision is in the merchant's favour"
        case "lost":
            text = f"{subject} was lost on {on}: the decision is in the customer's favour"
        case status:
            text = f"{subject} is reported as {status} since {on}"
    return Statement(text=sentence(text), facts=(fact,), about=(view.payment_id,))


def no_dispute(evidence: PaymentEvidence) -> Statement:
    """That there is none, and how the payment stands."""
    view, fact = evidence.view, deciding(evidence)
    heard = "I have not heard of a dispute" if view.certainty == "incomplete" else "There is no dispute"
    return Statement(
        text=f"{heard} about payment {view.payment_id}. {sentence(_status(view, fact))}",
        facts=(fact,),
        about=(view.payment_id,),
    )


def of_payouts(evidence: PaymentEvidence) -> list[Statement]:
    """Each payout, the oldest first."""
    payouts = sorted(evidence.view.payouts, key=lambda part: (evidence.of(f"payout:{part.id}").occurred_at, part.id))
    return [_of_payout(evidence, part) for part in payouts]


def _of_payout(evidence: PaymentEvidence, payout: PartView) -> Statement:
    view = evidence.view
    fact = evidence.of(f"payout:{payout.id}")
    on = day(fact.occurred_at)
    subject = f"the payout {payout.id} of {amount(view, payout.amount_minor)}"
    match payout.status:
        case "pending":
            text = f"{subject} is pending since {on}"
        case "in_transit":
            text = f"{subject} is in transit to the bank since {on}"
        case "paid":
            text = f"{subject} was paid on {on}"
        case "failed":
            text = f"{subject} failed on {on}{in_words(payout.reason, FAILURES)}"
        case "canceled":
            text = f"{subject} was canceled on {on}"
        case status:
            text = f"{subject} is reported as {status} since {on}"
    return Statement(text=sentence(text), facts=(fact,), about=(view.payment_id,))


def caveat(evidence: PaymentEvidence) -> list[Statement]:
    """That something is missing, where it is."""
    if evidence.view.certainty != "incomplete":
        return []
    missing = f"something that payment {evidence.view.payment_id} refers to has not arrived yet"
    return [Statement(text=sentence(f"{missing}; it may change this answer"))]


def everything(evidence: PaymentEvidence) -> list[Statement]:
    """All that is known of the payment: itself, its refunds, its disputes; of a payout that alone."""
    own: Sequence[Statement] = of_payouts(evidence) or [of_status(evidence)]
    return [*own, *of_refunds(evidence), *of_disputes(evidence)]
