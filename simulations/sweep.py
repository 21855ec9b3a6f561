"""Many seeds: each run once, some again to see that they are deterministic, and some in another schedule.

The seeds are spread over processes of this machine, or over the tasks of a Ray cluster.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context

import msgspec

from simulations.choices import seeded
from simulations.faults import FAULTS, POINTS, Options, drawn
from simulations.removals import REMOVALS
from simulations.world import Outcome, simulate
from simulations.world_wiring import PRODUCTION, Wiring

SEEDS_PER_TASK = 20
# A second run of a seed is worth as much as the first one of another: these say what a new seed cannot.
SHUFFLED_EVERY = 4
REPEATED_EVERY = 8


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed came to, over all its runs; `schedule` is that of the run that broke something."""

    seed: int
    schedule: int
    options: Options
    violations: list[str]
    story: list[str]
    hits: list[str]
    runs: int
    steps: int
    events: int
    virtual_s: float


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What many seeds came to. `coverage` counts the seeds in which a fault was met at a point."""

    first: int
    last: int
    seeds: int
    runs: int
    seconds: float
    runs_per_second: float
    steps: int
    events: int
    virtual_s: float
    failures: list[Checked]
    coverage: dict[str, int]
    never_met: list[str]


def wiring_of(mechanism: str) -> Wiring:
    """The wiring without a mechanism; production's for an empty name. Raises `KeyError` for one that is not known."""
    return {"": PRODUCTION, **{removal.mechanism: removal.wiring for removal in REMOVALS}}[mechanism]


def check_seed(seed: int, *, steps: int = Options().steps, without: str = "") -> Checked:
    """Run a seed; run the deliveries of every fourth one in another schedule, and every eighth one again."""
    wiring = wiring_of(without)
    options, first = _run(seed, 0, steps, wiring)
    outcomes = [first]
    violations = list(first.violations)
    schedule = 0
    if not violations and seed % SHUFFLED_EVERY == 0:
        _, shuffled = _run(seed, 1, steps, wiring)
        outcomes.append(shuffled)
        schedule = int(bool(shuffled.violations))
        violations += shuffled.violations
        if not violations and shuffled.views != first.views:
            violations.append("permutation: the same deliveries in another schedule ended in other views")
    if not violations and seed % REPEATED_EVERY == 0:
        _, again = _run(seed, 0, steps, wiring)
        outcomes.append(again)
        if (again.trace, again.steps) != (first.trace, first.steps):
            violations.append("determinism: the same choices gave another run")
    return Checked(
        seed=seed,
        schedule=schedule,
        options=options,
        violations=violations,
        story=outcomes[-1].story if violations else [],
        hits=sorted({hit for outcome in outcomes for hit in outcome.hits}),
        runs=len(outcomes),
        steps=sum(outcome.steps for outcome in outcomes),
        events=sum(outcome.events for outcome in outcomes),
        virtual_s=round(sum(outcome.virtual_s for outcome in outcomes), 3),
    )


def _run(seed: int, schedule: int, steps: int, wiring: Wiring) -> tuple[Options, Outcome]:
    choices = seeded(seed, schedule)
    options = drawn(choices.told, steps=steps)
    return options, simulate(options, choices, wiring)


def check_seeds(seeds: Sequence[int], steps: int) -> bytes:
    """The seeds of one task; a list of `Checked` as MessagePack, which crosses any process border."""
    return msgspec.msgpack.encode([check_seed(seed, steps=steps) for seed in seeds])


def on_this_machine(tasks: Iterable[Sequence[int]], steps: int) -> Iterator[bytes]:
    """Tasks on as many processes as there are cores, in the order in which they end."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(check_seeds, task, steps) for task in tasks]):
            yield done.result()


def on_ray(address: str) -> Callable[[Iterable[Sequence[int]], int], Iterator[bytes]]:
    """Tasks on the Ray cluster at an address; `local` starts one on this machine."""

    def spread(tasks: Iterable[Sequence[int]], steps: int) -> Iterator[bytes]:
        from actors.remote import run_tasks, start_ray, stop_ray  # noqa: PLC0415 - Ray takes a second to import

        start_ray(address)
        try:
            yield from run_tasks(check_seeds, [(task, steps) for task in tasks])
        finally:
            stop_ray()

    return spread


def sweep(
    first: int,
    last: int,
    *,
    steps: int = Options().steps,
    spread: Callable[[Iterable[Sequence[int]], int], Iterator[bytes]] = on_this_machine,
    on_progress: Callable[[int, int], None] = lambda done, failed: None,
) -> Sweep:
    """Check the seeds from `first` to `last`, both included.

    Args:
        first: the first seed.
        last: the last one.
        steps: how many steps of the scheduler faults may happen in.
        spread: runs the tasks somewhere.
        on_progress: told how many seeds are done, and how many of them failed.
    """
    started_s = time.monotonic()
    checked: list[Checked] = []
    coverage: Counter[str] = Counter()
    failures: list[Checked] = []
    for part in spread(list(_tasks(first, last)), steps):
        for each in msgspec.msgpack.decode(part, type=list[Checked]):
            checked.append(each)
            coverage.update(each.hits)
            if each.violations:
                failures.append(each)
        on_progress(len(checked), len(failures))
    seconds = time.monotonic() - started_s
    runs = sum(each.runs for each in checked)
    return Sweep(
        first=first,
        last=last,
        seeds=len(checked),
        runs=runs,
        seconds=round(seconds, 1),
        runs_per_second=round(runs / seconds, 1),
        steps=sum(each.steps for each in checked),
        events=sum(each.events for each in checked),
        virtual_s=round(sum(each.virtual_s for each in checked), 1),
        failures=failures,
        coverage=dict(sorted(coverage.items())),
        never_met=never_met(coverage),
    )


def _tasks(first: int, last: int) -> Iterator[list[int]]:
    seeds = iter(range(first, last + 1))
    while task := list(islice(seeds, SEEDS_PER_TASK)):
        yield task


def never_met(coverage: Iterable[str]) -> list[str]:
    """The faults, and the points of a crash, that no run has met: what a sweep says nothing about."""
    met = set(coverage)
    faults = [fault for fault in FAULTS if not any(each.partition("@")[0] == fault for each in met)]
    points = [f"crash@{kind}.{point}" for kind, of_kind in POINTS.items() for point in of_kind]
    return [*faults, *(point for point in points if point not in met)]
