"""Incidents: what was noticed, what was done about it, what was checked, and when it was over.

An incident is a stream like any other, so that what a postmortem tells of the response cites log positions as well. It
is over only when the last word of every check is that it passed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event

IncidentSeverity = Literal["sev1", "sev2", "sev3"]
ActionOutcome = Literal["done", "failed"]


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was noticed: which watch, of what, and since when it is so as far as the watch can tell."""

    watch: str
    subject: str
    detail: str
    seen_at: datetime


class Impact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was told and what it cost, up to a moment. Amounts in minor units, by currency.

    Args:
        answers: how many were given.
        wrong: how many of them stated what was not so.
        unknown: how many said that nothing is known of what there was.
        unanswered: questions that got no answer.
        customers: to whom something wrong was said.
        payments: of which.
        misstated_minor: what was misstated of those payments.
        at_risk_minor: what was taken, has to go back and has not gone back.
        budget_burnt: objective -> share of its budget that was spent.
    """

    answers: int
    wrong: int
    unknown: int
    unanswered: int
    customers: int
    payments: int
    misstated_minor: Mapping[str, int] = {}
    at_risk_minor: Mapping[str, int] = {}
    budget_burnt: Mapping[str, float] = {}


class DeclareIncident(Command, frozen=True, kw_only=True, tag="incident.declare"):
    """Something is wrong, and somebody is to act. Said again, it is one more signal."""

    severity: IncidentSeverity
    signal: Signal


class AcknowledgeIncident(Command, frozen=True, kw_only=True, tag="incident.acknowledge"):
    """Whoever acts has taken it up."""

    by: str


class RecordImpact(Command, frozen=True, kw_only=True, tag="incident.record_impact"):
    """What it cost so far."""

    impact: Impact


class RecordAction(Command, frozen=True, kw_only=True, tag="incident.record_action"):
    """Something was done about it, `action` being the remedy and `subject` what it was applied to."""

    action: str
    subject: str
    outcome: ActionOutcome
    detail: str = ""
    by: str = "automation"


class RecordIncidentCheck(Command, frozen=True, kw_only=True, tag="incident.record_check"):
    """It was looked whether all is well."""

    check: str
    is_passed: bool
    detail: str = ""


class ResolveIncident(Command, frozen=True, kw_only=True, tag="incident.resolve"):
    """It is over. Refused while the last word of a check is that it failed."""

    detail: str = ""


IncidentCommand = (
    DeclareIncident | AcknowledgeIncident | RecordImpact | RecordAction | RecordIncidentCheck | ResolveIncident
)


class IncidentDeclared(Event, frozen=True, kw_only=True, tag="incident.declared"):
    severity: IncidentSeverity
    signal: Signal


class SignalNoted(Event, frozen=True, kw_only=True, tag="incident.signal_noted"):
    """Another watch, or the same of something else, after the incident was declared."""

    signal: Signal


class IncidentAcknowledged(Event, frozen=True, kw_only=True, tag="incident.acknowledged"):
    by: str


class ImpactMeasured(Event, frozen=True, kw_only=True, tag="incident.impact_measured"):
    impact: Impact


class ActionTaken(Event, frozen=True, kw_only=True, tag="incident.action_taken"):
    action: str
    subject: str
    outcome: ActionOutcome
    detail: str = ""
    by: str = "automation"


class CheckMade(Event, frozen=True, kw_only=True, tag="incident.check_made"):
    check: str
    is_passed: bool
    detail: str = ""


class IncidentResolved(Event, frozen=True, kw_only=True, tag="incident.resolved"):
    detail: str = ""


IncidentEvent = (
    IncidentDeclared | SignalNoted | IncidentAcknowledged | ImpactMeasured | ActionTaken | CheckMade | IncidentResolved
)


class Incident(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What decisions need: what was noticed, the last word of each check, and how far it is."""

    signals: tuple[tuple[str, str], ...] = ()
    checks: Mapping[str, bool] = {}
    is_acknowledged: bool = False
    is_resolved: bool = False


class IncidentDecider:
    """An incident is declared once, and over once."""

    tag: Category = "incident"

    def initial(self) -> Incident:
        return Incident()

    def decide(self, state: Incident, command: IncidentCommand, at: datetime) -> Sequence[IncidentEvent]:
        """Raises `Rejection` for what is told of an incident that was not declared or is over."""
        if isinstance(command, DeclareIncident):
            return _declare(state, command)
        if not state.signals:
            raise Rejection("incident.not_declared", "nothing was declared under this name")
        if isinstance(command, ResolveIncident):
            return _resolve(state, command)
        if state.is_resolved:
            raise Rejection("incident.resolved", "it is over; declare another")
        match command:
            case AcknowledgeIncident(by=by):
                return [] if state.is_acknowledged else [IncidentAcknowledged(by=by)]
            case RecordImpact(impact=impact):
                return [ImpactMeasured(impact=impact)]
            case RecordAction():
                return [
                    ActionTaken(
                        action=command.action,
                        subject=command.subject,
                        outcome=command.outcome,
                        detail=command.detail,
                        by=command.by,
                    )
                ]
            case RecordIncidentCheck(check=check, is_passed=is_passed, detail=detail):
                return [CheckMade(check=check, is_passed=is_passed, detail=detail)]
            case _:
                assert_never(command)

    def evolve(self, state: Incident, event: IncidentEvent) -> Incident:
        replace = msgspec.structs.replace
        match event:
            case IncidentDeclared(signal=signal) | SignalNoted(signal=signal):
                return replace(state, signals=(*state.signals, (signal.watch, signal.subject)))
            case IncidentAcknowledged():
                return replace(state, is_acknowledged=True)
            case CheckMade(check=check, is_passed=is_passed):
                return replace(state, checks={**state.checks, check: is_passed})
            case IncidentResolved():
                return replace(state, is_resolved=True)
            case ImpactMeasured() | ActionTaken():
                return state
            case _:
                assert_never(event)


def _declare(state: Incident, command: DeclareIncident) -> Sequence[IncidentEvent]:
    """Each watch is noted once for each thing that it watches."""
    if not state.signals:
        return [IncidentDeclared(severity=command.severity, signal=command.signal)]
    if state.is_resolved or (command.signal.watch, command.signal.subject) in state.signals:
        return []
    return [SignalNoted(signal=command.signal)]


def _resolve(state: Incident, command: ResolveIncident) -> Sequence[IncidentEvent]:
    if state.is_resolved:
        return []
    failed = sorted(check for check, is_passed in state.checks.items() if not is_passed)
    if failed or not state.checks:
        raise Rejection("incident.not_over", f"checks that have not passed: {', '.join(failed) or 'none was made'}")
    return [IncidentResolved(detail=command.detail)]
