"""Sagas over real HTTP against a provider that keeps failing, and that the checks at their end see what is wrong."""

from datetime import timedelta
from pathlib import Path

import pytest

from simulations.provider_scenario import CallShares
from simulations.sagas import PHASES, Phase, calls, living
from simulations.sagas_checks import complaints, report
from simulations.sagas_run import run_sagas

pytestmark = pytest.mark.stack

SHORT = (
    Phase(name="payments are started", turns=PHASES[0].turns, turn=timedelta(minutes=5), happening=0.05),
    Phase(name="deadlines pass", turns=8, turn=timedelta(minutes=10), happening=0.1),
    Phase(name="refunds fail after a month", turns=4, turn=timedelta(days=10)),
    Phase(name="nothing happens any more", turns=40, turn=timedelta(minutes=10)),
)


async def test_sagas_end_as_the_books_of_a_provider_that_keeps_failing_say() -> None:
    figures = await run_sagas(sagas=40, seed=11, faulty=0.1, phases=SHORT)

    assert complaints(figures) == []
    assert figures.meets_target
    assert 0.05 < figures.faulty_share < 0.15
    assert figures.polled > 0
    assert {"compensated", "confirmed"} <= figures.ends.keys()


async def test_a_saga_that_waits_for_nobody_and_a_view_that_differs_are_seen(tmp_path: Path) -> None:
    async with living(tmp_path, sagas=12, seed=1, faulty=0.0) as sagas:
        await sagas.turn(Phase(name="some are started", turns=1, turn=timedelta(minutes=5)))
        sagas.provider.books.step("pi_3", "succeed")
        figures = report(sagas, tmp_path, seed=1, took_s=1.0)

    assert not figures.meets_target
    assert any(sentence.startswith("pi_3: status is") for sentence in figures.views_off)
    assert any("is stuck" in sentence for sentence in figures.stuck)
    assert complaints(figures)


def test_every_fault_has_its_share() -> None:
    shares = calls(0.1)

    each = [getattr(shares, name) for name in CallShares.__struct_fields__]
    assert sum(each) == pytest.approx(0.1)
    assert min(each) == max(each) > 0
