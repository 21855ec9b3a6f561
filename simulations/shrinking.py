"""A failing run made short: Hypothesis replays its choices, then leaves out and lowers all that it can.

A choice that is left out is 0, the harmless one, so what is left is what the failure needs.
"""

import time
from collections.abc import Callable, Collection
from contextlib import suppress

import msgspec
from hypothesis import HealthCheck, Phase, find, reject, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes
from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable
from msgspec.structs import replace

from simulations.choices import Stream, drawn_by, seeded
from simulations.faults import Options, drawn
from simulations.world import Outcome, simulate
from simulations.world_wiring import PRODUCTION, Wiring

# Hypothesis takes what lies under the key itself for short already.
_KEY = b"failing run"
_NOT_SHRUNK = b".secondary"


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """A short run that breaks the same invariant: its options, its choices, and what happens in it."""

    options: Options
    choices: list[int]
    outcome: Outcome


def invariants(violations: Collection[str]) -> set[str]:
    """The names of the invariants that were broken."""
    return {violation.partition(":")[0] for violation in violations}


def shrink(
    seed: int, schedule: int, options: Options, wiring: Wiring = PRODUCTION, *, within_s: float = 60.0
) -> Shrunk:
    """The shortest run found in time that breaks an invariant which the seed's run breaks.

    First the world is made smaller and faults are left out, with the seed's own choices; then the choices shrink.
    """
    until_s = time.monotonic() + within_s
    stream = _choices_of(seed, schedule)
    broken = invariants(simulate(options, stream, wiring).violations)
    assert broken, "a run that breaks nothing cannot be shrunk"

    def breaks_the_same(outcome: Outcome) -> bool:
        return bool(broken & invariants(outcome.violations))

    for smaller in _smaller(options):
        reduced = smaller(options)
        if breaks_the_same(simulate(reduced, _choices_of(seed, schedule), wiring)):
            options = reduced
    stream = _choices_of(seed, schedule)
    whole = Shrunk(options=options, choices=stream.made, outcome=simulate(options, stream, wiring))
    database = InMemoryExampleDatabase()
    database.save(_KEY + _NOT_SHRUNK, choices_to_bytes(whole.choices))
    best = [whole]

    @st.composite
    def runs(draw: Callable[[st.SearchStrategy[int]], int]) -> Shrunk:
        if time.monotonic() > until_s:
            reject()
        ended: list[BaseException] = []

        def choose(limit: int) -> int:
            try:
                return draw(st.integers(0, limit - 1))
            except BaseException as error:
                ended.append(error)
                raise

        choices = drawn_by(choose)
        outcome = simulate(options, choices, wiring)
        if ended:
            # Hypothesis gave no more choices to some task of the world, which took that for a failure of its own.
            raise ended[0]
        return Shrunk(options=options, outcome=outcome, choices=choices.made)

    def is_shorter(run: Shrunk) -> bool:
        is_found = breaks_the_same(run.outcome)
        if is_found and len(run.outcome.story) <= len(best[0].outcome.story):
            best[0] = run
        return is_found

    chosen = settings(
        database=database,
        phases=[Phase.reuse, Phase.shrink],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    # Time may end in the middle, and a run may be too long for Hypothesis to hold: the best so far is the answer.
    with suppress(NoSuchExample, Flaky, Unsatisfiable):
        find(runs(), is_shorter, settings=chosen, database_key=_KEY)
    return best[0]


def _choices_of(seed: int, schedule: int) -> Stream:
    """The seed's choices from where its options are drawn."""
    stream = seeded(seed, schedule)
    drawn(stream.told)
    stream.made.clear()
    return stream


def _smaller(options: Options) -> list[Callable[[Options], Options]]:
    """Ways to a smaller world, each tried once, on what the ones before it left."""

    def without(fault: str) -> Callable[[Options], Options]:
        return lambda given: replace(given, rates={name: rate for name, rate in given.rates.items() if name != fault})

    return [
        lambda given: replace(given, tenants=1),
        lambda given: replace(given, payments=2),
        lambda given: replace(given, questions=min(given.questions, 2)),
        lambda given: replace(given, documents=0),
        lambda given: replace(given, payment_shards=1, index_shards=1, intakes=1),
        *(without(fault) for fault in options.rates),
        lambda given: replace(given, payments=1, questions=0),
    ]
