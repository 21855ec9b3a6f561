"""What an incident's stream and those around it say, put together for a postmortem; every fact with its position."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast

import msgspec

from domain.answer import AnswerGiven, AnswerInvalidated, AnswerReinstated
from domain.codec import AnyEvent
from domain.effects import EffectFailed, EffectGivenUp
from domain.errors import TerminalError
from domain.ids import split_stream_id, stream_id
from domain.incident import (
    ActionTaken,
    CheckMade,
    ImpactMeasured,
    IncidentAcknowledged,
    IncidentDeclared,
    IncidentResolved,
    Signal,
    SignalNoted,
)
from domain.payment_saga import FactRecorded, PaymentEscalated
from gateway.replaying.story import Told

# What was found wrong so long before an incident was declared is none of it.
LOOKBACK = timedelta(hours=1)
# How messages are named that an API was asked for.
POLLED = "poll-"

EventT = TypeVar("EventT")


class At(msgspec.Struct, Generic[EventT], frozen=True, kw_only=True):
    """An event where it lies in the log, and what it is of."""

    position: int
    recorded_at: datetime
    key: str
    event: EventT
    correlation_id: str = ""


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """A signal, and where it was noted."""

    position: int
    recorded_at: datetime
    signal: Signal


class IncidentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as the log tells it, in log order.

    `signals` begins with the one that declared it. `wrong` are the answers whose last word is that they were wrong,
    with where each was given.
    """

    incident_id: str
    tenant: str
    declared: At[IncidentDeclared]
    signals: Sequence[Noted]
    acknowledged: At[IncidentAcknowledged] | None
    impacts: Sequence[At[ImpactMeasured]]
    actions: Sequence[At[ActionTaken]]
    checks: Sequence[At[CheckMade]]
    resolved: At[IncidentResolved] | None
    wrong: Sequence[At[AnswerInvalidated]]
    given: dict[str, At[AnswerGiven]]
    late: Sequence[At[FactRecorded]]
    pulled: Sequence[At[FactRecorded]]
    failed: Sequence[At[EffectFailed] | At[EffectGivenUp]]
    escalated: Sequence[At[PaymentEscalated]]

    @property
    def began_at(self) -> datetime:
        """When the first wrong answer left, or what declared it was seen."""
        return min([self.declared.event.signal.seen_at, *(_first_given(each.event) for each in self.wrong)])

    @property
    def first_position(self) -> int:
        """Where in the log it begins."""
        return min([self.declared.position, *(each.position for each in self.given.values())])

    @property
    def last(self) -> At[Any]:
        """The last thing that its own stream says."""
        own: list[At[Any]] = [self.declared, *self.actions, *self.checks]
        return self.resolved or max(own, key=lambda each: each.position)

    @property
    def times(self) -> "Times":
        return _times(self)


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long it took, in seconds; `None` for what did not happen.

    Args:
        detect_s: from the first wrong answer to the declaration.
        acknowledge_s: from the declaration until somebody, or the automation, took it up.
        mitigate_s: from the declaration to the last action.
        recover_s: from the first wrong answer until it was verified that all is well.
        mean_recover_s: the mean over the signals, from each being seen until then.
    """

    detect_s: float
    acknowledge_s: float | None
    mitigate_s: float | None
    recover_s: float | None
    mean_recover_s: float | None


def _times(facts: IncidentFacts) -> Times:
    declared_at, end = facts.declared.recorded_at, facts.resolved

    def since(start: datetime, until: datetime | None) -> float | None:
        return None if until is None else round((until - start).total_seconds(), 3)

    ended_at = None if end is None else end.recorded_at
    taken = [s for noted in facts.signals if (s := since(noted.signal.seen_at, ended_at)) is not None]
    return Times(
        detect_s=since(facts.began_at, declared_at) or 0.0,
        acknowledge_s=since(declared_at, facts.acknowledged.recorded_at if facts.acknowledged else None),
        mitigate_s=since(declared_at, facts.actions[-1].recorded_at if facts.actions else None),
        recover_s=since(facts.began_at, ended_at),
        mean_recover_s=round(sum(taken) / len(taken), 3) if taken else None,
    )


def _first_given(event: AnswerInvalidated) -> datetime:
    return min(each.given_at for each in event.untrue)


def gather(told: Sequence[Told], tenant: str, incident_id: str) -> IncidentFacts:
    """The facts of an incident from events in log order. Raises `TerminalError` if it is not among them."""
    stream = stream_id("incident", tenant, incident_id)
    own = [_at(each) for each in told if each.stream == stream]
    declared = next(iter(_of(own, IncidentDeclared)), None)
    if declared is None:
        raise TerminalError(f"there is no incident {incident_id!r} of {tenant} in the log")
    resolved = _last(own, IncidentResolved)
    until = resolved.position if resolved is not None else own[-1].position
    around = [
        _at(each)
        for each in told
        if split_stream_id(each.stream)[1] == tenant
        and each.position <= until
        and each.envelope.recorded_at >= declared.event.signal.seen_at - LOOKBACK
    ]
    wrong = _last_words(around)
    given = {each.key: each for each in _of(around, AnswerGiven) if each.key in wrong}
    began_at = min([declared.recorded_at, *(_first_given(each.event) for each in wrong.values())])
    facts = [each for each in _of(around, FactRecorded) if each.recorded_at >= began_at]
    deciding = {cited.position for each in wrong.values() for untrue in each.event.untrue for cited in untrue.facts}
    failed: list[At[EffectFailed] | At[EffectGivenUp]] = [*_of(around, EffectFailed), *_of(around, EffectGivenUp)]
    return IncidentFacts(
        incident_id=incident_id,
        tenant=tenant,
        declared=declared,
        signals=[
            Noted(position=each.position, recorded_at=each.recorded_at, signal=each.event.signal)
            for each in own
            if isinstance(each.event, IncidentDeclared | SignalNoted)
        ],
        acknowledged=_last(own, IncidentAcknowledged),
        impacts=_of(own, ImpactMeasured),
        actions=_of(own, ActionTaken),
        checks=_of(own, CheckMade),
        resolved=resolved,
        wrong=list(wrong.values()),
        given=given,
        late=[each for each in facts if each.position in deciding],
        pulled=[each for each in facts if each.correlation_id.startswith(POLLED)],
        failed=sorted(failed, key=lambda each: each.position),
        escalated=_of(around, PaymentEscalated),
    )


def _at(told: Told) -> At[AnyEvent]:
    return At(
        position=told.position,
        recorded_at=told.envelope.recorded_at,
        key=split_stream_id(told.stream)[2],
        event=told.envelope.event,
        correlation_id=told.envelope.trace.correlation_id,
    )


def _of(events: Iterable[At[AnyEvent]], kind: type[EventT]) -> list[At[EventT]]:
    # What is looked for decides the type of what is found.
    return [cast("At[EventT]", each) for each in events if isinstance(each.event, kind)]


def _last(events: Iterable[At[AnyEvent]], kind: type[EventT]) -> At[EventT] | None:
    return next(reversed(_of(events, kind)), None)


def _last_words(events: Iterable[At[AnyEvent]]) -> dict[str, At[AnswerInvalidated]]:
    """The answers whose last word is that they were wrong."""
    wrong: dict[str, At[AnswerInvalidated]] = {}
    for each in events:
        if isinstance(each.event, AnswerInvalidated):
            wrong[each.key] = cast("At[AnswerInvalidated]", each)
        elif isinstance(each.event, AnswerReinstated):
            wrong.pop(each.key, None)
    return wrong
