"""An incident is declared once, its signals are noted once each, and it is over only when every check has passed."""

import pytest

from domain.incident import (
    AcknowledgeIncident,
    ActionTaken,
    CheckMade,
    DeclareIncident,
    Impact,
    ImpactMeasured,
    IncidentAcknowledged,
    IncidentCommand,
    IncidentDecider,
    IncidentDeclared,
    IncidentResolved,
    RecordAction,
    RecordImpact,
    RecordIncidentCheck,
    ResolveIncident,
    Signal,
    SignalNoted,
)
from tests.spec import NOON, given

DECIDER = IncidentDecider()
FIRST = Signal(watch="corrector", subject="answers", detail="2 answers were wrong", seen_at=NOON)
SECOND = Signal(watch="view check", subject="acme", detail="7 payments differ", seen_at=NOON)
DECLARED = IncidentDeclared(severity="sev2", signal=FIRST)
FAILED = CheckMade(check="answers are right", is_passed=False, detail="one is not")
PASSED = CheckMade(check="answers are right", is_passed=True)
OVER = IncidentResolved(detail="verified")


def test_the_first_signal_declares_it_and_a_further_one_is_noted() -> None:
    declared = given(DECIDER).when(DeclareIncident(severity="sev2", signal=FIRST)).then(DECLARED)

    declared.when(DeclareIncident(severity="sev2", signal=SECOND)).then(SignalNoted(signal=SECOND))


def test_the_same_watch_of_the_same_thing_is_noted_once() -> None:
    again = Signal(watch="corrector", subject="answers", detail="9 answers were wrong", seen_at=NOON)

    given(DECIDER, DECLARED).when(DeclareIncident(severity="sev1", signal=again)).then_nothing()


def test_it_is_taken_up_once() -> None:
    taken = (
        given(DECIDER, DECLARED).when(AcknowledgeIncident(by="automation")).then(IncidentAcknowledged(by="automation"))
    )

    taken.when(AcknowledgeIncident(by="somebody else")).then_nothing()


def test_what_is_measured_and_done_is_told_each_time() -> None:
    impact = Impact(answers=9, wrong=2, unknown=0, unanswered=1, customers=1, payments=1)
    action = RecordAction(action="rebuild view", subject="acme", outcome="done", by="automation")
    measured = given(DECIDER, DECLARED).when(RecordImpact(impact=impact)).then(ImpactMeasured(impact=impact))

    for _ in range(2):
        measured = measured.when(action).then(ActionTaken(action="rebuild view", subject="acme", outcome="done"))


@pytest.mark.parametrize("checks", [(), (FAILED,), (PASSED, FAILED)])
def test_it_is_not_over_while_the_last_word_of_a_check_is_that_it_failed(checks: tuple[CheckMade, ...]) -> None:
    given(DECIDER, DECLARED, *checks).when(ResolveIncident(detail="verified")).then_rejected("incident.not_over")


def test_it_is_over_once_when_every_check_has_passed() -> None:
    over = given(DECIDER, DECLARED, FAILED, PASSED).when(ResolveIncident(detail="verified")).then(OVER)

    over.when(ResolveIncident(detail="again")).then_nothing()


@pytest.mark.parametrize(
    "command",
    [
        AcknowledgeIncident(by="automation"),
        RecordIncidentCheck(check="answers are right", is_passed=True),
        ResolveIncident(),
    ],
)
def test_nothing_is_told_of_what_was_not_declared(command: IncidentCommand) -> None:
    given(DECIDER).when(command).then_rejected("incident.not_declared")


def test_nothing_is_told_of_what_is_over() -> None:
    over = given(DECIDER, DECLARED, PASSED, OVER)

    over.when(DeclareIncident(severity="sev2", signal=SECOND)).then_nothing()
    over.when(RecordIncidentCheck(check="answers are right", is_passed=False)).then_rejected("incident.resolved")
