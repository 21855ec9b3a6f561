"""Runs the sagas of `simulations.sagas` from beginning to end, in a directory that is gone afterwards."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from simulations.sagas import TURNS, live, living
from simulations.sagas_checks import SagasReport, report


async def run_sagas(
    *, sagas: int, seed: int, faulty: float, on_turn: Callable[[str, int, int], None] = lambda phase, done, turns: None
) -> SagasReport:
    """So many sagas; `on_turn` is told the phase, the turns that are done, and how many there are at most."""
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="recount-sagas-") as name:
        directory = Path(name)
        async with living(directory, sagas=sagas, seed=seed, faulty=faulty) as world:
            await live(world, lambda phase, done: on_turn(phase, done, TURNS))
            return report(world, directory, seed=seed, took_s=time.perf_counter() - started_s)
