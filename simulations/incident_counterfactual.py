"""The recorded incident once more with one fix taken out: how many answers would have been wrong, and stayed so.

Nothing is started for it. Every answer that was given is composed again from the facts that were known then, folded
with the fix and without; the log says what was known, and the samples say what the provider's books said.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import msgspec

import domain.payment
from domain.answer import AnswerRecord
from domain.fact import Fact, RecordedFact
from domain.lifecycle import Lifecycle
from domain.payment import Register, view
from gateway.replaying.samples import Sample
from simulations.incident_books import BooksWord, untrue_fields
from simulations.incident_damage import edited
from simulations.incident_plan import FIXES, WITHOUT, Fix
from simulations.incident_refold import Refold
from simulations.world_wiring import replaced


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay needs beside the log.

    Args:
        tenant: whose.
        asked: the samples of answers that were given.
        after: the phase in which it was asked once more, when all was over.
        damaged: the log positions of the facts that were edited in the view.
        damaged_at: when they were edited.
        damaged_generation: the view's.
        rebuilt_at: when another generation was built from the log, `None` if none was.
        never_arrived: events of which no webhook ever arrived.
        audited: answers that were found wrong because they were judged anew, and not by a late fact.
        at_risk_minor: what was not returned while compensations failed, by currency.
        without: fixes that the node had not.
    """

    tenant: str
    asked: Sequence[Sample]
    after: str
    damaged: Collection[int] = ()
    damaged_at: datetime | None = None
    damaged_generation: int = 0
    rebuilt_at: datetime | None = None
    never_arrived: Collection[str] = ()
    audited: int = 0
    at_risk_minor: Mapping[str, int] = {}
    without: frozenset[Fix] = frozenset()


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """What would have come of it.

    Args:
        fix: what is taken out; empty for the incident as it was.
        without: what that means.
        wrong: answers that would have been wrong while it lasted.
        wrong_after: and when all was over.
        uncorrected: wrong answers of which nobody would have been told.
        at_risk_minor: money that would not have gone back.
        misses: whether the run would have missed its targets.
    """

    fix: str
    without: str
    wrong: int
    wrong_after: int
    uncorrected: int = 0
    at_risk_minor: dict[str, int] = {}

    @property
    def misses(self) -> bool:
        return bool(self.wrong_after or self.uncorrected or self.at_risk_minor)


def last_recorded(facts: Collection[Fact]) -> Register:
    """The state of one object by arrival: whatever was recorded last."""
    return Register(winner=[*facts][-1], conflicting=False)


def without_rank() -> Any:  # noqa: ANN401 - a context manager
    """Inside one second any order of statuses is as good as another."""
    return replaced(Lifecycle, "rank", lambda self, status: 0)


def without_order() -> Any:  # noqa: ANN401 - a context manager
    """Whatever was recorded last wins."""
    return replaced(domain.payment, "register", last_recorded)


PATCHES: Mapping[Fix, Callable[[], Any]] = {"tie rank": without_rank, "order by rule": without_order}


def counterfactuals(refold: Refold, happened: Happened) -> list[Counterfactual]:
    """The incident as it was by the replay, and then without each fix."""
    replay = _Replay(refold, happened)
    return [replay.without(None), *(replay.without(fix) for fix in FIXES)]


class _Replay:
    def __init__(self, refold: Refold, happened: Happened) -> None:
        self._refold = refold
        self._happened = happened
        self._wrong_ids = {each.name for each in happened.asked if each.value}

    def without(self, fix: Fix | None) -> Counterfactual:
        removed = self._happened.without | ({fix} if fix else set())
        with ExitStack() as stack:
            for each in sorted(removed & PATCHES.keys()):
                stack.enter_context(PATCHES[each]())
            wrong = [each for each in self._happened.asked if self._is_wrong(each, removed)]
        after = sum(each.data["phase"] == self._happened.after for each in wrong)
        uncorrected = {"audit of answers": self._happened.audited, "corrections": len(self._wrong_ids)}
        return Counterfactual(
            fix=fix or "",
            without=WITHOUT[fix] if fix else "as it was",
            wrong=len(wrong) - after,
            wrong_after=after,
            uncorrected=uncorrected.get(fix or "", 0),
            at_risk_minor=dict(self._happened.at_risk_minor) if fix == "retry of compensations" else {},
        )

    def _is_wrong(self, asked: Sample, removed: Collection[Fix]) -> bool:
        """Whether the answer, composed again from what was known, is not what the books say."""
        record = self._refold.answers.get(asked.name)
        if record is None or record.abstained:
            return False
        payment_id = asked.data["payment_id"]
        facts = self._refold.facts(self._happened.tenant, payment_id, known_at=record.basis.known_to)
        folded = view(payment_id, list(self._as_seen(facts, record, removed)), as_of=record.as_of)
        if folded is None:
            return False
        books = msgspec.convert(asked.data["books"], BooksWord)
        return bool(untrue_fields(books, msgspec.to_builtins(folded)))

    def _as_seen(
        self, facts: Sequence[RecordedFact], record: AnswerRecord, removed: Collection[Fix]
    ) -> Iterator[RecordedFact]:
        """The facts as the view had them: some edited for a while, some never heard of."""
        is_damaged = self._is_damaged(record, removed)
        for each in facts:
            event_id = each.fact.fact_id.partition(":")[2].partition("#")[0]
            if "pull of missed events" in removed and event_id in self._happened.never_arrived:
                continue
            is_edited = is_damaged and each.position in self._happened.damaged
            yield self._edited(each) if is_edited else each

    def _is_damaged(self, record: AnswerRecord, removed: Collection[Fix]) -> bool:
        """Whether an answer came from the damaged view, or would have if no other had been built."""
        happened = self._happened
        if happened.damaged_at is None or record.given_at < happened.damaged_at:
            return False
        is_rebuilt = happened.rebuilt_at is not None and record.given_at >= happened.rebuilt_at
        return record.generation == happened.damaged_generation or (is_rebuilt and "rebuild of the view" in removed)

    @staticmethod
    def _edited(recorded: RecordedFact) -> RecordedFact:
        return msgspec.structs.replace(recorded, fact=edited(recorded.fact))
