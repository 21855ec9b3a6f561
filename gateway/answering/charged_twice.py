"""Was it charged twice? Payments of one amount that were captured within ten minutes of each other."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import msgspec

from domain.evidence import PaymentEvidence
from gateway.answering.speech import Speech
from gateway.answering.statements import Statement, caveat, checking, deciding, of_refunds, of_status

TWICE_WITHIN = timedelta(minutes=10)


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """The payments that are asked about, the asker's other ones, and of how many of them is told at most."""

    payments: Sequence[PaymentEvidence]
    others: Sequence[PaymentEvidence]
    shown_max: int


def tell_charged(asked: Charged, speech: Speech) -> list[Statement]:
    """The payments of one amount that were captured shortly after one another; else, which were captured at all."""
    amounts = {(each.view.amount_minor, each.view.currency) for each in asked.payments}
    twins = [each for each in asked.others if (each.view.amount_minor, each.view.currency) in amounts]
    settled = [each for each in (*asked.payments, *twins) if each.view.certainty != "conflicting"]
    checked = [each for each in (*asked.payments, *twins) if each.view.certainty == "conflicting"]
    captured = [each for each in settled if each.view.status == "captured"]
    repeated = _repeated(captured)
    if repeated:
        told = [_charged_repeatedly(group, speech) for group in repeated]
        shown = [each for group in repeated for each in group]
        told += [statement for each in shown for statement in of_refunds(each, speech)]
    else:
        shown = settled[: asked.shown_max]
        told = [_not_repeated(settled, captured, asked, speech, is_so_far=bool(checked))] if settled else []
        told += [each for shown_one in shown for each in (of_status(shown_one, speech), *of_refunds(shown_one, speech))]
    caveats = [statement for each in shown for statement in caveat(each, speech)]
    return [*told, *caveats, *(checking(each, speech) for each in checked)]


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


def _charged_repeatedly(group: Sequence[PaymentEvidence], speech: Speech) -> Statement:
    view = group[0].view
    times = [(each.view.payment_id, deciding(each).occurred_at) for each in group]
    return Statement(
        text=speech.charged_repeatedly(speech.amount(view.amount_minor, view.currency), times),
        facts=tuple(deciding(each) for each in group),
        about=tuple(each.view.payment_id for each in group),
    )


def _not_repeated(
    settled: Sequence[PaymentEvidence],
    captured: Sequence[PaymentEvidence],
    asked: Charged,
    speech: Speech,
    *,
    is_so_far: bool,
) -> Statement:
    return Statement(
        text=speech.not_repeated(len(captured), is_of_amount=bool(asked.others), is_so_far=is_so_far),
        facts=tuple(deciding(each) for each in captured),
        about=tuple(each.view.payment_id for each in settled),
    )
