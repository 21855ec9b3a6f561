"""What a trial is worth, and what all of them say of a node: pure figures.

A broken invariant is no shortcoming to be averaged away: its trial is worth nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

SLO_SHARE, RECOVERY_SHARE, GRACEFUL_SHARE, DETECTION_SHARE = 0.35, 0.35, 0.20, 0.10
# The normal distribution's quantile of a two-sided 95 % interval.
Z_95 = 1.959964
KINDS = ("partition", "latency", "loss", "process", "resource", "database", "disk", "infrastructure")

Kind = Literal["partition", "latency", "loss", "process", "resource", "database", "disk", "infrastructure"]
Status = Literal["done", "void", "aborted", "failed"]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial showed.

    Args:
        bad_share: of all operations from the injection to the recovery, those that failed or took too long.
        bad_share_max: how many of them may.
        recovery_s: from the injection (of what is over at once) or the undo until all was well; `None` if it never was.
        recovery_target_s: how long that may take.
        dip: the mean share of work that was not done, from the injection to the recovery.
        detected: 1 if what should notice did in time, 0.5 if it noticed and the wrong runbook ran, else 0.
        broken: the invariants that did not hold.
    """

    bad_share: float
    bad_share_max: float
    recovery_s: float | None
    recovery_target_s: float
    dip: float
    detected: float
    broken: tuple[str, ...] = ()


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a score, each 0 to 1."""

    slo_kept: float
    recovery: float
    graceful: float
    detection: float


def parts(measured: Measured) -> Parts:
    """The parts of the score."""
    recovery_s = measured.recovery_s
    return Parts(
        slo_kept=_clipped(1.0 - measured.bad_share / measured.bad_share_max),
        recovery=0.0 if recovery_s is None else _clipped(measured.recovery_target_s / max(recovery_s, 1e-9)),
        graceful=_clipped(1.0 - measured.dip),
        detection=_clipped(measured.detected),
    )


def score(measured: Measured) -> float:
    """0 to 100; 0 if an invariant broke."""
    if measured.broken:
        return 0.0
    each = parts(measured)
    return 100.0 * (
        SLO_SHARE * each.slo_kept
        + RECOVERY_SHARE * each.recovery
        + GRACEFUL_SHARE * each.graceful
        + DETECTION_SHARE * each.detection
    )


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment's trials. `scores` are of those that were done: a void trial says nothing, good or bad."""

    name: str
    kind: Kind
    weight: float
    scores: tuple[float, ...]
    voids: int = 0
    failures: int = 0

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """All experiments together.

    Args:
        score: the weighted mean over those that were done; `None` if none was.
        low: the lower end of its 95 % interval over trials.
        high: the upper end.
        covered: experiments that were done, of `experiments`.
        experiments: how many were to be run.
        kinds: the kinds of fault of which at least one bit.
        voids: trials whose fault did not bite.
        failures: trials that did not come to their end.
    """

    score: float | None
    low: float | None
    high: float | None
    covered: int
    experiments: int
    kinds: tuple[str, ...]
    voids: int
    failures: int


def suite(experiments: Sequence[Scored]) -> Suite:
    """The score of all, with its interval."""
    done = [each for each in experiments if each.scores]
    total = sum(each.weight for each in done)
    mean = sum(each.weight * each.mean for each in done) / total if done else None
    error = _standard_error(done, total) if done else None
    return Suite(
        score=mean,
        low=None if mean is None or error is None else max(0.0, mean - Z_95 * error),
        high=None if mean is None or error is None else min(100.0, mean + Z_95 * error),
        covered=len(done),
        experiments=len(experiments),
        kinds=tuple(kind for kind in KINDS if any(each.kind == kind for each in done)),
        voids=sum(each.voids for each in experiments),
        failures=sum(each.failures for each in experiments),
    )


def _standard_error(done: Sequence[Scored], total: float) -> float | None:
    """Of the weighted mean; the variance between trials is taken to be one, pooled over all experiments.

    `None` where no experiment has two trials: one alone says nothing of how far another would be off.
    """
    freedom = sum(len(each.scores) - 1 for each in done)
    if not freedom:
        return None
    variance = sum((score - each.mean) ** 2 for each in done for score in each.scores) / freedom
    return math.sqrt(sum((each.weight / total) ** 2 * variance / len(each.scores) for each in done))


def dip_of(bins: Mapping[int, tuple[int, int]]) -> float:
    """The mean share of operations that were not well done, each stretch of time alike: number -> (good, all)."""
    shares = [1.0 - good / total for good, total in bins.values() if total]
    return sum(shares) / len(shares) if shares else 0.0


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))
