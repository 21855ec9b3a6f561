"""Runbooks: typed steps (check, act, verify, undo) that a node takes by itself within limits, or with a person's leave.

`docs/runbooks/` says the same for people.
"""

from typing import Literal

import msgspec

Condition = Literal[
    "host_silent",
    "projection_stuck",
    "broker_deaf",
    "source_spoilt",
    "quarantine_retryable",
    "pollable",
    "canary_wrong",
    "build_unfinished",
    "intakes_behind",
    "intakes_quiet",
    "intake_unhelpful",
    "intake_missed",
    "named",
]
Action = Literal[
    "restart_host",
    "restart_broker",
    "pause_source",
    "resume_source",
    "requeue_quarantine",
    "pull_missed",
    "open_circuit",
    "rebuild_generation",
    "roll_back_generation",
    "start_intake",
    "stop_intake",
]


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a runbook.

    Args:
        name: its name in the runbook, e.g. `restart-broker`.
        check: what is looked for first. It names the targets: where there are none the step is passed over.
        act: what is done to each target.
        verify: what must be found no more of these targets afterwards; `named` finds nothing and is content.
        undo: what takes the act back where it did not help.
        attempts_max: how often it is tried.
        cool_down_s: the pause between two attempts.
        verify_s: how long what was done may take to help.
        targets_max: how many targets may be touched without a person.
        is_irreversible: it waits for a person, whatever it touches.
    """

    name: str
    check: Condition
    act: Action
    verify: Condition
    undo: Action | None = None
    attempts_max: int = 2
    cool_down_s: float = 5.0
    verify_s: float = 30.0
    targets_max: int = 1
    is_irreversible: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds a runbook back.

    Args:
        cool_down_s: the pause between two runs.
        runs_max: how many runs may begin within `window_s`; one more is flapping, and is a person's matter.
        window_s: see `runs_max`.
        asks: every step waits for a person.
    """

    cool_down_s: float = 60.0
    runs_max: int = 3
    window_s: float = 3_600.0
    asks: bool = False


class Runbook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do about something, in order.

    Args:
        name: also the name of its stream, e.g. `broker-deaf`.
        objectives: a run begins when an alert on one of these fires.
        symptom: and when this was found for `symptom_s`.
        symptom_s: see `symptom`.
        steps: what is done.
    """

    name: str
    steps: tuple[Step, ...]
    objectives: tuple[str, ...] = ()
    symptom: Condition | None = None
    symptom_s: float = 10.0


RUNBOOKS = (
    Runbook(
        name="broker-deaf",
        objectives=("availability",),
        symptom="broker_deaf",
        steps=(
            Step(name="restart-broker", check="broker_deaf", act="restart_broker", verify="broker_deaf", verify_s=20.0),
        ),
    ),
    Runbook(
        name="host-silent",
        objectives=("availability", "answer-latency"),
        symptom="host_silent",
        # The supervisor replaces a silent host within five seconds; this is for one that it could not replace.
        symptom_s=30.0,
        steps=(
            Step(name="restart-host", check="host_silent", act="restart_host", verify="host_silent", verify_s=60.0),
        ),
    ),
    Runbook(
        name="projection-lags",
        objectives=("data-freshness",),
        steps=(
            Step(
                name="restart-projector",
                check="projection_stuck",
                act="restart_host",
                verify="projection_stuck",
                verify_s=60.0,
            ),
        ),
    ),
    Runbook(
        name="quarantine-grows",
        objectives=("ingestion-validity",),
        steps=(
            Step(
                name="pause-source",
                check="source_spoilt",
                act="pause_source",
                verify="source_spoilt",
                undo="resume_source",
            ),
            Step(
                name="requeue-quarantine",
                check="quarantine_retryable",
                act="requeue_quarantine",
                verify="quarantine_retryable",
                targets_max=100,
            ),
        ),
    ),
    Runbook(
        name="answers-wrong",
        objectives=("answer-accuracy",),
        steps=(
            Step(name="pull-missed", check="pollable", act="pull_missed", verify="named", targets_max=100),
            Step(
                name="requeue-quarantine",
                check="quarantine_retryable",
                act="requeue_quarantine",
                verify="quarantine_retryable",
                targets_max=100,
            ),
            Step(
                name="rebuild-views",
                check="canary_wrong",
                act="rebuild_generation",
                verify="build_unfinished",
                verify_s=600.0,
            ),
        ),
    ),
    # How long they are behind or quiet before anything is done is in `scaling`, and part of the condition.
    Runbook(
        name="intakes-behind",
        symptom="intakes_behind",
        symptom_s=0.0,
        steps=(
            Step(
                name="start-intake",
                check="intakes_behind",
                act="start_intake",
                verify="intake_unhelpful",
                undo="stop_intake",
            ),
        ),
    ),
    Runbook(
        name="intakes-quiet",
        symptom="intakes_quiet",
        symptom_s=0.0,
        steps=(
            Step(
                name="stop-intake",
                check="intakes_quiet",
                act="stop_intake",
                verify="intake_missed",
                undo="start_intake",
            ),
        ),
    ),
    # These are begun by a person, who names the target.
    Runbook(
        name="start-intake",
        steps=(Step(name="start-intake", check="named", act="start_intake", verify="named", undo="stop_intake"),),
    ),
    Runbook(
        name="stop-intake",
        steps=(Step(name="stop-intake", check="named", act="stop_intake", verify="named", undo="start_intake"),),
    ),
    Runbook(
        name="rebuild-generation",
        steps=(
            Step(
                name="rebuild-generation",
                check="named",
                act="rebuild_generation",
                verify="build_unfinished",
                verify_s=3_600.0,
            ),
        ),
    ),
    Runbook(
        name="roll-back-generation",
        steps=(
            # The one before may say what was withdrawn since, or be wrong itself: a person who asks for it looks again.
            Step(
                name="roll-back-generation",
                check="named",
                act="roll_back_generation",
                verify="build_unfinished",
                verify_s=120.0,
                is_irreversible=True,
            ),
        ),
    ),
    Runbook(
        name="pause-source",
        steps=(Step(name="pause-source", check="named", act="pause_source", verify="named", undo="resume_source"),),
    ),
    Runbook(
        name="open-circuit",
        steps=(Step(name="open-circuit", check="named", act="open_circuit", verify="named"),),
    ),
)
