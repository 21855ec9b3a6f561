"""A node on virtual time keeps every invariant under faults, and without any of its mechanisms it does not."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from simulations.choices import replayed, seeded
from simulations.faults import FAULTS, Options, drawn, is_acting
from simulations.removals import REMOVALS
from simulations.shrinking import invariants, shrink
from simulations.sweep import Checked, check_seed, check_seeds, never_met, on_ray, on_this_machine, sweep, wiring_of
from simulations.world import Outcome, simulate
from simulations.world_report import detect

ROOT = Path(__file__).resolve().parents[2]
REGRESSIONS = Path(__file__).with_name("world_regressions.json")
# Long enough for every removal; the published table searches further.
SEEDS_MAX = 200


class Regression(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A seed that found something once: what it was, and the options that its world had."""

    found: str
    seed: int
    schedule: int = 0
    options: Options


KEPT = msgspec.json.decode(REGRESSIONS.read_bytes(), type=list[Regression])


def ran(seed: int, **changes: object) -> Outcome:
    choices = seeded(seed)
    options = msgspec.structs.replace(drawn(choices.told), **changes)
    return simulate(options, choices)


def quietly(**changes: object) -> Outcome:
    """A world without any fault."""
    return ran(1, rates={}, **changes)


def test_a_world_without_faults_comes_to_rest_and_everything_holds() -> None:
    outcome = quietly(payments=4, questions=8)

    assert outcome.violations == []
    assert outcome.hits == {}
    assert outcome.events > 20
    assert any(" answer " in line for line in outcome.story)


def test_a_world_that_acts_does_what_it_is_asked_for_and_corrects_what_it_said() -> None:
    outcome = quietly(tenants=1, payments=4, questions=20, sagas=2, is_correcting=True)

    assert outcome.violations == []
    assert any(" at_the_provider " in line for line in outcome.story)


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in a file"])
def test_the_log_may_be_in_memory_or_in_a_file_and_the_run_is_the_same(in_memory: bool) -> None:  # noqa: FBT001 - a parameter
    assert quietly(in_memory=in_memory).trace == quietly(in_memory=not in_memory).trace


@pytest.mark.long
def test_a_seed_gives_the_same_run_in_every_process_whatever_its_hashes_are() -> None:
    program = (
        "from simulations.choices import seeded; from simulations.faults import drawn; "
        "from simulations.world import simulate; c = seeded(7); print(simulate(drawn(c.told), c).trace)"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert len(traces) == 1


@pytest.mark.long
def test_other_choices_give_another_run() -> None:
    assert len({ran(seed).trace for seed in range(3)}) == 3


def test_choices_that_are_replayed_give_the_same_run() -> None:
    choices = seeded(5)
    options = drawn(choices.told)
    choices.made.clear()
    first = simulate(options, choices)

    assert simulate(options, replayed(choices.made)).trace == first.trace


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_a_hundred_seeds_are_clean_and_meet_every_fault() -> None:
    swept = sweep(0, 99)

    assert [(failed.seed, failed.schedule, failed.violations) for failed in swept.failures] == []
    assert swept.runs == swept.seeds + 25 + 13
    # Few of them act, and what only those can meet is met in more of their kind: one crash in 3 of 1,000 seeds.
    acting = [seed for seed in [*range(100, 430), 456] if is_acting(drawn(seeded(seed).told))]
    coverage = Counter(swept.coverage)
    for part in on_this_machine([acting[start::8] for start in range(8)], Options().steps):
        for checked in msgspec.msgpack.decode(part, type=list[Checked]):
            assert checked.violations == [], checked.seed
            coverage.update(checked.hits)
    assert never_met(coverage) == []


@pytest.mark.stack
@pytest.mark.timeout(180)
def test_a_sweep_on_a_ray_cluster_finds_what_a_sweep_on_this_machine_finds() -> None:
    here, there = sweep(0, 3, steps=500), sweep(0, 3, steps=500, spread=on_ray("local"))

    assert there.runs == here.runs == 4 + 1 + 1
    assert (there.steps, there.events, there.coverage) == (here.steps, here.events, here.coverage)


def test_what_no_run_has_met_is_named() -> None:
    assert "bus_delay" in never_met(["crash@payments.before_append"])
    assert "crash@payments.after_append" in never_met(["crash@payments.before_append", *FAULTS])
    assert "crash@payments.before_append" not in never_met(["crash@payments.before_append"])


@pytest.mark.stack
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mechanism", [removal.mechanism for removal in REMOVALS])
def test_the_simulator_notices_that_a_mechanism_is_missing(mechanism: str) -> None:
    found = detect(mechanism, seeds_max=SEEDS_MAX)

    assert found.violation, f"{SEEDS_MAX} seeds without {mechanism}, and nothing was noticed"


@pytest.mark.stack
@pytest.mark.timeout(120)
def test_a_failing_run_is_made_shorter_and_breaks_the_same() -> None:
    without = "acknowledge after commit"
    failed = next(checked for seed in range(SEEDS_MAX) if (checked := check_seed(seed, without=without)).violations)
    short = shrink(failed.seed, failed.schedule, failed.options, wiring_of(without), within_s=5)

    assert invariants(short.outcome.violations) & invariants(failed.violations)
    assert not any("StopTest" in each for each in short.outcome.violations), "what ends a run is no failure of it"
    assert len(short.outcome.story) < len(failed.story)
    assert len(short.options.rates) < len(failed.options.rates)


@pytest.mark.long
@pytest.mark.parametrize("regression", KEPT, ids=lambda regression: f"seed {regression.seed}")
def test_a_seed_that_found_something_once_stays_clean(regression: Regression) -> None:
    choices = seeded(regression.seed, regression.schedule)
    drawn(choices.told)

    assert simulate(regression.options, choices).violations == []


@pytest.mark.long
def test_the_seeds_of_a_task_come_back_as_bytes() -> None:
    [checked] = json.loads(msgspec.json.encode(msgspec.msgpack.decode(check_seeds([8], 200))))

    assert (checked["seed"], checked["violations"], checked["runs"]) == (8, [], 3)
