"""Remediation: a run of a runbook, step by step, each step an event; the limits are the aggregate's rules.

One stream per runbook, so that a second run cannot begin beside the first and the flap guard sees them all.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, assert_never

import msgspec

from domain.errors import Rejection
from domain.ids import Category
from domain.message import Command, Event
from domain.runbook import Limits, Runbook, Step

# No tenant can have this name: what a node does to itself is nobody's.
NODE = "_node"
RUNS_KEPT_MAX = 20

Outcome = Literal["recovered", "nothing_found", "escalated", "declined"]
Stage = Literal["checking", "held", "ready", "acting", "verifying", "undoing"]


class BeginRemediation(Command, frozen=True, kw_only=True, tag="remediation.begin"):
    """Take the runbook's steps. `targets` are what a person named; `trigger` is why, in words."""

    run_id: str
    trigger: str
    runbook: Runbook
    limits: Limits = Limits()
    targets: tuple[str, ...] = ()


class RecordCheck(Command, frozen=True, kw_only=True, tag="remediation.record_check"):
    """What the current step's check found: the targets, none if there is nothing to do."""

    run_id: str
    step: str
    targets: tuple[str, ...]
    found: str


class ApproveStep(Command, frozen=True, kw_only=True, tag="remediation.approve_step"):
    run_id: str
    step: str
    by: str


class DeclineStep(Command, frozen=True, kw_only=True, tag="remediation.decline_step"):
    run_id: str
    step: str
    by: str


class StartStep(Command, frozen=True, kw_only=True, tag="remediation.start_step"):
    """Before the act: what is not in the log is not done."""

    run_id: str
    step: str


class RecordAct(Command, frozen=True, kw_only=True, tag="remediation.record_act"):
    run_id: str
    step: str
    is_done: bool
    found: str


class RecordVerification(Command, frozen=True, kw_only=True, tag="remediation.record_verification"):
    run_id: str
    step: str
    is_well: bool
    found: str


class RecordUndo(Command, frozen=True, kw_only=True, tag="remediation.record_undo"):
    run_id: str
    step: str
    is_done: bool
    found: str


RemediationCommand = (
    BeginRemediation | RecordCheck | ApproveStep | DeclineStep | StartStep | RecordAct | RecordVerification | RecordUndo
)


class RemediationBegan(Event, frozen=True, kw_only=True, tag="remediation.began"):
    """A run with all that it goes by, so that a later version's runbooks do not change it."""

    run_id: str
    runbook: str
    trigger: str
    at: datetime
    steps: tuple[Step, ...]
    targets: tuple[str, ...] = ()
    asks: bool = False


class RemediationRefused(Event, frozen=True, kw_only=True, tag="remediation.refused"):
    """The runbook ran too often: it does not help, and a person is needed."""

    run_id: str
    runbook: str
    trigger: str
    at: datetime
    reason: str


class StepChecked(Event, frozen=True, kw_only=True, tag="remediation.step_checked"):
    """Without targets there is nothing to do, and the next step follows."""

    run_id: str
    step: str
    found: str
    targets: tuple[str, ...] = ()


class StepHeld(Event, frozen=True, kw_only=True, tag="remediation.step_held"):
    """It waits for a person."""

    run_id: str
    step: str
    reason: str


class StepApproved(Event, frozen=True, kw_only=True, tag="remediation.step_approved"):
    run_id: str
    step: str
    by: str


class StepStarted(Event, frozen=True, kw_only=True, tag="remediation.step_started"):
    """The attempt, counted from 1."""

    run_id: str
    step: str
    attempt: int
    targets: tuple[str, ...]


class StepActed(Event, frozen=True, kw_only=True, tag="remediation.step_acted"):
    """What was done; whether it helps is looked at until `verify_until`."""

    run_id: str
    step: str
    found: str
    verify_until: datetime


class StepFailed(Event, frozen=True, kw_only=True, tag="remediation.step_failed"):
    run_id: str
    step: str
    attempt: int
    reason: str
    retry_at: datetime


class StepGivenUp(Event, frozen=True, kw_only=True, tag="remediation.step_given_up"):
    run_id: str
    step: str
    reason: str


class StepVerified(Event, frozen=True, kw_only=True, tag="remediation.step_verified"):
    run_id: str
    step: str
    found: str


class StepUndone(Event, frozen=True, kw_only=True, tag="remediation.step_undone"):
    """`is_done` is false where taking it back failed as well."""

    run_id: str
    step: str
    is_done: bool
    found: str


class RemediationEnded(Event, frozen=True, kw_only=True, tag="remediation.ended"):
    """`escalated`: a person is needed."""

    run_id: str
    outcome: Outcome
    at: datetime
    reason: str = ""


RemediationEvent = (
    RemediationBegan
    | RemediationRefused
    | StepChecked
    | StepHeld
    | StepApproved
    | StepStarted
    | StepActed
    | StepFailed
    | StepGivenUp
    | StepVerified
    | StepUndone
    | RemediationEnded
)


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that has not ended. `chosen` are the targets of the current step, `named` those of whoever began it."""

    run_id: str
    runbook: str
    trigger: str
    steps: tuple[Step, ...]
    named: tuple[str, ...] = ()
    asks: bool = False
    at_step: int = 0
    stage: Stage = "checking"
    attempts: int = 0
    chosen: tuple[str, ...] = ()
    until: datetime | None = None
    held_for: str = ""
    has_helped: bool = False

    @property
    def step(self) -> Step:
        """The current one."""
        return self.steps[self.at_step]


class Remediation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A runbook's run under way, when the last ones began, and how the last one ended."""

    run: Run | None = None
    began: tuple[datetime, ...] = ()
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    is_flapping: bool = False


def due(run: Run, at: datetime) -> Stage | None:
    """What is to be done now: nothing while a person is waited for, or a pause lasts."""
    if run.stage == "held" or (run.stage == "ready" and run.until is not None and at < run.until):
        return None
    return run.stage


class RemediationDecider:
    """One run at a time, within its limits, each step before it is taken."""

    tag: Category = "remediation"

    def initial(self) -> Remediation:
        return Remediation()

    def decide(self, state: Remediation, command: RemediationCommand, at: datetime) -> Sequence[RemediationEvent]:
        """Raises `Rejection` for a run that may not begin now, and for what is not the current step's turn."""
        if isinstance(command, BeginRemediation):
            return _begin(state, command, at)
        run = _current(state, command.run_id, command.step)
        match command:
            case RecordCheck(targets=targets, found=found):
                _require(run, "checking")
                return _checked(run, targets, found, at)
            case ApproveStep(by=by):
                _require(run, "held")
                return [StepApproved(run_id=run.run_id, step=run.step.name, by=by)]
            case DeclineStep(by=by):
                _require(run, "held")
                return [RemediationEnded(run_id=run.run_id, outcome="declined", at=at, reason=f"declined by {by}")]
            case StartStep():
                _require(run, "ready")
                if due(run, at) is None:
                    raise Rejection("remediation.cooling_down", "the step is tried again later")
                return [
                    StepStarted(run_id=run.run_id, step=run.step.name, attempt=run.attempts + 1, targets=run.chosen)
                ]
            case RecordAct(is_done=is_done, found=found):
                _require(run, "acting")
                if not is_done:
                    return _failed(run, found, at)
                until = at + timedelta(seconds=run.step.verify_s)
                return [StepActed(run_id=run.run_id, step=run.step.name, found=found, verify_until=until)]
            case RecordVerification(is_well=is_well, found=found):
                _require(run, "verifying")
                if is_well:
                    verified = StepVerified(run_id=run.run_id, step=run.step.name, found=found)
                    return [verified, *_end_after(run, at, has_helped=True)]
                is_over = run.until is not None and at >= run.until
                return _failed(run, f"it did not help: {found}", at) if is_over else []
            case RecordUndo(is_done=is_done, found=found):
                _require(run, "undoing")
                undone = StepUndone(run_id=run.run_id, step=run.step.name, is_done=is_done, found=found)
                return [undone, _escalated(run, at)]
            case _:
                assert_never(command)

    def evolve(self, state: Remediation, event: RemediationEvent) -> Remediation:
        match event:
            case RemediationBegan():
                run = Run(
                    run_id=event.run_id,
                    runbook=event.runbook,
                    trigger=event.trigger,
                    steps=event.steps,
                    named=event.targets,
                    asks=event.asks,
                )
                return Remediation(run=run, began=(*state.began, event.at)[-RUNS_KEPT_MAX:], ended_at=state.ended_at)
            case RemediationRefused():
                return msgspec.structs.replace(state, is_flapping=True)
            case RemediationEnded(outcome=outcome, at=at):
                return msgspec.structs.replace(state, run=None, ended_at=at, outcome=outcome)
            case _:
                return state if state.run is None else msgspec.structs.replace(state, run=_stepped(state.run, event))


def _begin(state: Remediation, command: BeginRemediation, at: datetime) -> Sequence[RemediationEvent]:
    if state.run is not None:
        return []
    limits, name = command.limits, command.runbook.name
    assert command.runbook.steps, f"runbook {name} has no step"
    if state.ended_at is not None and at < state.ended_at + timedelta(seconds=limits.cool_down_s):
        raise Rejection("remediation.cooling_down", f"{name} ended less than {limits.cool_down_s:g} s ago")
    recent = sum(began > at - timedelta(seconds=limits.window_s) for began in state.began)
    if recent >= limits.runs_max:
        reason = f"{recent} runs within {limits.window_s:g} s"
        if state.is_flapping:
            raise Rejection("remediation.flapping", reason)
        return [RemediationRefused(run_id=command.run_id, runbook=name, trigger=command.trigger, at=at, reason=reason)]
    return [
        RemediationBegan(
            run_id=command.run_id,
            runbook=name,
            trigger=command.trigger,
            at=at,
            steps=command.runbook.steps,
            targets=command.targets,
            asks=limits.asks,
        )
    ]


def _current(state: Remediation, run_id: str, step: str) -> Run:
    run = state.run
    if run is None or run.run_id != run_id or run.step.name != step:
        raise Rejection("remediation.not_current", f"{step} is not the current step of run {run_id}")
    return run


def _require(run: Run, stage: Stage) -> None:
    if run.stage != stage:
        raise Rejection("remediation.wrong_stage", f"{run.step.name} is {run.stage}, not {stage}")


def _checked(run: Run, targets: tuple[str, ...], found: str, at: datetime) -> list[RemediationEvent]:
    step = run.step
    checked = StepChecked(run_id=run.run_id, step=step.name, found=found, targets=targets)
    if not targets:
        return [checked, *_end_after(run, at, has_helped=run.has_helped)]
    reason = ""
    if step.is_irreversible:
        reason = "it cannot be taken back"
    elif len(targets) > step.targets_max:
        reason = f"it would touch {len(targets)}, and {step.targets_max} at most without a person"
    elif run.asks:
        reason = "every step waits for a person here"
    return [checked, StepHeld(run_id=run.run_id, step=step.name, reason=reason)] if reason else [checked]


def _failed(run: Run, reason: str, at: datetime) -> list[RemediationEvent]:
    step = run.step
    if run.attempts < step.attempts_max:
        retry_at = at + timedelta(seconds=step.cool_down_s)
        return [StepFailed(run_id=run.run_id, step=step.name, attempt=run.attempts, reason=reason, retry_at=retry_at)]
    given_up = StepGivenUp(run_id=run.run_id, step=step.name, reason=reason)
    return [given_up] if step.undo is not None else [given_up, _escalated(run, at)]


def _escalated(run: Run, at: datetime) -> RemediationEnded:
    return RemediationEnded(run_id=run.run_id, outcome="escalated", at=at, reason=f"{run.step.name} did not help")


def _end_after(run: Run, at: datetime, *, has_helped: bool) -> list[RemediationEvent]:
    """The end, if the current step is the last."""
    if run.at_step + 1 < len(run.steps):
        return []
    return [RemediationEnded(run_id=run.run_id, outcome="recovered" if has_helped else "nothing_found", at=at)]


def _stepped(run: Run, event: RemediationEvent) -> Run:
    """The run after an event of a step."""
    replace = msgspec.structs.replace
    match event:
        case StepChecked(targets=()):
            return _next(run)
        case StepChecked(targets=targets):
            return replace(run, stage="ready", chosen=targets)
        case StepHeld(reason=reason):
            return replace(run, stage="held", held_for=reason)
        case StepApproved():
            return replace(run, stage="ready", held_for="")
        case StepStarted(attempt=attempt):
            return replace(run, stage="acting", attempts=attempt, until=None)
        case StepActed(verify_until=until):
            return replace(run, stage="verifying", until=until)
        case StepFailed(retry_at=retry_at):
            return replace(run, stage="ready", until=retry_at)
        case StepGivenUp():
            return replace(run, stage="undoing", until=None)
        case StepVerified():
            return _next(replace(run, has_helped=True))
        case _:
            return run


def _next(run: Run) -> Run:
    """The run at its next step; after the last one its end follows in the same commit."""
    at_step = min(run.at_step + 1, len(run.steps) - 1)
    return msgspec.structs.replace(run, at_step=at_step, stage="checking", attempts=0, chosen=(), until=None)
