"""Runs the sagas of `simulations.sagas` from beginning to end, in a directory that is gone afterwards."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from simulations.sagas import PHASES, Phase, live, living
from simulations.sagas_checks import SagasReport, report


async def run_sagas(
    *,
    sagas: int,
    seed: int,
    faulty: float,
    phases: Sequence[Phase] = PHASES,
    on_turn: Callable[[str], None] = lambda phase: None,
) -> SagasReport:
    """So many sagas, of whose provider's calls a share goes wrong; `on_turn` is told the phase of each turn."""
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="recount-sagas-") as name:
        directory = Path(name)
        async with living(directory, sagas=sagas, seed=seed, faulty=faulty) as world:
            await live(world, phases, on_turn)
            return report(world, directory, seed=seed, took_s=time.perf_counter() - started_s)
