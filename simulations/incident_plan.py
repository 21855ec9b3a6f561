"""The payment reconciliation incident: how large it is, how fast it passes, and what may be taken out of the node.

All durations are of the story; `Plan.real_s` makes seconds of this world of them. Providers' times are whole seconds
whatever the speed, so what customers ask and what happens to a payment keep `SETTLED_S` apart.
"""

from typing import Literal

import msgspec

from domain.errors import TerminalError

SEED = 20261123
SPEED = 12.0
SPEED_MAX = 30.0
# How far windows of objectives are shortened at a speed of 1: at 12, thirty days are one and a half hours.
SLO_SCALE = 40.0
SETTLED_S = 2.0

Fix = Literal[
    "tie rank",
    "order by rule",
    "pull of missed events",
    "rebuild of the view",
    "audit of answers",
    "corrections",
    "retry of compensations",
]
FIXES: tuple[Fix, ...] = (
    "tie rank",
    "order by rule",
    "pull of missed events",
    "rebuild of the view",
    "audit of answers",
    "corrections",
    "retry of compensations",
)
WITHOUT: dict[Fix, str] = {
    "tie rank": "inside one second any order of statuses is as good as another",
    "order by rule": "whatever was recorded last wins",
    "pull of missed events": "what no webhook told is never asked for",
    "rebuild of the view": "the view stays as somebody left it",
    "audit of answers": "answers from a damaged view are not judged",
    "corrections": "nobody is told that an answer was wrong",
    "retry of compensations": "a refund that was given up stays given up",
}


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What the run must reach. Durations in real seconds."""

    wrong_after: int = 0
    mttr_s: float = 120.0
    mttr_aim_s: float = 20.0
    total_s: float = 360.0
    total_aim_s: float = 120.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Args:
        seed: what happens to which payment, what customers ask, and what goes wrong.
        speed: how much faster the story passes than it would.
        orders: payments that customers ask about.
        sagas: payments that the merchant started, and whose deadlines pass.
        questions_per_s: real ones.
        steps_per_s: things that happen to payments, real as well.
        right_min: how many right answers, and `probes_min` right probes, make a baseline.
        probes_min: see `right_min`.
        lost_min: how many webhooks have to be lost, and `wrong_min` wrong answers given, before disorder has bitten.
        wrong_min: see `lost_min`.
        damaged: how many payments of the view are edited behind the log's back.
        without: fixes that are taken out; the run must then miss its targets.
    """

    seed: int = SEED
    speed: float = SPEED
    orders: int = 90
    sagas: int = 6
    questions_per_s: float = 14.0
    steps_per_s: float = 12.0
    right_min: int = 40
    probes_min: int = 6
    lost_min: int = 8
    wrong_min: int = 5
    damaged: int = 10
    without: frozenset[Fix] = frozenset()
    targets: Targets = Targets()

    def __post_init__(self) -> None:
        """Raises `TerminalError` for a speed at which whole seconds say nothing any more."""
        if not 1 <= self.speed <= SPEED_MAX:
            raise TerminalError(f"--speed {self.speed:g}: from 1 to {SPEED_MAX:g}")

    def real_s(self, story_s: float) -> float:
        """Seconds of this world that so many of the story take."""
        return story_s / self.speed

    @property
    def time_scale(self) -> float:
        """By how much the windows of the objectives are shortened."""
        return SLO_SCALE * self.speed


def fix_named(name: str) -> Fix:
    """Raises `TerminalError` for what is none."""
    for fix in FIXES:
        if fix == name:
            return fix
    raise TerminalError(f"--without {name!r}: there is {', '.join(FIXES)}")
