"""What a node did to itself, as sentences."""

from typing import assert_never

from domain.remediation import (
    RemediationBegan,
    RemediationEnded,
    RemediationEvent,
    RemediationRefused,
    StepActed,
    StepApproved,
    StepChecked,
    StepFailed,
    StepGivenUp,
    StepHeld,
    StepStarted,
    StepUndone,
    StepVerified,
)

_ENDS = {
    "recovered": "and it helped",
    "nothing_found": "with nothing to be done",
    "escalated": "and a person was needed",
    "declined": "because a person did not want it",
}


def of_remediation(key: str, event: RemediationEvent) -> str:
    """What the event says of the runbook `key`."""
    match event:
        case RemediationBegan(trigger=trigger):
            return f"Runbook {key} was begun: {trigger}."
        case RemediationRefused(reason=reason):
            return f"Runbook {key} was not begun again, and a person was needed: {reason}."
        case StepChecked(step=step, found=found, targets=targets):
            return f"Step {step} looked: {found}{f' ({_named(targets)})' if targets else ''}."
        case StepHeld(step=step, reason=reason):
            return f"Step {step} waited for a person: {reason}."
        case StepApproved(step=step, by=by):
            return f"Step {step} was approved by {by}."
        case StepStarted(step=step, attempt=attempt, targets=targets):
            return f"Step {step} was taken (attempt {attempt}), on {_named(targets)}."
        case StepActed(step=step, found=found):
            return f"Step {step} was done: {found}."
        case StepFailed(step=step, attempt=attempt, reason=reason):
            return f"Step {step} failed (attempt {attempt}): {reason}."
        case StepGivenUp(step=step, reason=reason):
            return f"Step {step} was given up: {reason}."
        case StepVerified(step=step, found=found):
            return f"Step {step} helped: {found}."
        case StepUndone(step=step, is_done=is_done, found=found):
            return f"Step {step} was {'taken back' if is_done else 'not taken back'}: {found}."
        case RemediationEnded(outcome=outcome, reason=reason):
            return f"Runbook {key} ended {_ENDS[outcome]}{f': {reason}' if reason else ''}."
        case _:
            assert_never(event)


def _named(targets: tuple[str, ...]) -> str:
    return ", ".join(targets)
