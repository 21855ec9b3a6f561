"""A payment with the facts that decide it: what an answer may state, and what it cites for it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from domain.fact import Fact, RecordedFact
from domain.payment import PaymentView, fold, known, precedence, registers


class FactCitation(msgspec.Struct, frozen=True, kw_only=True):
    """The fact that decides what is said of one object: its status, amount and reason came with it.

    `object` is `intent`, `charge:<id>`, `refund:<id>`, `dispute:<id>` or `payout:<id>`.
    """

    object: str
    status: str
    fact_id: str
    position: int
    occurred_at: datetime
    recorded_at: datetime

    @property
    def kind(self) -> str:
        return self.object.partition(":")[0]

    @property
    def is_own(self) -> bool:
        """Whether the object makes the payment's own status, and is not a refund or dispute beside it."""
        return self.kind in {"intent", "charge", "payout"}


class PaymentEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A payment, and for each of its objects the deciding fact."""

    view: PaymentView
    citations: tuple[FactCitation, ...]

    def of(self, object_key: str) -> FactCitation:
        """The fact that decides an object of the view."""
        found = next((citation for citation in self.citations if citation.object == object_key), None)
        assert found is not None, f"{self.view.payment_id}: no fact is given for {object_key}"
        return found

    def names(self) -> Iterator[str]:
        """The ids by which a question may mean this payment: its own and those of its objects."""
        yield self.view.payment_id
        for citation in self.citations:
            yield citation.object.partition(":")[2] or self.view.payment_id


def evidence(
    payment_id: str, facts: Sequence[RecordedFact], *, as_of: datetime | None = None, known_at: int | None = None
) -> PaymentEvidence | None:
    """The payment and what decides it, as of a time in the world, as known at a log position.

    `None` if no fact qualifies.
    """
    chosen = known(facts, as_of=as_of, known_at=known_at)
    if not chosen:
        return None
    by_object: dict[str, list[RecordedFact]] = {}
    for recorded in chosen:
        by_object.setdefault(recorded.fact.object, []).append(recorded)
    citations = []
    for object_key, register in registers([recorded.fact for recorded in chosen]).items():
        recorded = _deciding(by_object[object_key], register.winner)
        citations.append(
            FactCitation(
                object=object_key,
                status=recorded.fact.status,
                fact_id=recorded.fact.fact_id,
                position=recorded.position,
                occurred_at=recorded.fact.occurred_at,
                recorded_at=recorded.recorded_at,
            )
        )
    view = fold(payment_id, [recorded.fact for recorded in chosen], max(recorded.position for recorded in chosen))
    return PaymentEvidence(view=view, citations=tuple(citations))


def _deciding(facts: Sequence[RecordedFact], winner: Fact) -> RecordedFact:
    """The first of the facts that lead up to the winner and say what it says.

    A snapshot that only repeats a status (a captured charge, sent again when it is refunded) did not bring it about,
    and its date is not the date of what happened.
    """
    up_to_winner = [recorded for recorded in facts if precedence(recorded.fact) <= precedence(winner)]
    deciding = None
    for recorded in sorted(up_to_winner, key=lambda each: precedence(each.fact), reverse=True):
        if _said(recorded.fact) != _said(winner):
            break
        deciding = recorded
    assert deciding is not None, "the winner is one of its object's facts"
    return deciding


def _said(fact: Fact) -> tuple[object, ...]:
    return fact.status, fact.amount_minor, fact.currency, fact.captured_minor, fact.reason
