"""The payments of a log, folded from nothing as it grows: views are checked with it, and answers replayed."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import msgspec

from domain.answer import AnswerGiven, AnswerInvalidated, AnswerRecord, AnswerReinstated
from domain.fact import RecordedFact
from domain.payment import PaymentView, view
from domain.payment_saga import FactRecorded, PaymentLinked
from projections.feed import Feed, LogEntry

PAGE = 5_000

Fold = Callable[[str, list[RecordedFact]], PaymentView | None]


class Refold:
    """Facts by payment, and what was answered.

    Args:
        feed: the log.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.position = 0
        self._facts: dict[tuple[str, str], list[RecordedFact]] = {}
        self._target: dict[tuple[str, str], tuple[str, int]] = {}
        self._sources: dict[tuple[str, str], list[str]] = {}
        # Payments of which something was read since `take_touched`.
        self._touched: set[tuple[str, str]] = set()
        self.answers: dict[str, AnswerRecord] = {}
        # The answers whose last word is that they were wrong.
        self.invalidated: set[str] = set()

    def read(self) -> None:
        """Take in what is new."""
        while entries := self._feed.read(self.position, limit=PAGE).entries:
            for entry in entries:
                self._take_in(entry)
            self.position = entries[-1].position

    def _take_in(self, entry: LogEntry) -> None:
        if not entry.topic.startswith(("payment.fact_recorded", "payment.linked", "answer.")):
            return
        envelope = entry.envelope()
        at = entry.tenant, entry.key
        match envelope.event:
            case FactRecorded(fact=fact):
                recorded = RecordedFact(
                    fact=fact,
                    position=entry.position,
                    recorded_at=envelope.recorded_at,
                    correlation_id=envelope.trace.correlation_id,
                )
                self._facts.setdefault(at, []).append(recorded)
                self._touched.add((entry.tenant, self._root(*at)))
            case PaymentLinked(payment_id=payment_id) if payment_id != entry.key:
                self._target.setdefault(at, (payment_id, entry.position))
                self._sources.setdefault((entry.tenant, payment_id), []).append(entry.key)
                self._touched |= {at, (entry.tenant, self._root(*at))}
            case AnswerGiven(record=record):
                self.answers[record.answer_id] = record
            case AnswerInvalidated():
                self.invalidated.add(entry.key)
            case AnswerReinstated():
                self.invalidated.discard(entry.key)
            case _:
                pass

    def take_touched(self) -> set[tuple[str, str]]:
        """The tenants and payments of which something was read since the last time."""
        touched, self._touched = self._touched, set()
        return touched

    def payments(self, tenant: str) -> list[str]:
        """A tenant's payments, by id."""
        return sorted({self._root(of, key) for of, key in self._facts if of == tenant})

    def facts(self, tenant: str, payment_id: str, known_at: int | None = None) -> list[RecordedFact]:
        """The facts of a payment and of what is linked to it, each once, as known at a position."""
        found: dict[str, RecordedFact] = {}
        for recorded, joined in sorted(self._members(tenant, payment_id), key=lambda each: each[0].position):
            if known_at is None or max(recorded.position, joined) <= known_at:
                found.setdefault(recorded.fact.fact_id, recorded)
        return list(found.values())

    def view(self, tenant: str, payment_id: str) -> PaymentView | None:
        """The payment as all of the log has it, with the position from which on that was known."""
        facts = self.facts(tenant, payment_id)
        folded = view(payment_id, facts)
        if folded is None:
            return None
        joined = {recorded.fact.fact_id: at for recorded, at in self._members(tenant, payment_id)}
        position = max(max(each.position, joined.get(each.fact.fact_id, 0)) for each in facts)
        return msgspec.structs.replace(folded, position=position)

    def _members(self, tenant: str, payment_id: str, joined: int = 0) -> Iterable[tuple[RecordedFact, int]]:
        """A payment's facts and those of its references, each with the last link's position."""
        yield from ((recorded, joined) for recorded in self._facts.get((tenant, payment_id), ()))
        for reference in self._sources.get((tenant, payment_id), ()):
            at = self._target[tenant, reference][1]
            yield from self._members(tenant, reference, max(joined, at))

    def _root(self, tenant: str, key: str) -> str:
        seen = {key}
        while (further := self._target.get((tenant, key))) is not None and further[0] not in seen:
            key = further[0]
            seen.add(key)
        return key


def stated_by(refold: Refold, payment_ids: Collection[str]) -> list[AnswerRecord]:
    """The answers that stated one of these payments, in the order in which they were given."""
    found = [each for each in refold.answers.values() if any(said.payment_id in payment_ids for said in each.stated)]
    return sorted(found, key=lambda each: (each.given_at, each.answer_id))


def as_of(fold: Fold, payment_id: str, facts: Iterable[RecordedFact], at: datetime) -> PaymentView | None:
    """A payment folded from what had occurred by a time."""
    return fold(payment_id, [each for each in facts if each.fact.occurred_at <= at])
