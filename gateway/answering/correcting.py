"""What is said to a customer whose answer was wrong: what we told them and when, what was so, and how it stands now.

It is said in the language of the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from domain.answer import StatedPart, StatedPayment, Untruth
from domain.evidence import PaymentEvidence
from gateway.answering.correcting_words import WORDS, CorrectingWords
from gateway.answering.language import LANGUAGES, Language
from gateway.answering.speaking import speech_in
from gateway.answering.speech import Speech
from gateway.answering.statements import Statement, checking, of_disputes, of_payouts, of_refunds, of_status

_OWN = frozenset({"status", "amount_minor", "currency", "captured_minor", "reason"})
_PARTS = {"refunds": "refund", "disputes": "dispute", "payouts": "payout"}
_NOW: Mapping[str, Callable[[PaymentEvidence, Speech], list[Statement]]] = {
    "refunds": of_refunds,
    "disputes": of_disputes,
    "payouts": of_payouts,
}


def correction(untrue: Sequence[Untruth], now: Mapping[str, PaymentEvidence], language: str = "en") -> str:
    """`We told you on Tuesday, 3 March 2026, that ... . It is now known that ... . As it stands now: ...`.

    `now` has each payment by the id under which it was stated.
    """
    told = _Telling(_known(language))
    return " ".join(told.of_payment(each, now.get(each.said.payment_id)) for each in untrue)


def reinstatement(given_at: datetime, language: str = "en") -> str:
    """What is said where a correction was sent and the answer was right after all."""
    told = _Telling(_known(language))
    return told.words.reinstated.format(on=told.on(given_at))


def _known(language: str) -> Language:
    """The language, or English for one that this version does not speak."""
    return next((each for each in LANGUAGES if each == language), "en")


class _Telling:
    """One correction in one language. Days are in UTC: the answer's own zone is not kept."""

    def __init__(self, language: Language) -> None:
        self.words: CorrectingWords = WORDS[language]
        self._speech = speech_in(language)

    def of_payment(self, untrue: Untruth, now: PaymentEvidence | None) -> str:
        said, so = untrue.said, untrue.so
        is_same_day = untrue.as_of.date() >= untrue.given_at.date()
        as_of = "" if is_same_day else self.words.as_of.format(on=self._speech.day(untrue.as_of))
        told: list[str] = []
        known: list[str] = []
        if so is None or not _OWN.isdisjoint(untrue.fields):
            with_reason = so is not None and so.status == said.status
            told.append(self._payment(said, with_reason=with_reason))
            nothing = self.words.nothing_happened.format(payment=said.payment_id)
            known.append(self._payment(so, with_reason=with_reason) if so is not None else nothing)
        for field, kind in _PARTS.items():
            if so is not None and field in untrue.fields:
                self._compare(kind, (said, so), getattr(said, field), getattr(so, field), told, known)
        sentences = [
            self.words.told.format(on=self.on(untrue.given_at), as_of=as_of, what=self._speech.listing(told)),
            self.words.known.format(what=self._speech.listing(known)),
        ]
        if now is not None:
            sentences.append(self.words.now.format(what=self._standing(untrue, now)))
        return " ".join(sentences)

    def _compare(
        self,
        kind: str,
        payments: tuple[StatedPayment, StatedPayment],
        parts_said: Sequence[StatedPart],
        parts_so: Sequence[StatedPart],
        told: list[str],
        known: list[str],
    ) -> None:
        """The parts that differ: as they were told, and as they were."""
        said, so = payments
        by_id_said = {part.id: part for part in parts_said}
        by_id_so = {part.id: part for part in parts_so}
        name = self.words.kinds[kind]
        for part_id in sorted(by_id_said | by_id_so):
            before, after = by_id_said.get(part_id), by_id_so.get(part_id)
            if before == after:
                continue
            with_reason = before is not None and after is not None and before.status == after.status
            had_none = self.words.had_none.format(payment=said.payment_id, kind=name, id=part_id)
            was_none = self.words.was_none.format(kind=name, id=part_id)
            told.append(self._part(kind, said, before, with_reason=with_reason) if before else had_none)
            known.append(self._part(kind, so, after, with_reason=with_reason) if after else was_none)

    def _payment(self, payment: StatedPayment, *, with_reason: bool) -> str:
        amount = self._speech.amount(payment.amount_minor, payment.currency)
        of_amount = self.words.of_amount.format(amount=amount) if payment.amount_minor else ""
        captured_minor = payment.captured_minor or 0
        part = ""
        if payment.status == "captured" and 0 < captured_minor < payment.amount_minor:
            part = self.words.part_of.format(amount=self._speech.amount(captured_minor, payment.currency))
        stood = self.words.payment.get(payment.status, self.words.reported.format(status=payment.status))
        why = self.words.why(payment.status, payment.reason or "") if with_reason else ""
        name = self.words.kinds["payment"]
        return f"{part}{name} {payment.payment_id}{of_amount} {stood}{why}"

    def _part(self, kind: str, payment: StatedPayment, part: StatedPart, *, with_reason: bool) -> str:
        stood = self.words.part.get(part.status, self.words.reported.format(status=part.status))
        subject = self.words.part_subject.format(
            kind=self.words.kinds[kind],
            id=part.id,
            amount=self._speech.amount(part.amount_minor, payment.currency),
            payment=payment.payment_id,
        )
        why = self.words.why(kind if kind == "dispute" else part.status, part.reason or "") if with_reason else ""
        return f"{subject} {stood}{why}"

    def _standing(self, untrue: Untruth, now: PaymentEvidence) -> str:
        """How what was told wrongly stands today, in the words of an answer."""
        if now.view.certainty == "conflicting":
            return checking(now, self._speech).text
        statements = [
            each for field, tell in _NOW.items() if field in untrue.fields for each in tell(now, self._speech)
        ]
        if not statements or not _OWN.isdisjoint(untrue.fields):
            statements.insert(0, of_status(now, self._speech))
        return " ".join(each.text for each in statements)

    def on(self, at: datetime) -> str:
        """`Tuesday, 3 March 2026`, in UTC."""
        return f"{self.words.weekdays[at.astimezone(UTC).weekday()]}, {self._speech.day(at)}"
