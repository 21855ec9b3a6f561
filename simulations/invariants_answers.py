"""What must hold of answers: true to the log, entered before they leave, corrected exactly where they were wrong."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from domain.answer import AnswerInvalidated, AnswerRecord, StatedPayment, differing, stated
from domain.payment import PaymentView
from gateway.asking import AnswerJson, AskRequest
from simulations.oracle import POSITION_MAX, History, Told

_NOBODY = Told()
# What an answer was wrong about: by payment, what was so.
Truth = dict[str, StatedPayment | None]


class AnswerChecks:
    """Compares what is said with the log.

    Args:
        history: the log refolded.
        violated: told the name of an invariant and what was seen.
    """

    def __init__(self, history: History, violated: Callable[[str, str], None]) -> None:
        self._history = history
        self._violated = violated
        self._left: dict[tuple[str, str], int] = {}

    def left(self, tenant: str, request: AskRequest, answer: AnswerJson) -> None:
        """An answer left the gateway, cached or not: it is in the ledger already, as it was said, and it is true."""
        key = (tenant, answer.answer_id)
        self._left[key] = self._left.get(key, 0) + 1
        entered = self._history.answers.get(key, _NOBODY)
        if entered.times < self._left[key]:
            self._violated("ledger", f"{tenant}: {answer.answer_id} left before it was entered")
        shown = {payment.payment_id for payment in answer.payments}
        if [record.answer for record in entered.records] != [answer.answer] or not all(
            said.payment_id in shown for record in entered.records for said in record.stated
        ):
            self._violated("ledger", f"{tenant}: {answer.answer_id} is entered as {entered.records}")
        known_at = answer.position if request.known_at is None else request.known_at
        for named in _payments_named(request.question):
            if named not in shown and self._history.view(tenant, named, known_at) is not None:
                self._violated("answers", f"nothing was said of {named}, known at {known_at}: {answer.answer}")
        for said in answer.payments:
            then = self._history.view(tenant, said.payment_id, known_at)
            if then is None or of_view(then) != of_json(msgspec.to_builtins(said)):
                how = "cached" if answer.cached else "fresh"
                self._violated(
                    "answers", f"{how}, {said.payment_id} at {known_at}: {of_json(msgspec.to_builtins(said))}"
                )

    def at_the_end(self) -> None:
        """Whatever was said is in the ledger, as often as it was said or more."""
        for (tenant, answer_id), times in self._left.items():
            if self._history.answers.get((tenant, answer_id), _NOBODY).times < times:
                self._violated("ledger", f"{tenant}: {answer_id} was said more often than it was entered")

    def corrections(self) -> None:
        """Judged wrong is exactly what was wrong when it was given, each time for a reason that was known by then."""
        for (tenant, answer_id), told in self._history.answers.items():
            for record in told.records[:1]:
                where = f"{tenant}: {answer_id}"
                last = told.judged[-1][1] if told.judged else None
                wrong = self._wrong(tenant, record, told, POSITION_MAX)
                corrected = _truth(last) if isinstance(last, AnswerInvalidated) else {}
                if corrected != wrong:
                    self._violated("corrections", f"{where} is corrected by {corrected} and should be by {wrong}")
                before: Truth = {}
                for position, judged in told.judged:
                    now = _truth(judged) if isinstance(judged, AnswerInvalidated) else {}
                    if now == before:
                        self._violated("corrections", f"{where} is corrected at {position} by what was said before")
                    elif not self._was_so(tenant, record, told, now, position):
                        self._violated("corrections", f"{where} is corrected at {position} by what was never known")
                    before = now

    def _was_so(self, tenant: str, record: AnswerRecord, told: Told, truth: Truth, until: int) -> bool:
        """Whether that was the truth about an answer at any position before one."""
        positions = [0, *(each for each in self._history.positions(tenant) if each < until)]
        return any(self._wrong(tenant, record, told, each) == truth for each in reversed(positions))

    def _wrong(self, tenant: str, record: AnswerRecord, told: Told, known_at: int) -> Truth:
        """The payments of which an answer was wrong at one of the times at which it was given, known at a position."""
        if record.basis.known_at is not None:
            return {}
        times = sorted([record.as_of, *(max(record.as_of, at) for at in told.repeated_at)])
        wrong: Truth = {}
        for said in record.stated:
            so = next((so for so in self._then(tenant, said, times, known_at) if differing(said, so)), said)
            if so is not said:
                wrong[said.payment_id] = so
        return wrong

    def _then(
        self, tenant: str, said: StatedPayment, times: list[datetime], known_at: int
    ) -> "list[StatedPayment | None]":
        views = [self._history.view(tenant, said.payment_id, known_at, as_of) for as_of in times]
        return [None if view is None else stated(view) for view in views]


def _truth(judged: AnswerInvalidated) -> Truth:
    return {each.said.payment_id: each.so for each in judged.untrue}


def _payments_named(question: str) -> list[str]:
    return [word.rstrip("?") for word in question.split() if word.startswith("pi_")]


def of_view(view: PaymentView) -> dict[str, Any]:
    """What an answer states of a payment, from the view."""
    return of_json(msgspec.to_builtins(view))


def of_json(payment: dict[str, Any]) -> dict[str, Any]:
    """What an answer states of a payment, from its JSON."""
    parts = {
        name: [(part["id"], part["status"], part["amount_minor"]) for part in payment[name]]
        for name in ("refunds", "disputes")
    }
    return {
        **{name: payment[name] for name in ("status", "amount_minor", "captured_minor", "refunded_minor", "certainty")},
        **parts,
    }
