"""A run of a runbook: every step is checked, taken, verified or taken back, within limits."""

from datetime import timedelta

import msgspec
import pytest

from domain.remediation import (
    ApproveStep,
    BeginRemediation,
    DeclineStep,
    RecordAct,
    RecordCheck,
    RecordUndo,
    RecordVerification,
    RemediationBegan,
    RemediationDecider,
    RemediationEnded,
    RemediationEvent,
    RemediationRefused,
    StartStep,
    StepActed,
    StepApproved,
    StepChecked,
    StepFailed,
    StepGivenUp,
    StepHeld,
    StepStarted,
    StepUndone,
    StepVerified,
    due,
)
from domain.runbook import RUNBOOKS, Limits, Runbook, Step
from tests.spec import NOON, given

DECIDER = RemediationDecider()
RESTART = Step(name="restart", check="host_silent", act="restart_host", verify="host_silent", attempts_max=2)
PAUSE = Step(
    name="pause",
    check="source_spoilt",
    act="pause_source",
    verify="source_spoilt",
    undo="resume_source",
    attempts_max=1,
)
BOOK = Runbook(name="book", steps=(RESTART,))
LATER = NOON + timedelta(seconds=RESTART.verify_s)


def begin(book: Runbook = BOOK, run_id: str = "r-1", limits: Limits | None = None) -> BeginRemediation:
    return BeginRemediation(run_id=run_id, trigger="it hurts", runbook=book, limits=limits or Limits())


def began(*steps: Step, minutes_ago: int = 0, asks: bool = False) -> RemediationBegan:
    at = NOON - timedelta(minutes=minutes_ago)
    return RemediationBegan(run_id="r-1", runbook="book", trigger="it hurts", at=at, steps=steps, asks=asks)


def of(step: Step) -> dict[str, str]:
    return {"run_id": "r-1", "step": step.name}


def checked(step: Step, *targets: str) -> StepChecked:
    return StepChecked(**of(step), found="seen", targets=targets)


def started(step: Step, attempt: int = 1) -> StepStarted:
    return StepStarted(**of(step), attempt=attempt, targets=("a",))


def acted(step: Step) -> StepActed:
    return StepActed(**of(step), found="done", verify_until=NOON + timedelta(seconds=step.verify_s))


def test_a_step_is_checked_started_acted_and_verified_in_that_order() -> None:
    run = given(DECIDER).when(begin()).then(began(RESTART))
    run = run.when(RecordCheck(**of(RESTART), targets=("a",), found="seen")).then(checked(RESTART, "a"))
    run = run.when(StartStep(**of(RESTART))).then(started(RESTART))
    run = run.when(RecordAct(**of(RESTART), is_done=True, found="done")).then(acted(RESTART))
    run.when(RecordVerification(**of(RESTART), is_well=True, found="well")).then(
        StepVerified(**of(RESTART), found="well"), RemediationEnded(run_id="r-1", outcome="recovered", at=NOON)
    )


def test_a_step_without_a_target_is_passed_over() -> None:
    run = given(DECIDER, began(RESTART, PAUSE))
    run = run.when(RecordCheck(**of(RESTART), targets=(), found="none")).then(
        StepChecked(**of(RESTART), found="none", targets=())
    )

    run.when(RecordCheck(**of(PAUSE), targets=(), found="none")).then(
        StepChecked(**of(PAUSE), found="none", targets=()),
        RemediationEnded(run_id="r-1", outcome="nothing_found", at=NOON),
    )


@pytest.mark.parametrize(
    "skipped",
    [
        StartStep(**of(RESTART)),
        RecordAct(**of(RESTART), is_done=True, found=""),
        RecordVerification(**of(RESTART), is_well=True, found=""),
        RecordUndo(**of(RESTART), is_done=True, found=""),
        ApproveStep(**of(RESTART), by="me"),
    ],
)
def test_nothing_is_done_out_of_turn(skipped: StartStep) -> None:
    given(DECIDER, began(RESTART)).when(skipped).then_rejected("remediation.wrong_stage")


def test_another_run_and_another_step_are_nobodys_turn() -> None:
    run = given(DECIDER, began(RESTART, PAUSE))

    run.when(RecordCheck(**of(PAUSE), targets=(), found="")).then_rejected("remediation.not_current")
    other = RecordCheck(run_id="r-0", step=RESTART.name, targets=(), found="")
    run.when(other).then_rejected("remediation.not_current")


@pytest.mark.parametrize(
    ("step", "targets", "asks", "why"),
    [
        (msgspec.structs.replace(RESTART, is_irreversible=True), ("a",), False, "taken back"),
        (RESTART, ("a", "b"), False, "touch 2, and 1"),
        (RESTART, ("a",), True, "waits"),
    ],
)
def test_what_cannot_be_taken_back_or_touches_too_much_waits_for_a_person(
    step: Step,
    targets: tuple[str, ...],
    asks: bool,  # noqa: FBT001 - a parameter of the test
    why: str,
) -> None:
    run = given(DECIDER, began(step, asks=asks))
    events = DECIDER.decide(run.state, RecordCheck(**of(step), targets=targets, found="seen"), NOON)
    held = events[-1]
    assert isinstance(held, StepHeld)
    assert why in held.reason

    run = given(DECIDER, began(step, asks=asks), *events)
    assert run.state.run is not None
    assert due(run.state.run, NOON) is None
    run.when(StartStep(**of(step))).then_rejected("remediation.wrong_stage")
    approved = run.when(ApproveStep(**of(step), by="me")).then(StepApproved(**of(step), by="me"))
    approved.when(StartStep(**of(step))).then(StepStarted(**of(step), attempt=1, targets=targets))


def test_a_step_that_is_declined_ends_the_run() -> None:
    held = StepHeld(**of(RESTART), reason="it cannot be taken back")

    given(DECIDER, began(RESTART), checked(RESTART, "a"), held).when(DeclineStep(**of(RESTART), by="me")).then(
        RemediationEnded(run_id="r-1", outcome="declined", at=NOON, reason="declined by me")
    )


def test_an_act_that_fails_is_tried_again_after_a_pause_and_then_a_person_is_asked() -> None:
    retry_at = NOON + timedelta(seconds=RESTART.cool_down_s)
    run = given(DECIDER, began(RESTART), checked(RESTART, "a"), started(RESTART))
    run = run.when(RecordAct(**of(RESTART), is_done=False, found="no")).then(
        StepFailed(**of(RESTART), attempt=1, reason="no", retry_at=retry_at)
    )
    run.when(StartStep(**of(RESTART))).then_rejected("remediation.cooling_down")
    run = run.when(StartStep(**of(RESTART)), at=retry_at).then(started(RESTART, attempt=2))

    run.when(RecordAct(**of(RESTART), is_done=False, found="no")).then(
        StepGivenUp(**of(RESTART), reason="no"),
        RemediationEnded(run_id="r-1", outcome="escalated", at=NOON, reason="restart did not help"),
    )


def test_what_does_not_help_in_its_time_is_taken_back() -> None:
    run = given(DECIDER, began(PAUSE), checked(PAUSE, "a"), started(PAUSE), acted(PAUSE))
    no = RecordVerification(**of(PAUSE), is_well=False, found="still")
    run.when(no).then_nothing()

    given_up = run.when(no, at=LATER).then(StepGivenUp(**of(PAUSE), reason="it did not help: still"))
    given_up.when(RecordUndo(**of(PAUSE), is_done=True, found="resumed")).then(
        StepUndone(**of(PAUSE), is_done=True, found="resumed"),
        RemediationEnded(run_id="r-1", outcome="escalated", at=NOON, reason="pause did not help"),
    )


def test_a_second_run_does_not_begin_beside_the_first() -> None:
    given(DECIDER, began(RESTART)).when(begin(run_id="r-2")).then_nothing()


def test_a_run_does_not_begin_while_the_runbook_cools_down() -> None:
    ended = RemediationEnded(run_id="r-1", outcome="recovered", at=NOON - timedelta(seconds=59))

    given(DECIDER, began(RESTART), ended).when(begin(run_id="r-2")).then_rejected("remediation.cooling_down")


def flapped(*minutes_ago: int) -> list[RemediationEvent]:
    return [
        event
        for minutes in minutes_ago
        for event in (
            began(RESTART, minutes_ago=minutes),
            RemediationEnded(run_id="r-1", outcome="recovered", at=NOON - timedelta(minutes=minutes)),
        )
    ]


def test_the_fourth_run_within_an_hour_is_flapping_and_is_told_once() -> None:
    run = given(DECIDER, *flapped(59, 40, 20))
    refused = run.when(begin(run_id="r-4")).then(
        RemediationRefused(run_id="r-4", runbook="book", trigger="it hurts", at=NOON, reason="3 runs within 3600 s")
    )

    refused.when(begin(run_id="r-5")).then_rejected("remediation.flapping")


def test_runs_of_an_hour_ago_are_forgiven() -> None:
    given(DECIDER, *flapped(61, 40, 20)).when(begin()).then(began(RESTART))


def test_the_runbooks_name_each_step_once_and_can_take_back_what_holds_something_up() -> None:
    assert len({book.name for book in RUNBOOKS}) == len(RUNBOOKS)
    for book in RUNBOOKS:
        assert len({step.name for step in book.steps}) == len(book.steps)
        assert all(step.undo == "resume_source" for step in book.steps if step.act == "pause_source")
