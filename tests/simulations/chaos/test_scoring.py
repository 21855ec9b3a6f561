"""Scores: what a trial is worth, that a broken invariant is worth nothing, and how sure the mean is."""

import msgspec
import pytest

from simulations.chaos.scoring import Measured, Scored, dip_of, parts, score, suite

FLAWLESS = Measured(bad_share=0.0, bad_share_max=0.5, recovery_s=0.0, recovery_target_s=10.0, dip=0.0, detected=1.0)


def but(**changes: object) -> Measured:
    return msgspec.structs.replace(FLAWLESS, **changes)


def test_a_flawless_trial_is_worth_a_hundred() -> None:
    assert score(FLAWLESS) == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("measured", "worth"),
    [
        (but(bad_share=0.25), 100 - 35 / 2),
        (but(bad_share=0.9), 65),
        (but(recovery_s=10.0), 100),
        (but(recovery_s=20.0), 100 - 35 / 2),
        (but(recovery_s=None), 65),
        (but(dip=0.5), 90),
        (but(detected=0.5), 95),
        (but(detected=0.0), 90),
        (but(bad_share=1.0, recovery_s=None, dip=1.0, detected=0.0), 0),
    ],
)
def test_each_part_is_worth_its_share(measured: Measured, worth: float) -> None:
    assert score(measured) == pytest.approx(worth)


def test_an_invariant_that_broke_is_worth_nothing_however_well_the_rest_went() -> None:
    assert score(but(broken=("accepted_kept: evt_1",))) == 0.0
    assert parts(but(broken=("accepted_kept: evt_1",))).recovery == 1.0


def scored(name: str, *scores: float, weight: float = 5.0, **counts: int) -> Scored:
    return Scored(name=name, kind="process", weight=weight, scores=scores, **counts)


def test_the_mean_is_weighted_and_its_interval_is_of_the_trials() -> None:
    found = suite([scored("a", 90, 94, weight=9), scored("b", 60, 64, weight=1)])

    assert found.score == pytest.approx(0.9 * 92 + 0.1 * 62)
    assert found.low is not None
    assert found.high is not None
    # Pooled variance 8 over two trials each: the error is sqrt(0.81 * 4 + 0.01 * 4).
    assert found.high - found.low == pytest.approx(2 * 1.959964 * (3.28**0.5), abs=1e-6)


def test_one_trial_of_each_says_nothing_of_how_far_another_would_be_off() -> None:
    found = suite([scored("a", 90), scored("b", 60)])

    assert found.score == 75
    assert found.low is None


def test_void_trials_are_counted_and_not_averaged() -> None:
    found = suite([scored("a", 90, 90), scored("b", voids=2), scored("c", 90, failures=1)])

    assert found.score == 90
    assert (found.covered, found.experiments, found.voids, found.failures) == (2, 3, 2, 1)


def test_nothing_done_has_no_score() -> None:
    found = suite([scored("a", voids=1)])

    assert (found.score, found.low, found.kinds) == (None, None, ())


def test_a_dip_counts_each_stretch_of_time_alike_however_much_was_asked_in_it() -> None:
    assert dip_of({0: (100, 100), 1: (0, 2), 2: (0, 0)}) == pytest.approx(0.5)
    assert dip_of({}) == 0.0
