"""What is said to a customer whose answer was wrong: what we told them and when, what was so, and how it stands now."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domain.answer import StatedPart, StatedPayment, Untruth
from domain.evidence import PaymentEvidence
from domain.money import format_amount
from gateway.answering.statements import checking, of_disputes, of_payouts, of_refunds, of_status
from gateway.answering.wording import day, listing

_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

# How an object stood at the time of the answer, after its name.
_PAYMENT: Mapping[str, str] = {
    "pending": "was pending and not paid",
    "requires_action": "was waiting for an action of the customer",
    "processing": "was being processed",
    "authorized": "was authorized and not taken",
    "captured": "had been captured",
    "failed": "had failed",
    "canceled": "had been canceled",
}
_PART: Mapping[str, str] = {
    "pending": "was requested and not finished",
    "requires_action": "was waiting for an action of the customer",
    "succeeded": "had succeeded",
    "failed": "had failed",
    "canceled": "had been canceled",
    "inquiry": "was an inquiry",
    "open": "was open",
    "under_review": "was under review",
    "won": "had been won by the merchant",
    "lost": "had been lost by the merchant",
    "in_transit": "was in transit to the bank",
    "paid": "had been paid",
}
_OWN = frozenset({"status", "amount_minor", "currency", "captured_minor"})
_PARTS = {"refunds": "refund", "disputes": "dispute", "payouts": "payout"}
_NOW = {"refunds": of_refunds, "disputes": of_disputes, "payouts": of_payouts}


def correction(untrue: Sequence[Untruth], now: Mapping[str, PaymentEvidence]) -> str:
    """`We told you on Tuesday, 3 March 2026, that ... . It is now known that ... . As it stands now: ...`.

    `now` has each payment by the id under which it was stated.
    """
    return " ".join(_of_payment(each, now.get(each.said.payment_id)) for each in untrue)


def reinstatement(given_at: datetime) -> str:
    """What is said where a correction was sent and the answer was right after all."""
    return f"We wrote to you that what we told you on {_on(given_at)} was wrong. It is now known that it was right."


def _of_payment(untrue: Untruth, now: PaymentEvidence | None) -> str:
    said, so = untrue.said, untrue.so
    as_of = "" if untrue.as_of.date() >= untrue.given_at.date() else f" as of {day(untrue.as_of)}"
    told, known = [], []
    if so is None or not _OWN.isdisjoint(untrue.fields):
        told.append(_payment(said))
        known.append(_payment(so) if so is not None else f"nothing of payment {said.payment_id} had happened")
    for field, kind in _PARTS.items():
        if so is not None and field in untrue.fields:
            _compare_parts(kind, said, so, getattr(said, field), getattr(so, field), told, known)
    sentences = [
        f"We told you on {_on(untrue.given_at)}, that{as_of} {listing(told)}.",
        f"It is now known that by then {listing(known)}.",
    ]
    if now is not None:
        sentences.append(f"As it stands now: {_standing(untrue, now)}")
    return " ".join(sentences)


def _compare_parts(
    kind: str,
    said: StatedPayment,
    so: StatedPayment,
    parts_said: Sequence[StatedPart],
    parts_so: Sequence[StatedPart],
    told: list[str],
    known: list[str],
) -> None:
    """The parts that differ: as they were told, and as they were."""
    by_id_said = {part.id: part for part in parts_said}
    by_id_so = {part.id: part for part in parts_so}
    for part_id in sorted(by_id_said | by_id_so):
        before, after = by_id_said.get(part_id), by_id_so.get(part_id)
        if before == after:
            continue
        told.append(_part(kind, said, before) if before else f"payment {said.payment_id} had no {kind} {part_id}")
        known.append(_part(kind, so, after) if after else f"there was no {kind} {part_id}")


def _payment(payment: StatedPayment) -> str:
    of_amount = f" of {format_amount(payment.amount_minor, payment.currency)}" if payment.amount_minor else ""
    captured_minor = payment.captured_minor or 0
    part = ""
    if payment.status == "captured" and 0 < captured_minor < payment.amount_minor:
        part = f"{format_amount(captured_minor, payment.currency)} of "
    stood = _PAYMENT.get(payment.status, f"was reported as {payment.status}")
    return f"{part}payment {payment.payment_id}{of_amount} {stood}"


def _part(kind: str, payment: StatedPayment, part: StatedPart) -> str:
    stood = _PART.get(part.status, f"was reported as {part.status}")
    amount = format_amount(part.amount_minor, payment.currency)
    return f"the {kind} {part.id} of {amount} for payment {payment.payment_id} {stood}"


def _standing(untrue: Untruth, now: PaymentEvidence) -> str:
    """How what was told wrongly stands today, in the words of an answer."""
    if now.view.certainty == "conflicting":
        return checking(now).text
    statements = [each for field, tell in _NOW.items() if field in untrue.fields for each in tell(now)]
    if not statements or not _OWN.isdisjoint(untrue.fields):
        statements.insert(0, of_status(now))
    return " ".join(each.text for each in statements)


def _on(at: datetime) -> str:
    """`Tuesday, 3 March 2026`, in UTC."""
    return f"{_WEEKDAYS[at.astimezone(UTC).weekday()]}, {day(at)}"
